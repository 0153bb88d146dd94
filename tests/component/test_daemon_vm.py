# SPDX-License-Identifier: BSD-3-Clause
"""The life of a VM as the daemon sees it, with a VMM that has no KVM."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import daemonkit
import pytest
from daemonkit import eventually


def run(host, folder, name="vm1", cmdline="", status=200):
    got, body = host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(folder, name, cmdline)})
    assert got == status, body
    return body


def show(host, name="vm1"):
    status, body = host.request("GET", f"/v1/vms/{name}")
    assert status == 200, body
    return body


def ask(host, name, op):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(host.run_dir / "vm" / name / "control.sock"))
        s.send(json.dumps({"v": 1, "op": op}).encode())
        return json.loads(s.recv(65536))["result"]


def test_run_show_stop(host, short_tmp):
    vm = run(host, short_tmp)
    assert vm["state"] == "running" and vm["vcpus"] == 1 and vm["memory"] == 64 << 20
    assert vm["start_seconds"] > 0 and [s["step"] for s in vm["start_steps"]][0] == "check"
    assert host.request("GET", "/v1/vms")[1]["vms"][0]["name"] == "vm1"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(host.request("GET", "/v1/vms/vm1/console")[1]["socket"])
        s.sendall(b"hello")
        assert s.recv(5) == b"HELLO"
    status, vm = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 5})
    assert status == 200 and vm["state"] == "stopped" and vm["exit"]["reason"] == "poweroff"
    assert vm["pid"] is None and not (host.run_dir / "vm/vm1/control.sock").exists()
    assert host.request("POST", "/v1/vms/vm1/stop", {})[0] == 409


def test_vmm_gets_its_fds_and_nothing_else(host, short_tmp):
    run(host, short_tmp)
    status = ask(host, "vm1", "status")
    assert status["fds"] == ["console", "console_log", "console_log_old", "exit_record", "kernel", "kvm",
                             "listener"]
    if os.geteuid() == 0:
        assert status["groups"] == [] and status["uid"] >= 1000
    # 0 to 2, the seven above, this client, and the folder that is being listed.
    assert len(status["open"]) == 3 + 7 + 1 + 1, status["open"]


def test_pause_and_resume(host, short_tmp):
    run(host, short_tmp)
    assert host.request("POST", "/v1/vms/vm1/pause", {})[1]["state"] == "paused"
    assert host.request("POST", "/v1/vms/vm1/resume", {})[1]["state"] == "running"


def test_a_deaf_guest_is_killed_at_the_deadline(host, short_tmp):
    run(host, short_tmp, cmdline="deaf")
    begin = time.monotonic()
    status, vm = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 1})
    assert status == 200 and vm["exit"]["reason"] == "killed" and vm["state"] == "stopped"
    assert 1 <= time.monotonic() - begin < 30
    assert "did not power off within 1 s of its power button: killed for " in vm["exit"]["text"]
    assert "--log" in vm["exit"]["hint"]


def test_a_vmm_that_answers_late_has_its_time_all_the_same(host, short_tmp):
    """A host with other work: the power button is taken when the VMM runs again, and nobody killed it meanwhile."""
    pid = run(host, short_tmp)["pid"]
    os.kill(pid, signal.SIGSTOP)
    operation = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 600}, Prefer="respond-async")[1]["operation"]
    time.sleep(12)  # longer than it is waited for with an answer
    os.kill(pid, signal.SIGCONT)
    path = f"/v1/operations/{operation['id']}?wait=60"
    assert eventually(lambda: host.request("GET", path)[1]["operation"]["state"] == "done")
    assert show(host)["exit"]["reason"] == "poweroff"


def test_a_deaf_guest_may_be_left_running(host, short_tmp):
    run(host, short_tmp, cmdline="deaf")
    status, body = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 1, "kill": False})
    assert status == 500 and body["error"]["code"] == "still-running"
    assert "viaduct vm kill vm1" in body["error"]["hint"]
    assert show(host)["state"] == "running"
    # Who kills it later is not taken for who pressed the button.
    host.request("POST", "/v1/vms/vm1/kill", {})
    assert show(host)["exit"]["text"].startswith("killed by ")


@pytest.mark.parametrize("reason, state", [
    ("guest-panicked", "failed"), ("watchdog", "failed"), ("device-error", "failed"),
    ("device-requested", "stopped"), ("poweroff", "stopped")])
def test_an_end_says_why_and_what_next(host, short_tmp, reason, state):
    vm = run(host, short_tmp, cmdline=f"end={reason}")
    assert vm["answers"] is True and vm["life"]["resets"] == {"triple-fault": 2}
    vm = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 5})[1]
    assert vm["state"] == state and vm["exit"]["reason"] == reason and vm["exit"]["uptime_s"] == 61
    assert vm["answers"] is None and vm["life"]["resets"] == {"triple-fault": 2}
    assert (vm["exit"]["hint"] is None) == (reason == "poweroff")
    host.stop()
    host.start()
    assert show(host)["exit"] == vm["exit"] and show(host)["life"] == vm["life"]


def test_a_list_waits_for_hung_vms_together(host, short_tmp):
    for n in range(20):
        run(host, short_tmp, f"hung{n}", "hung")
    run(host, short_tmp, "well")
    begin = time.monotonic()
    vms = {vm["name"]: vm for vm in host.request("GET", "/v1/vms")[1]["vms"]}
    assert time.monotonic() - begin < 15  # a second for each of them would be more
    assert all(vms[f"hung{n}"]["answers"] is False for n in range(20))
    assert eventually(lambda: {vm["name"]: vm for vm in host.request("GET", "/v1/vms")[1]["vms"]}["well"]["life"])
    for n in range(20):  # asked to, each would take its time
        os.kill(vms[f"hung{n}"]["pid"], signal.SIGKILL)
    assert eventually(lambda: [vm["name"] for vm in host.request("GET", "/v1/vms")[1]["vms"] if vm["pid"]] == ["well"])


def test_a_start_that_fails_keeps_what_was_there(host, short_tmp):
    """The record of the VM that has ended, its log and its console's, until another one runs."""
    run(host, short_tmp, cmdline="end=guest-panicked say=panic")
    before = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 5})[1]
    for word in ("fail", "die"):
        run(host, short_tmp, cmdline=word, status=500)
        assert show(host) == before
        assert (host.run_dir / "vm/vm1/console.log").read_text() == "\x1b[1mpanic\n"
        assert "guest-panicked" in (host.run_dir / "vm/vm1/exit.json").read_text()
    host.stop()
    host.start()
    assert show(host)["exit"] == before["exit"]
    run(host, short_tmp)
    assert show(host)["exit"] is None
    assert sorted(p.name for p in (host.run_dir / "vm").iterdir()) == ["vm1"]


def test_console_log_of_a_vm_that_runs_or_has_ended(host, short_tmp, program):
    def log(*more):
        return subprocess.run([program("viaduct"), "--run-dir", host.run_dir, "vm", "console", "vm1",
                               "--log", *more], capture_output=True, text=True, check=False)

    run(host, short_tmp, cmdline="say=hello")
    assert log().stdout == "older\nhello\n"
    host.request("POST", "/v1/vms/vm1/kill", {})
    assert log().stdout == "older\nhello\n"
    assert json.loads(log("--json").stdout)["console_log"].endswith("vm/vm1/console.log")
    host.stop()  # and without a daemon, from the fixed names
    assert log().stdout == "older\nhello\n"
    host.start()


def test_show_says_what_befell_the_guest(host, short_tmp, program):
    def text():
        return subprocess.run([program("viaduct"), "--run-dir", host.run_dir, "vm", "show", "vm1"],
                              capture_output=True, text=True, check=True).stdout

    run(host, short_tmp, cmdline="end=guest-panicked")
    assert "2 (2 triple fault), last at 2023-" in text() and "ended" not in text()
    host.request("POST", "/v1/vms/vm1/stop", {})
    assert "guest-panicked" in text() and "viaduct vm console vm1 --log" in text()
    assert "1 m" in text()


def test_panic_and_watchdog_reach_the_vmm(host, short_tmp):
    run(host, short_tmp)
    status = ask(host, "vm1", "status")
    assert status["on_panic"] == "restart" and status["watchdog"] == "reset"
    yaml = daemonkit.vm_yaml(short_tmp, "vm2", extra="on_panic: stop\nwatchdog: off\n")
    assert host.request("POST", "/v1/vms", {"yaml": yaml})[0] == 200
    status = ask(host, "vm2", "status")
    assert status["on_panic"] == "stop" and status["watchdog"] == "off"


def test_a_daemon_that_ends_does_not_wait_for_a_stop(host, short_tmp):
    import threading

    run(host, short_tmp, cmdline="deaf")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 60}, 60)))
    thread.start()
    assert eventually(lambda: show(host)["state"] == "stopping")
    host.stop()
    thread.join(daemonkit.PATIENCE_S)
    assert answers[0][0] == 500 and "goes on" in answers[0][1]["error"]["text"]
    host.start()
    assert show(host)["state"] == "running"


def test_a_stubborn_vmm_is_killed_by_signal(host, short_tmp):
    run(host, short_tmp, cmdline="stubborn")
    status, vm = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 0}, 60)
    assert status == 200 and vm["state"] == "failed" and "SIGKILL" in vm["exit"]["text"]


def test_a_hung_vmm_is_shown_and_killed(host, short_tmp):
    run(host, short_tmp, cmdline="hung")
    sockets = []
    for _ in range(40):
        # Non-blocking: what fills the queue of a socket that nobody accepts from.
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        sockets.append(s)
        try:
            s.connect(str(host.run_dir / "vm/vm1/control.sock"))
        except BlockingIOError:
            break
    else:
        pytest.fail("the queue has no end")
    assert show(host)["state"] == "running"
    status, vm = host.request("POST", "/v1/vms/vm1/kill", {})
    assert status == 200 and "SIGKILL" in vm["exit"]["text"]


def test_only_plain_steps_are_taken_from_a_vmm(host, short_tmp):
    vm = run(host, short_tmp, cmdline="deep")
    assert [s["step"] for s in vm["start_steps"]] == ["check", "ports", "spawn", "process", "x"]
    assert show(host)["start_steps"] == vm["start_steps"]


@pytest.mark.parametrize("word, said", [
    ("fail", "no luck"), ("die", "its last words"), ("garbage", "viaduct-vmm")])
def test_a_failed_start_leaves_nothing(host, short_tmp, word, said):
    before = sorted(str(p) for p in host.run_dir.rglob("*"))
    body = run(host, short_tmp, cmdline=word, status=500)
    assert said in body["error"]["text"]
    assert sorted(str(p) for p in host.run_dir.rglob("*")) == before
    assert host.request("GET", "/v1/vms")[1]["vms"] == []
    run(host, short_tmp)


def test_a_name_is_used_once(host, short_tmp):
    pid = run(host, short_tmp)["pid"]
    error = run(host, short_tmp, status=409)["error"]
    assert "vm1" in error["text"] and "viaduct vm stop vm1" in error["hint"]
    assert show(host)["pid"] == pid
    host.request("POST", "/v1/vms/vm1/kill", {})
    assert run(host, short_tmp)["pid"] != pid


def test_a_killed_vmm_is_seen(host, short_tmp):
    os.kill(run(host, short_tmp)["pid"], signal.SIGKILL)
    assert eventually(lambda: show(host)["state"] == "failed")
    assert "SIGKILL" in show(host)["exit"]["text"]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_vms_survive_the_daemon(host, short_tmp, sig):
    before = run(host, short_tmp)
    host.stop(sig)
    assert pathlib.Path(f"/proc/{before['pid']}").exists()
    host.start()
    after = show(host)
    assert after["state"] == "running" and after["pid"] == before["pid"]
    assert after["start_seconds"] == before["start_seconds"]
    status, vm = host.request("POST", "/v1/vms/vm1/stop", {})
    assert status == 200 and vm["exit"]["reason"] == "poweroff"


def test_a_vm_of_the_first_contract_is_managed(host, short_tmp, program):
    """A daemon that is newer than its VMMs, as after an upgrade with VMs running."""
    pid = run(host, short_tmp, cmdline="first")["pid"]
    host.stop(signal.SIGKILL)
    host.start()
    vm = show(host)
    assert (vm["pid"], vm["state"], vm["answers"]) == (pid, "running", True)
    assert host.request("POST", "/v1/vms/vm1/pause", {})[1]["state"] == "paused"
    host.stop()
    host.start()
    assert show(host)["state"] == "paused"
    assert host.request("POST", "/v1/vms/vm1/resume", {})[1]["state"] == "running"
    status, body = host.request("GET", "/v1/vms/vm1/stats")
    assert status == 409 and body["error"]["code"] == "vmm-too-old", body
    shown = subprocess.run([program("viaduct"), "--run-dir", host.run_dir, "vm", "show", "vm1"],
                           capture_output=True, text=True, check=True).stdout
    assert "running" in shown and str(pid) in shown, shown
    status, vm = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 5})
    assert status == 200 and vm["state"] == "stopped" and vm["exit"]["reason"] == "poweroff"


def test_a_vm_that_answers_late_is_unknown_no_longer(host, short_tmp):
    pid = run(host, short_tmp)["pid"]
    os.kill(pid, signal.SIGSTOP)
    host.stop()
    host.config.write_text("rescan_s: 1\n")
    host.start()
    assert show(host)["state"] == "unknown"
    assert eventually(lambda: [a for a in host.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "vm-unknown"])
    os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: show(host)["state"] == "running")
    assert eventually(lambda: not [a for a in host.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "vm-unknown"])


def test_vms_that_end_without_the_daemon(host, short_tmp):
    killed, left = run(host, short_tmp, "killed"), run(host, short_tmp, "left")
    host.stop(signal.SIGKILL)
    os.kill(killed["pid"], signal.SIGKILL)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(host.run_dir / "vm/left/control.sock"))
        s.send(b'{"v":1,"op":"shutdown"}')
        s.recv(65536)
    assert eventually(lambda: not any(pathlib.Path(f"/proc/{vm['pid']}/fd").exists() and
                               pathlib.Path(f"/proc/{vm['pid']}/stat").read_text().split()[2] != "Z"
                               for vm in (killed, left)))
    host.start()
    assert show(host, "killed")["state"] == "unknown" and show(host, "killed")["exit"]["text"]
    assert show(host, "left")["state"] == "stopped"


def test_a_daemon_that_dies_during_a_start_ends_the_half_vm(host, short_tmp):
    import threading

    thread = threading.Thread(target=lambda: pytest.raises(Exception, run, host, short_tmp, "vm1", "silent"))
    thread.start()
    assert eventually(lambda: host.request("GET", "/v1/vms")[1]["vms"] and show(host)["pid"])
    pid = show(host)["pid"]
    assert show(host)["state"] == "starting"
    assert host.request("POST", "/v1/vms/vm1/kill", {})[0] == 409
    host.stop(signal.SIGKILL)
    thread.join()
    host.start()
    assert show(host)["state"] in ("failed", "unknown") and show(host)["pid"] is None
    assert eventually(lambda: not pathlib.Path(f"/proc/{pid}/cmdline").exists() or
               not pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
    run(host, short_tmp)


def test_a_start_that_cannot_be_written_is_none(host, short_tmp):
    """Else the next daemon would take a VM that runs for half a start, and end it."""
    import sqlite3
    import threading

    said = []
    yaml = daemonkit.vm_yaml(short_tmp, "vm1", "slow=2")
    thread = threading.Thread(target=lambda: said.append(host.request("POST", "/v1/vms", {"yaml": yaml})))
    thread.start()
    pid = eventually(lambda: host.request("GET", "/v1/vms")[1]["vms"] and show(host)["pid"])
    # Somebody looks into the ledger with other tools, for longer than viaductd waits.
    with contextlib.closing(sqlite3.connect(host.state_dir / "state.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        thread.join(9)
    thread.join()
    status, reply = said[0]
    if status == 200:
        host.stop(signal.SIGKILL)
        host.start()
        assert show(host)["pid"] == pid, host.text()
    else:
        assert reply["error"]["code"] == "state-locked", reply
    assert (status == 200) == (pathlib.Path(f"/proc/{pid}/cmdline").exists()
                               and pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() != b"")


def test_lists_do_not_wait_for_a_start(host, short_tmp):
    import threading

    thread = threading.Thread(target=lambda: run(host, short_tmp, "slow", "silent", 500), daemon=True)
    thread.start()
    assert eventually(lambda: host.request("GET", "/v1/vms")[1]["vms"])
    begin = time.monotonic()
    run(host, short_tmp, "quick")
    assert time.monotonic() - begin < 40  # the other one's takes 60 s
    os.kill(show(host, "slow")["pid"], signal.SIGKILL)
    thread.join(daemonkit.PATIENCE_S)
    assert [vm["name"] for vm in host.request("GET", "/v1/vms")[1]["vms"]] == ["quick"]


def test_a_vm_that_ends_while_the_ledger_is_locked_is_noted_later(host, short_tmp):
    import sqlite3

    pid = run(host, short_tmp)["pid"]
    with contextlib.closing(sqlite3.connect(host.state_dir / "state.db", timeout=daemonkit.PATIENCE_S)) as db:
        db.execute("BEGIN IMMEDIATE")
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: [a for a in host.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "state-locked"])
        assert show(host)["pid"] == pid
        db.rollback()
    assert eventually(lambda: show(host)["pid"] is None), show(host)
    vm = show(host)
    assert vm["state"] in ("failed", "unknown"), vm
    host.stop(signal.SIGKILL)
    host.start()
    assert (show(host)["state"], show(host)["exit"]) == (vm["state"], vm["exit"])

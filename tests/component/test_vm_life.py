# SPDX-License-Identifier: BSD-3-Clause
"""The everyday life of VMs that are defined, with a VMM that has no KVM."""

import contextlib
import http.client
import os
import signal
import sqlite3
import threading
import time

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_events import metrics
from test_daemon_vm import ask, show

QUICK = "on_crash: {action: restart, backoff: 1, max: 2, within: 600}\n"


def create(host, folder, name="vm1", extra="", cmdline="", status=200, **more):
    got, body = host.request("POST", "/v1/vms/create", {"yaml": daemonkit.vm_yaml(folder, name, cmdline, extra), **more})
    assert got == status, body
    return body


def do(host, verb, name="vm1", body=None, status=200):
    got, reply = host.request("POST", f"/v1/vms/{name}/{verb}", body or {})
    assert got == status, reply
    return reply


def state(host, name="vm1"):
    return show(host, name)["state"]


def history(host, name="vm1"):
    """(what, cause), the oldest first."""
    return [(h["what"], h["cause"]) for h in reversed(host.request("GET", f"/v1/vms/{name}/history")[1]["history"])]


def alarms(host):
    return {(a["kind"], a["object"]) for a in host.request("GET", "/v1/alarms")[1]["alarms"]}


def crash(host, name="vm1"):
    os.kill(show(host, name)["pid"], signal.SIGKILL)


def power_cut(host):
    """The host goes, and comes up again with another boot id."""
    pids = [vm["pid"] for vm in host.request("GET", "/v1/vms")[1]["vms"] if vm["pid"]]
    host.stop(signal.SIGKILL)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for table in ("vms", "keeper"):
        daemonkit.ledger_change(host, f"UPDATE {table} SET boot_id = 'an older boot'")


def test_a_definition_lives_until_it_is_deleted(host, short_tmp):
    vm = create(host, short_tmp)
    assert vm["state"] == "stopped" and vm["exit"] is None and vm["defined"]["wanted"] is False
    host.stop(signal.SIGKILL)
    host.start()
    assert [v["name"] for v in host.request("GET", "/v1/vms")[1]["vms"]] == ["vm1"]
    vm = do(host, "start")
    assert vm["state"] == "running" and vm["defined"]["wanted"] is True and vm["pid"]
    assert do(host, "start")["pid"] == vm["pid"]  # what is so already is no error
    assert do(host, "delete", status=409)["error"]["hint"].startswith("viaduct vm stop vm1")
    assert do(host, "stop")["state"] == "stopped"
    vm = do(host, "stop")
    assert vm["state"] == "stopped" and vm["defined"]["wanted"] is False
    assert history(host) == [("started", "vm start"), ("ended", "poweroff")]
    assert [e["what"] for e in vm["ends"]] == ["ended", "started"] and "uid" in vm["ends"][0]["who"]
    assert do(host, "delete") == {"name": "vm1", "deleted": True}
    assert not (host.run_dir / "vm/vm1").exists()
    assert host.request("GET", "/v1/vms")[1]["vms"] == []
    do(host, "delete", status=404)
    host.stop()
    host.start()
    assert host.request("GET", "/v1/vms")[1]["vms"] == []


def test_a_name_is_defined_once(host, short_tmp):
    first = create(host, short_tmp)
    assert create(host, short_tmp)["defined"]["changed_at"] == first["defined"]["changed_at"]
    error = create(host, short_tmp, cmdline="other", status=409)["error"]
    assert error["code"] == "vm-defined" and "--replace" in error["hint"]
    do(host, "start")
    vm = create(host, short_tmp, cmdline="other", replace=True)
    assert vm["state"] == "running" and vm["defined"]["differs"] is True
    vm = do(host, "restart")
    assert vm["state"] == "running" and vm["defined"]["differs"] is False
    assert vm["exit"] is None and history(host)[-1] == ("started", "vm restart")
    status, body = host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})
    assert status == 409 and body["error"]["code"] == "vm-defined" and body["error"]["text"].count("vm1") == 1
    assert do(host, "delete", body={"force": True}) == {"name": "vm1", "deleted": True}


def test_a_transient_vm_is_nothing_more(host, short_tmp):
    status, vm = host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp, extra="autostart: {order: 1}\n")})
    assert status == 200 and vm["defined"] is None and "vm create" in vm["warnings"][0]
    assert create(host, short_tmp, status=409)["error"]["code"] == "vm-exists"
    for verb in ("start", "restart"):
        assert do(host, verb, status=409)["error"]["code"] == "vm-transient"
    do(host, "stop")
    do(host, "stop", status=409)
    assert history(host) == [("started", "vm run"), ("ended", "poweroff")]
    assert create(host, short_tmp)["exit"]["reason"] == "poweroff"
    do(host, "delete")


@pytest.mark.parametrize("extra, words", [
    ("autostart: {after: [nosuch]}\n", "nosuch"), ("autostart: {after: [vm1]}\n", "itself"),
    ("autostart: {order: 1001}\n", "autostart.order"), ("autostart: {after: [a, a]}\n", "twice"),
    ("on_crash: {action: reboot}\n", "reboot"), ("on_crash: {max: 0}\n", "on_crash.max"),
    ("on_crash: {backoff: 301}\n", "on_crash.backoff"), ("stop: {timeout: 3601}\n", "stop.timeout")])
def test_what_makes_no_sense_is_refused(host, short_tmp, extra, words):
    status, body = host.request("POST", "/v1/vms/create", {"yaml": daemonkit.vm_yaml(short_tmp, extra=extra)})
    assert status in (400, 409) and words in body["error"]["text"], body
    assert host.request("GET", "/v1/vms")[1]["vms"] == []


def test_what_a_vm_that_has_ended_cannot_do_says_how_it_starts(host, short_tmp):
    host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})
    do(host, "stop")
    create(host, short_tmp, "kept")
    for verb in ("pause", "resume", "quarantine", "unquarantine"):
        error = do(host, verb, status=409)["error"]
        assert error["code"] == "vm-state" and error["hint"].startswith("viaduct vm run FILE"), error
        assert do(host, verb, "kept", status=409)["error"]["hint"] == "viaduct vm start kept"
    assert do(host, "kill", status=409)["error"]["hint"] == "viaduct vm show vm1"


def test_a_cycle_is_refused(host, short_tmp):
    create(host, short_tmp, "a")
    create(host, short_tmp, "b", "autostart: {after: [a]}\n")
    create(host, short_tmp, "c", "autostart: {after: [b]}\n")
    error = create(host, short_tmp, "a", "autostart: {after: [c]}\n", replace=True, status=409)["error"]
    assert error["code"] == "autostart-cycle", error
    assert show(host, "a")["defined"]["autostart"] is None
    error = do(host, "delete", "a", status=409)["error"]
    assert error["code"] == "vm-needed" and "b" in error["text"]
    do(host, "delete", "a", {"force": True})


def test_files_are_opened_anew_at_each_start(host, short_tmp):
    create(host, short_tmp)
    (short_tmp / "kernel").unlink()
    error = do(host, "start", status=500)["error"]
    assert str(short_tmp / "kernel") in error["text"]
    assert state(host) == "stopped" and show(host)["defined"]["held"] is None and not alarms(host)
    assert history(host) == [("start-failed", "vm start")]
    daemonkit.kernel_make(short_tmp / "kernel")
    assert do(host, "start")["state"] == "running"


def test_a_creator_who_is_gone(host, short_tmp):
    create(host, short_tmp)
    host.stop()
    daemonkit.ledger_change(
        host, "UPDATE definitions SET facts = json_set(facts, '$.uid', 54321, '$.gid', 54321, '$.user', 'leaver')")
    host.start()
    error = do(host, "start", status=409)["error"]
    assert error["code"] == "creator-gone" and "leaver" in error["text"] and "--replace" in error["hint"]
    create(host, short_tmp, replace=True)
    do(host, "start")


def test_a_crash_is_followed_by_a_restart_with_back_off(host, short_tmp):
    create(host, short_tmp, extra=QUICK)
    pid = do(host, "start")["pid"]
    for round_ in (1, 2):
        crash(host)
        assert eventually(lambda: show(host)["defined"]["restart_at"])
        began = time.monotonic()
        assert eventually(lambda: state(host) == "running" and show(host)["pid"] != pid)
        # The second time twice as long; the clock is one of whole seconds.
        assert time.monotonic() - began > (0, 0, 0.8)[round_]
        pid = show(host)["pid"]
        defined = show(host)["defined"]
        assert (defined["crashes"], defined["restarts"]) == (round_, round_)
    crash(host)
    assert eventually(lambda: ("vm-crash-loop", "vm1") in alarms(host))
    vm = show(host)
    assert vm["state"] == "failed" and "crashed 3 times within 600 s" in vm["defined"]["held"]["text"]
    host.stop(signal.SIGKILL)
    host.start()
    assert eventually(lambda: ("vm-crash-loop", "vm1") in alarms(host))
    time.sleep(2)
    assert state(host) == "failed"
    vm = do(host, "start")
    assert vm["defined"]["held"] is None and vm["defined"]["crashes"] == 0
    assert eventually(lambda: not alarms(host))
    assert history(host)[-2:] == [("ended", "signal"), ("started", "vm start")]
    assert history(host).count(("started", "on_crash")) == 2


def test_crashes_are_counted_over_the_daemon(host, short_tmp):
    create(host, short_tmp, extra=QUICK)
    do(host, "start")
    crash(host)
    assert eventually(lambda: show(host)["defined"]["crashes"] == 1)
    host.stop(signal.SIGKILL)
    host.start()
    assert eventually(lambda: state(host) == "running")
    assert show(host)["defined"]["crashes"] == 1
    # And one that happens while nobody looks.
    pid = show(host)["pid"]
    host.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    host.start()
    assert eventually(lambda: state(host) == "running" and show(host)["pid"] != pid)
    assert show(host)["defined"]["crashes"] == 2


def test_a_clock_that_is_set_makes_no_vm_older(host, short_tmp):
    create(host, short_tmp)
    do(host, "start")
    for at in (1, 4102444800):
        host.stop(signal.SIGKILL)
        daemonkit.ledger_change(host, "UPDATE vms SET facts = json_set(facts, '$.started_at', ?)", at)
        host.start()
        assert 0 <= show(host)["uptime_s"] < 3600 and show(host)["started_at"] == at


@pytest.mark.parametrize("how", ["guest", "stop", "kill"])
def test_an_end_that_is_wanted_is_no_crash(host, short_tmp, how):
    create(host, short_tmp, extra=QUICK)
    do(host, "start")
    if how == "guest":
        ask(host, "vm1", "shutdown")
        assert eventually(lambda: state(host) == "stopped")
    else:
        do(host, how)
    time.sleep(1.5)
    vm = show(host)
    assert vm["state"] == "stopped" and vm["defined"]["wanted"] is False and vm["defined"]["crashes"] == 0


def test_a_stop_while_a_restart_waits(host, short_tmp):
    create(host, short_tmp, extra="on_crash: {backoff: 2}\n")
    do(host, "start")
    crash(host)
    assert eventually(lambda: show(host)["defined"]["restart_at"])
    vm = do(host, "stop")
    assert vm["defined"]["restart_at"] is None and vm["defined"]["wanted"] is False
    time.sleep(2.5)
    assert state(host) == "failed"


def test_without_a_policy_a_crash_is_the_end(host, short_tmp):
    create(host, short_tmp)
    do(host, "start")
    crash(host)
    assert eventually(lambda: state(host) == "failed")
    assert show(host)["defined"]["wanted"] is False and not alarms(host)


def started(host, *names):
    """In which order these were started last."""
    text = host.text()
    return sorted(names, key=lambda name: text.rindex(f"VM {name} is running"))


def test_vms_start_with_the_host_in_their_order(host, short_tmp):
    create(host, short_tmp, "db", "autostart: {order: 20}\n")
    create(host, short_tmp, "web", "autostart: {order: 1, after: [db], delay: 1}\n")
    create(host, short_tmp, "early", "autostart: {order: 10}\n")
    create(host, short_tmp, "ran")
    create(host, short_tmp, "idle")
    do(host, "start", "ran")
    power_cut(host)
    host.start()
    names = ("db", "web", "early", "ran")
    assert eventually(lambda: all(state(host, n) == "running" for n in names))
    assert started(host, *names) == ["early", "db", "web", "ran"]
    assert state(host, "idle") == "stopped"
    assert history(host, "ran") == [("started", "vm start"), ("ended", "host-restarted"), ("started", "autostart")]
    # A mere restart of the daemon is no boot.
    do(host, "stop", "early")
    host.stop()
    host.start()
    time.sleep(1)
    assert state(host, "early") == "stopped"


def test_one_that_fails_takes_only_those_along_that_need_it(host, short_tmp):
    create(host, short_tmp, "db", "autostart: {order: 1}\n", cmdline="fail")
    create(host, short_tmp, "web", "autostart: {after: [db]}\n")
    create(host, short_tmp, "proxy", "autostart: {after: [web]}\n")
    create(host, short_tmp, "other", "autostart: {order: 200}\n")
    power_cut(host)
    host.start()
    assert eventually(lambda: state(host, "other") == "running")
    assert eventually(lambda: {("vm-start-failed", n) for n in ("db", "web", "proxy")} == alarms(host))
    assert "no luck" in show(host, "db")["defined"]["held"]["text"]
    assert "db" in show(host, "web")["defined"]["held"]["text"]
    create(host, short_tmp, "db", "autostart: {order: 1}\n", replace=True)
    for name in ("db", "web", "proxy"):
        do(host, "start", name)
    assert eventually(lambda: not alarms(host))


def test_a_daemon_that_dies_in_the_middle_goes_on_starting(host, short_tmp):
    for n in range(6):
        create(host, short_tmp, f"vm{n}", f"autostart: {{order: {n}, delay: {n % 2}}}\n")
    power_cut(host)
    host.start()
    assert eventually(lambda: state(host, "vm0") == "running")
    host.stop(signal.SIGKILL)
    host.start()
    assert eventually(lambda: all(state(host, f"vm{n}") == "running" for n in range(6)))


def test_all_stop_backwards_and_come_back(host, short_tmp):
    create(host, short_tmp, "db", "autostart: {order: 1}\nstop: {timeout: 2}\n", cmdline="deaf")
    create(host, short_tmp, "web", "autostart: {after: [db]}\n" + QUICK)
    create(host, short_tmp, "idle")
    for name in ("db", "web"):
        do(host, "start", name)
    assert host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp, "guest")})[0] == 200
    began = time.monotonic()
    status, done = host.request("POST", "/v1/host/stop-vms", {})
    assert status == 200, done
    assert [vm["name"] for vm in done["vms"]] == ["guest", "web", "db"]
    assert [vm["exit"]["reason"] for vm in done["vms"]] == ["poweroff", "poweroff", "killed"]
    assert 2 <= time.monotonic() - began < 30 and all(vm["error"] is None for vm in done["vms"])
    # Nothing starts by itself, not even after the daemon; but it shall run.
    host.stop()
    host.start()
    time.sleep(1)
    assert [state(host, n) for n in ("db", "web")] == ["stopped", "stopped"]
    assert show(host, "web")["defined"]["wanted"] is True
    assert host.request("POST", "/v1/host/start-vms", {})[1]["starting"] == ["db", "web"]
    assert eventually(lambda: all(state(host, n) == "running" for n in ("db", "web")))
    assert started(host, "web", "db") == ["db", "web"] and state(host, "idle") == "stopped"
    # And so it is when the host does go down.
    host.request("POST", "/v1/host/stop-vms", {})
    power_cut(host)
    host.start()
    assert eventually(lambda: all(state(host, n) == "running" for n in ("db", "web")))


def test_all_together_have_one_deadline(host, short_tmp):
    for n in range(3):
        create(host, short_tmp, f"deaf{n}", f"autostart: {{order: {n}}}\nstop: {{timeout: 600}}\n", cmdline="deaf")
        do(host, "start", f"deaf{n}")
    began = time.monotonic()
    status, done = host.request("POST", "/v1/host/stop-vms", {"timeout_s": 2})
    assert status == 200 and [vm["exit"]["reason"] for vm in done["vms"]] == ["killed"] * 3
    assert time.monotonic() - began < 30


def start_slowly(host, folder, seconds):
    """The VM "slow", on its way up."""
    create(host, folder, "slow", cmdline=f"slow={seconds}")
    host.request("POST", "/v1/vms/slow/start", {}, Prefer="respond-async")
    assert eventually(lambda: state(host, "slow") == "starting")


def test_one_that_ends_by_itself_is_down_and_one_that_starts_is_waited_for(host, short_tmp):
    create(host, short_tmp, "db", "autostart: {order: 1}\n")
    create(host, short_tmp, "web", "autostart: {order: 2}\nstop: {timeout: 3}\n", cmdline="deaf")
    for name in ("db", "web"):
        do(host, "start", name)
    start_slowly(host, short_tmp, 8)
    operation = host.request("POST", "/v1/host/stop-vms", {}, Prefer="respond-async")[1]["operation"]
    assert eventually(lambda: state(host, "web") == "stopping")
    crash(host, "db")
    path = f"/v1/operations/{operation['id']}?wait=60"
    assert eventually(lambda: host.request("GET", path)[1]["operation"]["state"] == "done")
    done = host.request("GET", path)[1]["operation"]["result"]["vms"]
    assert [(vm["name"], vm["error"], vm["exit"]["reason"]) for vm in done] == [
        ("web", None, "killed"), ("db", None, "signal"), ("slow", None, "poweroff")]


def test_whoever_takes_the_host_down_learns_what_is_left(host, short_tmp):
    start_slowly(host, short_tmp, 15)
    done = host.cli("vm", "stop", "--all", "--timeout", "0")
    assert done.returncode == 1 and "VM slow has not ended" in done.stdout and "1 of 1 VMs" in done.stderr, done
    left = host.cli("vm", "stop", "--all", "--timeout", "0", "--no-wait").stdout.strip()
    done = host.cli("operation", "show", left, "--follow")
    assert done.returncode == 1 and "1 of 1 VMs" in done.stderr and "done" not in done.stdout, done
    assert eventually(lambda: state(host, "slow") == "running")
    done = host.cli("vm", "stop", "--all", "--json")
    assert done.returncode == 0 and '"slow"' in done.stdout, done


def test_the_file_says_how_long_a_stop_may_take(host, short_tmp):
    create(host, short_tmp, extra="stop: {timeout: 1}\n", cmdline="deaf")
    do(host, "start")
    vm = do(host, "stop")
    assert vm["exit"]["text"].startswith("it did not power off within 1 s")


def test_a_guest_that_stays_up_shall_stay_up(host, short_tmp):
    create(host, short_tmp, cmdline="deaf")
    do(host, "start")
    do(host, "stop", body={"timeout_s": 0, "kill": False}, status=500)
    assert show(host)["defined"]["wanted"] is True
    do(host, "kill")


def test_a_request_ends_with_who_waited_for_it(host, short_tmp):
    create(host, short_tmp, extra=QUICK, cmdline="deaf")
    do(host, "start")
    host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 600}, Prefer="respond-async")
    assert eventually(lambda: state(host) == "stopping")
    host.stop()
    host.start()
    # The guest goes on, so it shall.
    assert state(host) == "running" and show(host)["defined"]["wanted"] is True
    host.stop()
    daemonkit.ledger_change(host, "UPDATE vms SET facts = json_set(facts, '$.asked.at', ?)", int(time.time()) - 4000)
    host.start()
    crash(host)
    assert eventually(lambda: show(host)["defined"]["crashes"] == 1)
    assert show(host)["defined"]["wanted"] is True and show(host)["ends"][0]["who"] is None


def killed_meanwhile(host, verb, body, then):
    """A request during which viaductd is killed, once then() is true; then a new one."""
    def request():
        with contextlib.suppress(OSError, http.client.HTTPException):
            host.request("POST", f"/v1/vms/vm1/{verb}", body)

    asker = threading.Thread(target=request)
    asker.start()
    assert eventually(then)
    host.stop(signal.SIGKILL)
    asker.join()
    host.start()


def test_a_stop_that_is_cut_short_is_forgotten(host, short_tmp):
    create(host, short_tmp, extra=QUICK, cmdline="deaf")
    do(host, "start")
    killed_meanwhile(host, "stop", {"timeout_s": 600}, lambda: state(host) == "stopping")
    vm = show(host)
    assert vm["state"] == "running" and vm["defined"]["wanted"] is True
    # As of any VM that shall run, an end of which the request has long run out is a crash.
    host.stop()
    daemonkit.ledger_change(host, "UPDATE vms SET facts = json_set(facts, '$.asked.at', ?)", int(time.time()) - 4000)
    host.start()
    crash(host)
    assert eventually(lambda: show(host)["defined"]["restarts"] == 1)
    assert 'viaduct_vm_restarts_total{vm="vm1"} 1\n' in metrics(host)
    crash(host)
    assert eventually(lambda: show(host)["defined"]["restarts"] == 2)
    crash(host)
    assert eventually(lambda: ("vm-crash-loop", "vm1") in alarms(host))
    assert 'viaduct_vms_held{reason="vm-crash-loop"} 1\n' in metrics(host)


def test_a_guest_that_ends_after_a_stop_was_cut_short_stays_down(host, short_tmp):
    create(host, short_tmp, extra=QUICK, cmdline="deaf")
    do(host, "start")
    killed_meanwhile(host, "stop", {"timeout_s": 600}, lambda: state(host) == "stopping")
    assert show(host)["defined"]["wanted"] is True
    # Whatever the end: it was asked for a moment ago.
    crash(host)
    assert eventually(lambda: show(host)["pid"] is None)
    assert show(host)["defined"]["wanted"] is False


def test_a_kill_that_is_cut_short_is_taken_up(host, short_tmp):
    create(host, short_tmp, extra=QUICK, cmdline="stubborn")
    do(host, "start")
    pid = show(host)["pid"]

    def is_asked():
        with contextlib.closing(sqlite3.connect(host.state_dir / "state.db")) as db:
            return '"kill"' in db.execute("SELECT facts FROM vms WHERE name = 'vm1'").fetchone()[0]

    killed_meanwhile(host, "kill", {}, is_asked)
    assert eventually(lambda: "was killed while it was to be killed" in host.text())
    assert eventually(lambda: show(host)["pid"] is None)
    vm = show(host)
    # It heeds no request either, so it has left no record: it is said who wanted that, and nothing is left to look at.
    assert vm["state"] == "failed" and vm["exit"]["reason"] == "signal" and vm["defined"]["wanted"] is False
    assert "it did not answer when" in vm["exit"]["text"] and "wanted it killed" in vm["exit"]["text"]
    assert not os.path.exists(f"/proc/{pid}") or "Z" in open(f"/proc/{pid}/stat").read()


def test_the_way_out_of_an_alarm_leads_to_no_other(host, short_tmp):
    """A VMM that does not answer is none of this daemon's children; as the alarm's hint says, it is killed."""
    create(host, short_tmp)
    os.kill(do(host, "start")["pid"], signal.SIGSTOP)
    host.stop(signal.SIGKILL)
    host.start()
    assert eventually(lambda: ("vm-unknown", "vm1") in alarms(host))
    do(host, "kill")
    assert state(host) == "failed" and "wanted it killed" in show(host)["exit"]["text"]
    assert eventually(lambda: not alarms(host))
    assert history(host)[-1] == ("ended", "signal")


def test_history_has_an_end(host, short_tmp):
    create(host, short_tmp)
    host.stop()
    for n in range(200):
        daemonkit.ledger_change(host, "INSERT INTO history(vm, at, what, cause, text, who) VALUES('vm1', ?, 'ended', 'x', '', '')", n)
    host.start()
    rows = host.request("GET", "/v1/vms/vm1/history")[1]["history"]
    assert [r["at"] for r in rows] == list(range(199, 135, -1))


def test_the_command(host, short_tmp):
    file = short_tmp / "vm1.yaml"
    file.write_text(daemonkit.vm_yaml(short_tmp, extra=QUICK + "autostart: {order: 7, delay: 3}\n"))

    def cli(*words, status=0):
        done = host.cli("vm", *words)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    assert "viaduct vm start vm1" in cli("create", file)
    assert "stopped" in cli("list") and "defined" in cli("list")
    assert "running" in cli("start", "vm1")
    text = cli("show", "vm1")
    assert "with the host: order 7, 3 s later" in text and "at most 2 times in 600 s" in text and "vm start" in text
    assert "running" in cli("restart", "vm1")
    file.write_text(daemonkit.vm_yaml(short_tmp))
    assert "--replace" in cli("create", file, status=1)
    assert "next start" in cli("create", file, "--replace") and "next start" in cli("show", "vm1")
    assert "VM vm1 has ended" in cli("stop", "--all")
    end = host.request("GET", "/v1/vms/vm1/history")[1]["history"][0]
    assert (end["what"], end["cause"]) == ("ended", "poweroff") and f"uid {os.getuid()}" in end["who"]
    assert end["text"].endswith(f"asked to by {end['who']}") and end["who"] in cli("history", "vm1")
    assert "vm1" in cli("start", "--all")
    assert eventually(lambda: state(host) == "running")
    assert "--force" in cli("delete", "vm1", status=1)
    assert "vm restart" in cli("history", "vm1") and "autostart" in cli("history", "vm1")
    assert "deleted" in cli("delete", "vm1", "--force")
    assert "one of them" in cli("stop", status=2) and "one of them" in cli("start", "vm1", "--all", status=2)

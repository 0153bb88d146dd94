# SPDX-License-Identifier: BSD-3-Clause
"""Disks of VMs when something about them is wrong: a viaduct-pmd that lies or hangs, a daemon that comes back, a guest that writes."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from daemonkit import eventually, ledger_change
from disk_front import SECTOR, T_OUT
from test_daemon_events import metrics
from test_disk_hang import frozen
from test_vm_disks import DISK_UID, MIB, UIDS, alarms, disk, host, lock_is_free

assert host and frozen  # the fixtures

# A viaduct-pmd as an attacker would have it: it answers what it likes. Words of its behaviour come from a file.
FAKE = r'''#!/usr/bin/python3
import array, json, os, socket, threading
WORD = os.path.join(os.path.dirname(os.path.realpath(__file__)), "word")
COUNTS = ["in_flight", "kicks", "calls", "bad_chains", "errors", "no_space", "reads", "writes", "flushes", "discards", "zeroes",
          "read_bytes", "written_bytes"]
SAID = {"full": {"errors": 1, "no_space": 1, "written_bytes": 1000}, "works": {"written_bytes": 10}}
sock = socket.socket(fileno=3)
_, fds, _, _ = socket.recv_fds(sock, 200000, 4)
listener = socket.socket(fileno=fds[0])
listener.setblocking(True)
disks, images = {}, []
sock.send(json.dumps({"v": 1, "ok": True, "result": {}}).encode())

def one(name):
    return {"disk": name, "state": "connected", "pid": 0, "queues": 1, "size": 8388608, "block_size": 512, "readonly": False,
            "direct": False, "features": "0x0", "error": "", "io_error": ""}

def answer(ask):
    word, op = open(WORD).read(), ask["op"]
    names = list(disks) + (['vm1/x"y', "vm1/other"] if word == "names" else ["vm1/other"] if word == "others" else [])
    if op == "status":
        return {"pid": os.getpid(), "disks": [one(name) for name in names]}
    if op == "stats":
        return {"disks": [{"disk": name, **dict.fromkeys(COUNTS, 0), **SAID.get(word, {})} for name in names]}
    if op == "disk-add":
        disks[ask["disk"]] = 1
        return {"disk": one(ask["disk"])}
    if op == "disk-remove":
        with open(WORD + ".log", "a") as log:
            log.write(ask["disk"] + "\n")
        if word == "busy":
            return {"code": "disk-busy", "errno": 16, "text": "its I/O has not ended"}
        return None if word == "silent" else {}
    if op == "quit" and word == "hangs":
        os.ftruncate(images[0], 1 << 20)
    if op == "quit" and word != "stays":
        os._exit(0)
    if op == "quit":
        return None
    return {}

def serve(conn):
    while True:
        data, fds, _, _ = socket.recv_fds(conn, 200000, 4)
        if not data:
            return
        images.extend(fds)
        result = answer(json.loads(data))
        if result is not None and "code" in result:
            conn.send(json.dumps({"v": 1, "ok": False, "error": result}).encode())
        elif result is not None:
            conn.send(json.dumps({"v": 1, "ok": True, "result": result}).encode())

while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn,), daemon=True).start()
'''


def fake(host, word):
    (host.folder / "word").write_text(word)
    (host.folder / "word.log").write_text("")
    os.chmod(host.folder / "word.log", 0o666)
    (host.folder / "pmd").write_text(FAKE)


def test_a_backend_that_never_lets_a_disk_go_keeps_nobody_waiting(host):
    fake(host, "silent")
    host.ok(disks=disk(host.image()))
    os.kill(host.vm()["pid"], signal.SIGKILL)
    begin = time.monotonic()
    assert eventually(lambda: host.vm()["state"] != "running")
    status, reply = host.daemon.request("POST", "/v1/vms", {"yaml": host.yaml("vm2").replace("disks:\n", "")})
    assert status == 200, reply
    assert time.monotonic() - begin < 25
    assert eventually(lambda: host.pmd_pid() is None)


def test_what_is_busy_goes_with_the_process_of_its_vm(host):
    fake(host, "busy")
    host.ok(disks=disk(host.image()) + disk(host.image("b.img"), "b"))
    host.ok("vm2", disks=disk(host.image("c.img")))
    pid = host.pmd_pid("vm2")
    assert host.daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    assert eventually(lambda: host.pmd_pid() is None)
    time.sleep(2)
    asked = (host.folder / "word.log").read_text().splitlines()
    assert sorted(asked) == ["vm1/b", "vm1/root"], asked
    assert host.vm("vm2")["disks"][0]["state"] == "connected" and host.pmd_pid("vm2") == pid


def test_a_process_that_does_not_quit_is_killed_and_its_vm_starts_again(host):
    fake(host, "stays")
    host.ok(disks=disk(host.image()))
    former = host.pmd_pid()
    assert host.daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    host.ok(disks=disk(host.image()))
    assert host.pmd_pid() not in (None, former) and not os.path.exists(f"/proc/{former}")


def uid_of(host, name):
    return Path(f"/proc/{host.vm(name)['pid']}/status").read_text().split("Uid:\t")[1].split()[0]


def test_what_is_left_of_one_vm_has_nothing_to_do_with_the_next(host):
    """A backend that does not quit for three seconds may pass through the run folder of the uid of its VM."""
    fake(host, "stays")
    host.ok(disks=disk(host.image()))
    former, left = uid_of(host, "vm1"), host.pmd_pid()
    assert host.daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    host.ok("vm2", disks=disk(host.image("b.img")))
    assert uid_of(host, "vm2") != former
    assert eventually(lambda: not os.path.exists(f"/proc/{left}"))
    host.ok("vm3", disks=disk(host.image("c.img")))
    assert uid_of(host, "vm3") == former


def test_storage_that_hangs_under_a_killed_backend_is_a_matter_of_its_vm(host, frozen):  # noqa: F811
    """The kernel keeps that process with all its images."""
    folder, freeze = frozen
    image = folder / "a.img"
    image.write_bytes(bytes(MIB))
    host.ok(disks=disk(image))
    host.ok("vm2", disks=disk(host.image("b.img")))
    with host.front() as front:
        hung, other = host.pmd_pid(), host.pmd_pid("vm2")
        freeze(True)
        front.begin(T_OUT, data=b"w" * 4096)
        front.kick(0)
        assert eventually(lambda: host.vm()["disks"][0]["stats"]["in_flight"] == 1)
        os.kill(hung, signal.SIGKILL)
        assert eventually(lambda: ("disk-down", "vm1/root") in alarms(host))
        host.ok("vm3", disks=disk(host.image("c.img")))
        assert eventually(lambda: host.vm("vm3")["disks"][0]["state"] == "connected")
        assert host.vm("vm2")["disks"][0]["state"] == "connected" and host.pmd_pid("vm2") == other
        freeze(False)
        front.connect()
        assert front.read(0, SECTOR) == b"w" * SECTOR
        assert eventually(lambda: ("disk-down", "vm1/root") not in alarms(host))


def test_a_process_that_cannot_be_killed_keeps_its_vm_from_starting_and_no_other(host, frozen):  # noqa: F811
    folder, freeze = frozen
    fake(host, "hangs")
    image = folder / "a.img"
    image.write_bytes(bytes(MIB))
    host.ok(disks=disk(image))
    host.ok("vm2", disks=disk(host.image("b.img")))
    hung, other = host.pmd_pid(), host.pmd_pid("vm2")
    freeze(True)
    assert host.daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    error = host.refused(disks=disk(host.image()))
    assert error["code"] == "backend-down" and "former run does not end" in error["text"], error
    host.ok("vm3", disks=disk(host.image("c.img")))
    assert host.vm("vm2")["disks"][0]["state"] == "connected" and host.pmd_pid("vm2") == other
    freeze(False)
    assert eventually(lambda: not os.path.exists(f"/proc/{hung}"))
    host.ok(disks=disk(image))


def test_a_new_process_counts_from_nothing(host):
    """What its disk has written is compared with nothing that a process before it has."""
    fake(host, "full")
    host.ok(disks=disk(host.image()))
    assert eventually(lambda: ("disk-full", "vm1/root") in alarms(host))
    (host.folder / "word").write_text("works")
    os.kill(host.pmd_pid(), signal.SIGKILL)
    assert eventually(lambda: not alarms(host)), alarms(host)


@pytest.mark.parametrize("word", ["names", "others"])
def test_names_of_a_backend_that_lies_are_not_passed_on(host, word):
    fake(host, "silent")
    host.ok(disks=disk(host.image()))
    assert eventually(lambda: 'viaduct_disk_requests_total{disk="vm1/root"' in metrics(host.daemon))
    (host.folder / "word").write_text(word)
    for _ in range(4):
        time.sleep(1)
        said = metrics(host.daemon)
        assert 'x"y' not in said and 'disk="vm1/other"' not in said
    (host.folder / "word").write_text("silent")


def test_a_guest_cannot_make_its_own_disk_unfit(host):
    """What it writes at its beginning is no reason to refuse a start: only who hands in a file hears of it."""
    image = host.image()
    assert host.daemon.request("POST", "/v1/vms/create", {"yaml": host.yaml(disks=disk(image))})[0] == 200
    for magic in (b"QFI\xfb", b"conectix", b"LUKS\xba\xbe"):
        with open(image, "r+b") as file:
            file.write(magic)
        status, reply = host.daemon.request("POST", "/v1/vms/vm1/start", {})
        assert status == 200, reply
        assert ("format: raw" in (host.vm()["disks"][0]["warning"] or "")) is (magic[:4] != b"LUKS")
        assert host.daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    with open(image, "r+b") as file:
        file.write(b"QFI\xfb")
    error = host.refused("vm2", disks=disk(image))
    assert error["code"] == "image-format" and "format: raw" in error["hint"], error
    host.ok("vm2", disks=disk(image, more=", format: raw"))
    assert host.vm("vm2")["disks"][0]["warning"] is None or "direct" in host.vm("vm2")["disks"][0]["warning"]


def test_a_disk_grows_after_the_daemon_came_back(host):
    image = host.image()
    host.ok(disks=disk(image))
    host.daemon.stop(signal.SIGKILL)
    image.rename(host.folder / "moved.img")
    host.daemon.start()
    said = host.daemon.cli("disk", "resize", "vm1/root", "24M")
    assert said.returncode == 0, said
    assert (host.folder / "moved.img").stat().st_size == 24 * MIB


def test_a_disk_whose_vmm_is_not_reached_is_an_alarm(host):
    host.ok(disks=disk(host.image()))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    (host.daemon.run_dir / "pmd/disk-vm1/0.sock").unlink()
    os.kill(host.pmd_pid(), signal.SIGKILL)
    assert eventually(lambda: ("disk-down", "vm1/root") in alarms(host))
    assert 'viaduct_disk_served{disk="vm1/root"} 0' in metrics(host.daemon)


def test_uids_that_change_while_vms_run_wait(host):
    host.ok(disks=disk(host.image()))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    host.daemon.stop(signal.SIGKILL)
    host.daemon.config.write_text("uids: {first: 64000, count: 101}\n")
    host.daemon.start()
    for _ in range(2):
        assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected"), host.daemon.text()
        pid = host.pmd_pid()
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda before=pid: host.pmd_pid() not in (None, before))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    assert f"keeps uid {DISK_UID}" in host.daemon.text()
    assert ("disk-down", "vm1/root") not in alarms(host)
    host.kill_all()
    assert eventually(lambda: host.pmd_pid() is None)
    host.ok(disks=disk(host.image()))
    assert host.vmm()["disk_spec"][0]["backend_uid"] == DISK_UID + 1
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")


@pytest.mark.parametrize("backends", ["{uid: 64098}", "{disk_uid: 64099}", "{uid: 1900, disk_uid: 1900}"])
def test_no_two_backends_have_one_uid(host, backends):
    host.daemon.stop()
    host.daemon.config.write_text(UIDS + f"backends: {backends}\n")
    with pytest.raises(pytest.fail.Exception, match="is uid"):
        host.daemon.start()
    host.daemon.config.write_text(UIDS)
    host.daemon.start()


def as_the_version_before_left_it(host):
    """The daemon is away. One process, disk0, served the disks of all VMs: here vm1's alone, so that vm2's guest waits for the next."""
    run = host.daemon.run_dir / "pmd"
    os.kill(host.pmd_pid("vm2"), signal.SIGKILL)
    os.rename(run / "disk-vm1", run / "disk0")
    os.chown(run / "disk0", 0, DISK_UID)
    os.rename(run / "disk-vm2/0.sock", run / "disk0/1.sock")
    shutil.rmtree(run / "disk-vm2")
    for vm, nr in (("vm1", 0), ("vm2", 1)):
        ledger_change(host.daemon, "UPDATE vms SET facts = replace(facts, ?, ?)", f"pmd/disk-{vm}/0.sock", f"pmd/disk0/{nr}.sock")
    ledger_change(host.daemon, "DELETE FROM backends WHERE name = 'disk-vm2'")
    ledger_change(host.daemon, "UPDATE backends SET name = 'disk0', wish = replace(wish, '\"vm1\"', '\"disk0\"')")


def has_ended(pid):
    """Also one that nobody has waited for: its daemon is gone."""
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


def is_served(host, vm, restarts):
    shown = host.vm(vm)["disks"][0]
    return shown["state"] == "connected" and shown["backend"]["restarts"] == restarts and shown["backend"]["pid"] == host.pmd_pid(vm)


def test_disks_of_the_version_before_are_taken_over(host):
    host.ok(disks=disk(host.image("a.img")))
    host.ok("vm2", disks=disk(host.image("b.img")))
    assert eventually(lambda: {host.vm(vm)["disks"][0]["state"] for vm in ("vm1", "vm2")} == {"connected"})
    former = host.pmd_pid()
    host.daemon.stop(signal.SIGKILL)
    as_the_version_before_left_it(host)
    host.daemon.start()
    for restarts in (0, 1):
        assert eventually(lambda so_often=restarts: is_served(host, "vm1", so_often) and is_served(host, "vm2", 0)), host.daemon.text()
        assert host.pmd_pid() != host.pmd_pid("vm2") and has_ended(former)
        os.kill(host.pmd_pid(), signal.SIGKILL)
    # What begins from now on is as in this version.
    assert host.daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    host.ok(disks=disk(host.image("a.img")))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    assert (host.daemon.run_dir / "pmd/disk-vm1/0.sock").exists()


def restore(host, file, meanwhile=lambda: None):
    host.daemon.stop(signal.SIGKILL)
    done = host.daemon.cli("state", "restore", file)
    assert done.returncode == 0, done.stderr
    meanwhile()
    host.daemon.start()


def test_a_ledger_that_is_older_than_a_backend_leaves_it_to_its_vm(host, short_tmp):
    """Neither VM nor backend is in it. Both go on, that is said, and the backend goes with the VM."""
    assert host.daemon.cli("state", "backup", short_tmp / "old.db").returncode == 0
    host.ok(disks=disk(host.image()))
    host.ok("gone", disks=disk(host.image("b.img")))
    assert eventually(lambda: {host.vm(vm)["disks"][0]["state"] for vm in ("vm1", "gone")} == {"connected"})
    pmd, vmm, gone, gone_vmm = host.pmd_pid(), host.vm()["pid"], host.pmd_pid("gone"), host.vm("gone")["pid"]
    restore(host, short_tmp / "old.db", lambda: os.kill(gone_vmm, signal.SIGKILL))
    assert eventually(lambda: has_ended(gone)) and lock_is_free(host.folder / "b.img")
    assert eventually(lambda: not (host.daemon.run_dir / "pmd/disk-gone/control.sock").exists() or host.pmd_pid("gone") is None)
    assert eventually(lambda: ("vm-unknown", "vm1") in alarms(host)), host.daemon.text()
    assert host.refused(disks=disk(host.image("c.img")))["code"] == "vm-exists"
    assert host.pmd_pid() == pmd and not has_ended(vmm)
    os.kill(vmm, signal.SIGKILL)
    assert eventually(lambda: has_ended(pmd)) and lock_is_free(host.folder / "a.img")
    assert eventually(lambda: ("vm-unknown", "vm1") not in alarms(host))
    host.ok(disks=disk(host.image()))


def test_a_backend_that_is_younger_than_the_ledger_is_the_vms_all_the_same(host, short_tmp):
    host.ok(disks=disk(host.image()))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    assert host.daemon.cli("state", "backup", short_tmp / "old.db").returncode == 0
    os.kill(host.pmd_pid(), signal.SIGKILL)
    assert eventually(lambda: is_served(host, "vm1", 1))
    pmd = host.pmd_pid()
    restore(host, short_tmp / "old.db")
    assert eventually(lambda: is_served(host, "vm1", 0)), host.daemon.text()
    assert host.pmd_pid() == pmd

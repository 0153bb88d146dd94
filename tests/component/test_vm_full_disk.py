# SPDX-License-Identifier: BSD-3-Clause
"""VMs that are kept, while the disk below the ledger is full."""

import contextlib
import os
import signal
import subprocess

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_vm import show
from test_vm_life import QUICK, create, do, state


@pytest.fixture
def full(request, stopped_daemon, short_tmp):
    """A host whose state folder is a disk of so many MiB, 2 without a word; full(True) fills it, full(False) makes room."""
    if os.geteuid() != 0:
        pytest.skip("a small disk takes root to mount")
    daemonkit.setup(stopped_daemon, short_tmp)
    state_dir = stopped_daemon.state_dir
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', 2)}m", "none", state_dir], check=True)

    def fill(is_full):
        filler = state_dir / "filler"
        if not is_full:
            filler.unlink()
            return
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))

    stopped_daemon.fill = fill
    try:
        yield stopped_daemon.start()
        for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]:
            if vm["pid"]:
                stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})
        stopped_daemon.stop()
    finally:
        subprocess.run(["umount", "-l", state_dir], check=True)


@pytest.mark.parametrize("full", [40], indirect=True)
def test_a_full_disk_with_room_set_aside_for_the_ledger(full, short_tmp):
    """At 3 a.m. VMs can be stopped all the same, the alarm says why nobody can write, and a daemon that dies comes back."""
    def alarm():
        return [a for a in full.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "state-disk-full"]

    for name in ("one", "two"):
        create(full, short_tmp, name, QUICK)
        do(full, "start", name)
    assert not alarm()
    full.fill(True)
    do(full, "stop", "one")
    assert eventually(alarm) and f"df -h {full.state_dir}" in alarm()[0]["hint"]
    full.stop(signal.SIGKILL)
    full.start()
    assert (state(full, "one"), state(full, "two")) == ("stopped", "running")
    do(full, "kill", "two")
    for _ in range(20):
        do(full, "start", "one")
        do(full, "stop", "one")
    full.fill(False)
    assert eventually(lambda: not alarm())


@pytest.mark.parametrize("full", [40, 2], indirect=True)
@pytest.mark.parametrize("backup", [False, True])
def test_a_disk_that_fills_up_while_no_daemon_runs(full, short_tmp, backup):
    """With room set aside the VMs can be stopped as ever, without it all together; what a backup looked at has it, too."""
    has_room = os.statvfs(full.state_dir).f_blocks * os.statvfs(full.state_dir).f_frsize > 8 << 20
    create(full, short_tmp, "one", QUICK)
    pid = do(full, "start", "one")["pid"]
    assert full.stop() == 0
    if backup:
        done = subprocess.run([full.program("viaductd"), "--state-dir", full.state_dir, "--backup", short_tmp / "backup"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    full.fill(True)
    full.start()
    assert (state(full, "one"), show(full, "one")["pid"]) == ("running", pid)
    if has_room:
        assert eventually(lambda: [a for a in full.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "state-disk-full"])
        do(full, "stop", "one")
        assert full.stop() == 0
        full.start()
        assert state(full, "one") == "stopped"
    else:
        status, done = full.request("POST", "/v1/host/stop-vms", {})
        assert status == 200 and [vm["exit"]["reason"] for vm in done["vms"]] == ["poweroff"]


def test_a_full_disk_below_the_ledger(full, short_tmp):
    create(full, short_tmp, "kept", QUICK)
    create(full, short_tmp, "idle")
    pid = do(full, "start", "kept")["pid"]
    full.fill(True)
    # What would have to be remembered is refused, and is not so.
    for verb, name in (("start", "idle"), ("delete", "idle"), ("stop", "kept")):
        error = do(full, verb, name, status=500)["error"]
        assert error["code"] == "state-write", (verb, error)
    assert create(full, short_tmp, "new", status=500)["error"]["code"] == "state-write"
    create(full, short_tmp, "idle", owner="0", replace=True, status=500)
    assert show(full, "idle")["owner"] is None
    assert state(full, "idle") == "stopped" and [vm["name"] for vm in full.request("GET", "/v1/vms")[1]["vms"]] == ["idle", "kept"]
    vm = show(full, "kept")
    assert (vm["state"], vm["pid"], vm["defined"]["wanted"]) == ("running", pid, True)
    # The host goes down all the same.
    status, done = full.request("POST", "/v1/host/stop-vms", {})
    assert status == 200 and [vm["exit"]["reason"] for vm in done["vms"]] == ["poweroff"]
    full.fill(False)
    full.request("POST", "/v1/host/start-vms", {})
    assert eventually(lambda: state(full, "kept") == "running")
    create(full, short_tmp, "new")
    do(full, "delete", "idle")
    full.stop(signal.SIGKILL)
    full.start()
    assert [vm["name"] for vm in full.request("GET", "/v1/vms")[1]["vms"]] == ["kept", "new"]
    assert state(full, "kept") == "running"

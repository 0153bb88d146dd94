#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Inside the virtual host, with the state on lab/run's --disk: works until the power is cut.

powercut.py STEP [CALL N]: does the steps of crashkit up to STEP, and asks for the cut when that is
acknowledged, or when the daemon comes to the N-th CALL of it. `powercut.py check` only looks. What was
found, begun and acknowledged goes line by line to the journal in the scratch folder, out of the host."""

import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import crashkit  # noqa: E402
from labkit import OperateError  # noqa: E402
from operate import api, viaduct  # noqa: E402

STATE = pathlib.Path("/var/lib/viaduct")
DISK = "/dev/vda"
PF, OTHER_PF = "pf0", "pf1"


def tell(**row):
    with open(os.path.join(os.environ["VIADUCT_LAB_SCRATCH"], "journal"), "a", encoding="utf-8") as f:
        f.write(json.dumps(row) + "\n")


def run(*argv, check=True):
    return subprocess.run(argv, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def mount():
    run("modprobe", "virtio_blk")
    deadline = time.monotonic() + 60
    while not os.path.exists(DISK) and time.monotonic() < deadline:
        time.sleep(0.05)
    if run("blkid", DISK, check=False).returncode != 0:
        run("mkfs.ext4", "-q", DISK)
    STATE.mkdir(mode=0o700, exist_ok=True)
    run("mount", "-t", "ext4", DISK, str(STATE))


def ledger_on_disk():
    """What the disk holds before any daemon has touched it."""
    copy = pathlib.Path("/tmp/found")
    copy.mkdir()
    for name in ("state.db", "state.db-wal"):
        if (STATE / name).exists():
            shutil.copy(STATE / name, copy)
    with sqlite3.connect(copy / "state.db") as db:
        def ask(sql):
            return [row[0] for row in db.execute(sql)]
        if not ask("SELECT name FROM sqlite_master WHERE name = 'vfs'"):
            return None
        return {"check": ask("PRAGMA integrity_check"), "leases": ask("SELECT lease FROM vfs WHERE lease <> ''"),
                "vfs": max(ask("SELECT vfs FROM pfs"), default=0), "vms": ask("SELECT state FROM vms"),
                "set": any(crashkit.LEASE_MAC in attrs for attrs in ask("SELECT attrs FROM vfs WHERE lease <> ''")),
                "events": max(ask("SELECT cursor FROM events"), default=0)}


def newest_event():
    return api.get("/v1/events?limit=1")["newest"]


def lease_comes_back():
    """A lease waits for its card, which may have another address now, and gets its VF there and nowhere else."""
    if not api.get("/v1/vfs")["parked"]:
        return
    api.post(f"/v1/pfs/{OTHER_PF}/apply", {"vfs": 2})
    crashkit.machine_agrees(OTHER_PF, *crashkit.ledger_state(OTHER_PF))
    still = api.get("/v1/vfs")
    assert [p["lease"] for p in still["parked"]] == ["mine"] and not any(v["lease"] for v in still["vfs"]), still
    api.post(f"/v1/pfs/{PF}/apply", {"vfs": 2})
    api.post(f"/v1/pfs/{OTHER_PF}/apply", {"vfs": 0})
    state, listed = crashkit.ledger_state(PF)
    crashkit.machine_agrees(PF, state, listed)
    tell(back=vars(state), at=listed[0]["address"])


def from_nothing():
    """Gives back what the boots before left."""
    state, _ = crashkit.ledger_state(PF)
    if state.lease:
        api.post("/v1/vfs/mine/release")
    api.post(f"/v1/pfs/{PF}/apply", {"vfs": 0})
    crashkit.settled(PF, [crashkit.State()], "clean up")


def work(daemon, last, at):
    folder = pathlib.Path("/tmp/lab-vms")
    folder.mkdir()
    for step in crashkit.steps(PF, folder):
        tell(begun=step.name)
        if step.name == last and at:
            with crashkit.Trace(daemon, at) as trace:
                if crashkit.acknowledged(step.call):
                    tell(done=step.name, events=0)
                daemon.process.wait(60)
                tell(cut=trace.calls()[-1])
        else:
            api.post(*step.call)
            tell(done=step.name, events=newest_event())
        if step.name == last:
            tell(cut="acknowledged")
            time.sleep(60)  # for the cut


def main():
    mount()
    tell(found=ledger_on_disk())
    daemon = viaduct.Daemon()
    try:
        daemon.start()
        state, listed = crashkit.ledger_state(PF)
        crashkit.machine_agrees(PF, state, listed)
        tell(recovered=vars(state), alarms=api.get("/v1/alarms")["alarms"], events=newest_event())
        lease_comes_back()
        from_nothing()
        if sys.argv[1] != "check":
            work(daemon, sys.argv[1], (sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 2 else None)
    except (OperateError, OSError, AssertionError, subprocess.SubprocessError) as e:
        tell(failed=f"{e!r}\n{daemon.log_tail()}")
        raise
    daemon.stop()


main()

# SPDX-License-Identifier: BSD-3-Clause
"""Somebody removes the run folder, or parts of it, under a viaductd whose VMs and viaduct-pmd run."""

import shutil
import signal
import stat

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_vm import show
from test_uplinks import alarms, get, pid_of, runs, states
from test_vm_life import create, do, state

CONFIG = "uplinks:\n  - {name: wire0, kind: tap, device: vtap0}\nnetworks:\n  - {name: lan, uplinks: [wire0]}\n"
SILENCES_S = 8  # longer than a viaduct-pmd that does not answer is left alone


@pytest.fixture
def served(stopped_daemon, short_tmp):
    """A daemon whose viaduct-pmd serves an uplink, and whose VM vm1 runs."""
    daemonkit.setup(stopped_daemon, short_tmp)
    stopped_daemon.config.write_text(CONFIG)
    short_tmp.chmod(0o711)
    pids = []
    try:
        stopped_daemon.start()
        create(stopped_daemon, short_tmp)
        do(stopped_daemon, "start")
        assert eventually(lambda: states(stopped_daemon) == {"wire0": "up"})
        pids += [pid_of(stopped_daemon), show(stopped_daemon)["pid"]]
        yield stopped_daemon
        stopped_daemon.stop()
    finally:
        for pid in pids:
            if runs(pid):
                daemonkit.os.kill(pid, signal.SIGKILL)


def found(daemon):
    """The socket is where clients look for it, and somebody answers there."""
    return eventually(daemon.answers)


@pytest.mark.parametrize("what", [".", "viaduct.sock", "vm", "pmd"])
def test_it_is_made_again_and_all_goes_on(served, what):
    pmd, vm = pid_of(served), show(served)["pid"]
    victim = served.run_dir / what
    mode = stat.S_IMODE(served.socket.stat().st_mode)
    victim.unlink() if victim.is_socket() else shutil.rmtree(victim)
    assert found(served), served.text()
    assert served.cli("vm", "list").returncode == 0
    assert stat.S_IMODE(served.socket.stat().st_mode) == mode
    assert eventually((served.run_dir / "vm").is_dir) and stat.S_IMODE((served.run_dir / "vm").stat().st_mode) == 0o755
    wanted = {".": {"vm1", "net0"}, "viaduct.sock": set(), "vm": {"vm1"}, "pmd": {"net0"}}[what]
    assert eventually(lambda: {name for kind, name in alarms(served) if kind == "run-path-lost"} == wanted), alarms(served)
    # Both are asked as before.
    assert not eventually(lambda: not runs(pmd), SILENCES_S) and states(served) == {"wire0": "up"}
    do(served, "pause")
    do(served, "resume")
    assert (state(served), show(served)["pid"], pid_of(served)) == ("running", vm, pmd)
    console = served.request("GET", "/v1/vms/vm1/console")
    if "vm1" in wanted:
        assert console[0] == 409 and console[1]["error"]["code"] == "run-path-lost", console
    # A guest that powers off has not crashed, though nobody finds its record by name.
    assert do(served, "stop")["exit"]["reason"] == "poweroff" and state(served) == "stopped"
    do(served, "start")
    assert served.request("GET", "/v1/vms/vm1/console")[0] == 200
    assert eventually(lambda: ("run-path-lost", "vm1") not in alarms(served))
    do(served, "kill")


def test_a_daemon_that_comes_later_ends_nobody(served):
    """It has no handle on what is gone: it says so, and only the operator ends something."""
    pmd = pid_of(served)
    shutil.rmtree(served.run_dir)
    assert found(served)
    served.stop(signal.SIGKILL)
    served.start()
    assert eventually(lambda: ("vm-unknown", "vm1") in alarms(served))
    assert "control socket" in alarms(served)["vm-unknown", "vm1"]
    assert {("run-path-lost", "vm1"), ("run-path-lost", "net0")} <= set(alarms(served))
    assert not eventually(lambda: not runs(pmd), SILENCES_S) and pid_of(served) == pmd
    assert do(served, "kill")["state"] == "failed"
    daemonkit.os.kill(pmd, signal.SIGKILL)
    assert eventually(lambda: pid_of(served) not in (None, pmd))
    new = pid_of(served)
    do(served, "start")
    assert eventually(lambda: not [key for key in alarms(served) if key[0] in ("run-path-lost", "vm-unknown")]), alarms(served)
    do(served, "stop")
    assert get(served, "/v1/vms/vm1")["exit"]["reason"] == "poweroff"
    daemonkit.os.kill(new, signal.SIGKILL)


def test_one_that_cannot_be_made_again_is_once_it_can(served):
    shutil.rmtree(served.run_dir)
    served.run_dir.write_text("in the way")
    assert eventually(lambda: "clients do not find the daemon" in served.text())
    served.run_dir.unlink()
    assert found(served) and state(served) == "running"
    do(served, "stop")

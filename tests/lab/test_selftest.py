# SPDX-License-Identifier: BSD-3-Clause
"""host selftest: a free VF tried on the machine itself, and nothing of it left, whoever dies."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess

from labkit import Failed, cli_json, eventually, refused, vfs
from operate.viaduct import build_dir

OWNER = "@selftest/vf"


def selftest(*args):
    try:
        return 0, cli_json("host", "selftest", *args)
    except Failed as failed:
        return failed.status, json.loads(failed.out)


def all_free(pf):
    return all(v["state"] == "free" and v["owner"] is None for v in vfs(pf).values())


def test_a_free_vf_is_tried_and_free_again(daemon, pf, folder):
    out = folder / "report.json"
    out.unlink(missing_ok=True)
    status, report = selftest("--pf", pf, "--out", str(out))
    print(json.dumps(report, indent=1))
    steps = {s["id"]: s for s in report["steps"]}
    results = {s["id"]: s["result"] for s in report["steps"]}
    # The lab's remapping unit cannot post; all the rest is there.
    assert results.pop("posted-interrupt") == "not-run", steps
    assert set(results.values()) == {"pass"}, steps
    assert (status, report["verdict"]) == (0, "pass")
    # The host counts the vector's interrupts: the function may send some more on its own.
    counted = re.search(r"of 64 messages of the VF to a guest the host itself handled (\d+)$", steps["posted-interrupt"]["text"])
    assert counted and 64 <= int(counted[1]) < 128, steps
    assert "by itself" in steps["device-interrupt"]["text"] and "without an exit" in steps["guest-interrupt"]["text"]
    assert report["vf"]["device"] == "8086:10ca" and report["vf"]["pf"]["driver"] == "igb", report["vf"]
    assert json.loads(out.read_text()) == report
    assert all_free(pf)
    assert not (pathlib.Path("/sys/bus/pci/devices") / report["vf"]["address"] / "driver").exists()
    # Never over what is there.
    assert "File exists" in refused("host", "selftest", "--out", str(out), status=1)
    out.unlink()


def running_testers():
    """No VM runs meanwhile."""
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text() == "viaduct-vmm\n":
                found.append(int(comm.parent.name))
    return found


def leased(pf):
    return any(v["owner"] == OWNER for v in vfs(pf).values())


def is_stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def stopped_tester(pf, command):
    """Its process id, or None: it was over before it could be stopped, or had answered."""
    while command.poll() is None:
        for pid in running_testers():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
                if leased(pf) and is_stopped(pid):
                    return pid
                os.kill(pid, signal.SIGCONT)
    return None


@contextlib.contextmanager
def hanging_tester(pf):
    """(the command, its tester's process id): a self-test is over in a second or two, so it is begun until one is caught in the middle."""
    argv = [str(build_dir() / "cli/viaduct"), "host", "selftest", "--pf", pf, "--json"]
    for _ in range(20):
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
            pid = stopped_tester(pf, command)
            if pid is not None:
                yield command, pid
                return
        eventually(lambda: all_free(pf), "the VF free for another self-test")
    raise AssertionError("no self-test of 20 was caught in the middle")


def test_killed_in_the_middle_it_leaves_nothing_for_good(daemon, pf):
    """The command's death changes nothing; after the daemon's the VF is given back when it starts again."""
    with hanging_tester(pf) as (command, tester):
        command.kill()
        command.wait()
        assert leased(pf)
        os.kill(tester, signal.SIGCONT)
    eventually(lambda: all_free(pf), "the VF free again")
    with hanging_tester(pf):
        # A tester that hangs, and holds the VF's group, does not outlive the daemon.
        daemon.restart()
        eventually(lambda: not running_testers(), "the end of the tester")
    eventually(lambda: all_free(pf), "the VF free again")

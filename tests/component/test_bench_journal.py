# SPDX-License-Identifier: BSD-3-Clause
"""A run of `viaduct bench` that is killed: its processes end with it, and the next run gives back what it had borrowed."""

import fcntl
import io
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from daemonkit import eventually, vm_yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from run import BenchError, host, journal, left  # noqa: E402


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("VIADUCT_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path / "run.bench"


def python(code, *words, **more):
    return subprocess.Popen([sys.executable, "-B", "-c", code, *map(str, words)], cwd=TOP / "bench", text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **more)


BORROWS = """
import os, sys
from run import host, journal
with journal.Journal() as kept, host.Borrowed(kept) as borrowed:
    borrowed.callback("hugepages", host.pool_shrink, 7)
    borrowed.callback("link of nic7", host.link, "nic7", "down")
    borrowed.callback("nothing for later", print)
    print("ready", flush=True)
    sys.stdin.read() if sys.argv[1] == "waits" else None
    borrowed.pile.clear() if sys.argv[1] == "fails" else None
"""


def killed():
    run = python(BORROWS, "waits", stdin=subprocess.PIPE)
    assert run.stdout.readline() == "ready\n"
    run.kill()
    run.communicate()


def undone(monkeypatch):
    done, said = [], io.StringIO()
    for name in ("pool_shrink", "link"):
        monkeypatch.setitem(left.UNDO, name, lambda *args, name=name: done.append((name, *args)))
    with journal.Journal() as kept:
        left.give_back(kept, said)
    return done, said.getvalue()


def test_what_a_killed_run_borrowed_goes_back_with_the_next_and_once(monkeypatch, place):
    killed()
    assert place.stat().st_mode & 0o777 == 0o600
    done, said = undone(monkeypatch)
    assert done == [("link", "nic7", "down"), ("pool_shrink", 7)]
    assert "given back now: link of nic7" in said and "hugepages" in said
    assert undone(monkeypatch) == ([], "") and place.read_bytes() == b""


def test_what_cannot_go_back_is_said_once_and_keeps_nothing_else(monkeypatch):
    killed()

    def fails(*_):
        raise BenchError("nic7: no such device")

    monkeypatch.setitem(left.UNDO, "link", fails)
    done, said = [], io.StringIO()
    monkeypatch.setitem(left.UNDO, "pool_shrink", done.append)
    with journal.Journal() as kept:
        left.give_back(kept, said)
    assert done == [7] and "has left this: link of nic7: nic7: no such device" in said.getvalue()
    assert undone(monkeypatch) == ([], "")


def test_a_run_that_gave_all_back_leaves_nothing(monkeypatch, tmp_path):
    with journal.Journal() as kept, host.Borrowed(kept) as borrowed:
        monkeypatch.setattr(host, "pages", lambda: (9, 9))
        monkeypatch.setattr(host, "write", lambda *_: None)
        borrowed.callback("hugepages", host.pool_shrink, 7)
        assert len(kept.left()) == 1
    assert undone(monkeypatch) == ([], "")


@pytest.mark.parametrize("text", [b"{", b"[]\n1\n{}\n", b'{"id":1,"undo":"system","with":["rm"]}\n', b'{"id":[],"undo":"link","with":[]}\n',
                                  b"\0" * 5000, b'{"id":1,"undo":"link","with":{}}\n', b"[" * 100000])
def test_a_journal_that_is_none_is_passed_over(monkeypatch, place, text):
    place.write_bytes(text)
    assert undone(monkeypatch) == ([], "")


def test_nobody_can_lay_a_link_in_the_way_of_the_lock(place, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place.symlink_to(victim)
    with pytest.raises(BenchError, match="run.bench"):
        with journal.Journal():
            pass
    place.unlink()
    os.link(victim, place)
    with pytest.raises(BenchError, match="not a file of this user's alone"):
        with journal.alone():
            pass
    assert victim.read_text() == "mine"


def test_a_second_run_waits_and_says_for_whom():
    code = "from run import journal\nwith journal.alone(): print('mine', flush=True)"
    with journal.Journal():
        second = python(code)
        said = second.stderr.readline()
        assert f"process {os.getpid()} measures on this host" in said and second.poll() is None
    assert second.communicate(timeout=60)[0] == "mine\n"


@pytest.mark.parametrize("folder", ["user", "last"])
def test_a_user_who_may_write_nowhere_else_has_a_lock_too(folder, tmp_path, monkeypatch):
    where = {"user": tmp_path / "user" / str(os.geteuid()), "last": tmp_path / "last"}
    where[folder].mkdir(parents=True)
    monkeypatch.setenv("VIADUCT_RUN_DIR", str(tmp_path / "none/run"))
    monkeypatch.setattr(journal, "USER_DIRS", str(tmp_path / "user"))
    monkeypatch.setattr(journal, "LAST_DIR", str(tmp_path / "last"))
    with journal.Journal() as kept:
        kept.note("hugepages", "pool_shrink", [7])
        file, = where[folder].iterdir()
        with open(file, "rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with journal.Journal() as kept:
        assert [entry["with"] for entry in kept.left()] == [[7]]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to make another's file")
def test_a_lock_that_another_user_laid_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("VIADUCT_RUN_DIR", str(tmp_path / "none/run"))
    monkeypatch.setattr(journal, "USER_DIRS", str(tmp_path / "none"))
    monkeypatch.setattr(journal, "LAST_DIR", str(tmp_path))
    (tmp_path / "viaduct.bench.0").touch()
    os.chown(tmp_path / "viaduct.bench.0", 1, 1)
    with pytest.raises(BenchError, match="viaduct.bench.0 is not a file of this user's alone"):
        with journal.alone():
            pass


def is_gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


KEEPS = """
import pathlib, sys
from run.lines import Child
child = Child("x", ["/bin/sh", "-c", "exec sleep 1000"], pathlib.Path(sys.argv[1]) / "log")
print(child.process.pid, flush=True)
sys.stdin.read()
"""
POLLS = """
import pathlib, sys
from run.vmm import Pmd
print(Pmd(pathlib.Path(sys.argv[1]), 0, False).process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("code", [KEEPS, POLLS])
def test_no_process_of_a_killed_run_stays(program, short_tmp, code):
    run = python(code, short_tmp, stdin=subprocess.PIPE, env={**os.environ, "VIADUCT_BENCH_CLI": program("viaduct")})
    line = run.stdout.readline()
    assert line, run.communicate()[1]
    assert not is_gone(int(line))
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert eventually(lambda: is_gone(int(line)))


def cpus(monkeypatch, vms, lcores, mine=(0, 1, 2, 3), isolated="2-3"):
    monkeypatch.setattr(host, "viaduct", lambda noun, _: {"vms": vms} if noun == "vm" else {"backend": {"lcores": lcores}})
    monkeypatch.setattr(host.os, "sched_getaffinity", lambda _: set(mine))
    monkeypatch.setattr(host, "read", lambda path, fallback="": isolated)
    monkeypatch.setattr(host.pathlib.Path, "exists", lambda _: True)
    return host.cpus()


def test_processors_that_others_have_are_left_to_them(monkeypatch):
    vm = {"name": "db", "state": "running", "cpus": {"pin": [2], "dedicated": True}}
    assert cpus(monkeypatch, [], []) == [2, 3, 1, 0]
    assert cpus(monkeypatch, [vm], []) == [3, 1, 0]
    assert cpus(monkeypatch, [vm, {**vm, "name": "off", "state": "stopped", "cpus": {"pin": [1]}}], [{"cpu": 3}]) == [1, 0]
    assert cpus(monkeypatch, [{"name": "free", "state": "running", "cpus": None}], []) == [2, 3, 1, 0]
    with pytest.raises(BenchError, match="no CPU is left.*2: VM db"):
        cpus(monkeypatch, [vm], [], mine=(2,), isolated="")


# A viaduct that says when it is asked to run a VM, and then does so, or never does.
HALTING = """#!/bin/sh
case "$*" in *"vm run"*) echo asked >"$0.asked"; [ -e "$0.go" ] || exec sleep 1000;; esac
exec {program} "$@"
"""


class Run:
    """`viaduct bench run start` against a daemon on a host made of files. Its guest never says that it is ready."""

    def __init__(self, host, folder, program, goes):
        self.cli, self.host, self.folder = folder / "viaduct", host, folder
        self.cli.write_text(HALTING.format(program=program))
        self.cli.chmod(0o755)
        if goes:
            (folder / "viaduct.go").touch()

    def start(self, *words):
        env = {**os.environ, "VIADUCT_BENCH_CLI": str(self.cli), "VIADUCT_RUN_DIR": str(self.host.run_dir),
               "VIADUCT_BENCH_SOCKET": str(self.host.socket)}
        return subprocess.Popen([TOP / "bench/main", "run", "start", "--rounds", "2", "--profile", "smoke", "--guest-kernel", self.folder / "kernel",
                                 "--guest-image", self.folder / "kernel", *words], env=env, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def vms(self):
        return [vm["name"] for vm in self.host.request("GET", "/v1/vms")[1]["vms"]]

    def killed(self, when):
        run = self.start()
        assert eventually(when), run.communicate(timeout=5)[1]
        run.kill()
        run.communicate()

    def next_says(self, *texts):
        """The next run has said all this before it begins."""
        run, said = self.start(), ""
        while not all(text in said for text in texts) or "getting ready" not in said:
            line = run.stderr.readline()
            assert line, said
            said += line
        run.kill()
        run.communicate()


def test_a_vm_of_a_killed_run_is_deleted_by_the_next(host, short_tmp, program):
    run = Run(host, short_tmp, program("viaduct"), goes=True)
    run.killed(run.vms)
    name, = run.vms()
    assert name.startswith("bench-start-plain-")
    (short_tmp / "viaduct.go").unlink()  # the next has none of its own
    run.next_says(f"given back now: VM {name}")
    assert run.vms() == []


def test_a_vm_that_the_daemon_never_had_is_not_looked_for_among_those_of_others(host, short_tmp, program):
    """Somebody makes one by the name that a benchmark's would have."""
    run = Run(host, short_tmp, program("viaduct"), goes=False)
    run.killed((short_tmp / "viaduct.asked").exists)
    noted, = [entry["with"] for entry in map(json.loads, (short_tmp / "run.bench").read_text().splitlines()) if entry.get("undo") == "vm_delete"]
    assert host.request("POST", "/v1/vms", {"yaml": vm_yaml(short_tmp, "bench-start-plain")})[0] == 200
    run.next_says()
    assert run.vms() == ["bench-start-plain"] and noted[0].startswith("bench-start-plain-")

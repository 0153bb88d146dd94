# SPDX-License-Identifier: BSD-3-Clause
"""What `viaduct bench` writes: whole files, nothing but what was named, and what was measured even where something fails."""

import io
import json
import os
import pathlib
import resource
import signal
import stat
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from report import ReportError, output  # noqa: E402
from run import host, scenarios, session, signals  # noqa: E402


def test_a_file_is_written_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "out.json"
    output.write(path, "one")
    umask = os.umask(0)
    os.umask(umask)
    assert path.read_text() == "one" and stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o640)
    output.write(path, b"two")
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_device_a_pipe_and_a_link_stay_what_they_are(tmp_path):
    link, far, pipe = tmp_path / "link", tmp_path / "far", tmp_path / "pipe"
    link.symlink_to(far)
    output.write(link, "text")
    assert link.is_symlink() and far.read_text() == "text"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    output.write(pipe, "text")
    assert os.read(reader, 10) == b"text" and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        output.write(null, "text")
    except (PermissionError, ReportError):
        pytest.skip("no device files here")
    assert stat.S_ISCHR(null.lstat().st_mode)


def test_nobody_can_lay_a_link_in_the_way(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("out.json.part", ".out.json.part"):
        (tmp_path / name).symlink_to(victim)
    output.write(tmp_path / "out.json", "text")
    assert victim.read_text() == "mine" and (tmp_path / "out.json").read_text() == "text"


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    """By the limit of a file's size, in a process of its own."""
    path = tmp_path / "out.json"
    path.write_text("old")
    code = ("import sys; from report import ReportError, output\n"
            "try: output.write(sys.argv[1], 'x' * 100000)\nexcept ReportError as e: print(e)")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run([sys.executable, "-B", "-c", code, str(path)], cwd=TOP / "bench", preexec_fn=limit, capture_output=True, text=True,
                          check=True)
    assert "File too large" in done.stdout
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("name", ["no/such/folder/x", "."])
def test_what_cannot_be_written_is_said_before_it_is_wanted(tmp_path, name):
    with pytest.raises(ReportError, match=name):
        output.attempt(f"{tmp_path}/{name}")
    output.attempt(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def run(folder, *words):
    return subprocess.run([sys.executable, "-B", str(TOP / "bench/main"), "run", *words], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "VIADUCT_BENCH_CLI": "/nonexistent/viaduct", "VIADUCT_RUN_DIR": str(folder / "run")})


def test_a_run_whose_file_cannot_be_written_does_not_begin(tmp_path):
    done = run(tmp_path, "guest-vf", "--json", "/no/such/folder/x")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "/no/such/folder/x: No such file" in done.stderr


def test_a_run_that_fails_says_why_and_has_its_file(tmp_path):
    done = run(tmp_path, "host-vf", "--wire", "0000:5e:00.0", "--json", str(tmp_path / "x"))
    assert done.returncode == 1 and "viaduct bench: vf: " in done.stderr and "Traceback" not in done.stderr
    assert json.loads((tmp_path / "x").read_text())["ended"] == "failed" and "host-vf" in done.stdout


class Options:
    profile, rounds, against, pf, wire, vms = "smoke", None, None, None, None, None
    guest_kernel = guest_image = pathlib.Path("/bin/true")
    scenario = ["start", "scale"]


@pytest.mark.parametrize("error", [RecursionError("deep"), IndexError(""), AttributeError("x"), OverflowError("y")])
def test_no_error_of_one_group_takes_the_others_with_it(monkeypatch, error):
    def fails(*_):
        raise error

    measured = []
    monkeypatch.setitem(session.GROUPS, scenarios.BY_NAME["start"].group, fails)
    monkeypatch.setitem(session.GROUPS, scenarios.BY_NAME["scale"].group, lambda *_: measured.append(1))
    made = session.Session(Options())
    assert made.run()["ended"] == "failed" and measured == [1] and type(error).__name__ in made.failures[0]


def test_a_result_that_cannot_be_kept_on_the_way_ends_nothing(monkeypatch):
    said, progress = io.StringIO(), session.Progress

    def full(_):
        raise ReportError("x: No space left on device")

    def group(_run, _bench, begin, say):
        begin(2)
        say("one")
        say("two")

    monkeypatch.setitem(session.GROUPS, "start", group)
    monkeypatch.setattr(session, "KEEP_SECONDS", -1)
    monkeypatch.setattr(session, "Progress", lambda groups: progress(groups, said))
    monkeypatch.setattr(Options, "scenario", ["start"])
    made = session.Session(Options(), full)
    assert made.run()["ended"] == "done" and made.failures == []
    assert "cannot be kept: x: No space left" in said.getvalue()


@pytest.fixture
def handlers():
    signals.install()
    yield
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


def test_a_signal_that_must_wait_says_for_what_and_is_not_forgotten_where_the_taking_fails(handlers, capfd):
    with pytest.raises(KeyboardInterrupt):
        with host.Borrowed(), signals.held("the guest x runs"):
            os.kill(os.getpid(), signal.SIGINT)
            raise OSError("it did not come")
    assert "interrupted; it waits until the guest x runs" in capfd.readouterr().err


def test_a_signal_while_the_result_is_made_comes_after_it(handlers):
    with signals.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
    written = []
    with pytest.raises(KeyboardInterrupt):
        with signals.held():
            written.append(1)
    assert written == [1]

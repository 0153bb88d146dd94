# SPDX-License-Identifier: BSD-3-Clause
"""viaduct state backup and restore, on the ledger of a real daemon."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import sys
import time

import daemonkit
import pytest
from test_daemon_events import metrics

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/alloc"))
import tree  # noqa: E402

PF = "0000:01:00.0"


@pytest.fixture
def leased(stopped_daemon, short_tmp):
    """A daemon that has leased one VF of four as `kept`."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    shutil.rmtree(sysfs / "bus")
    tree.build(sysfs, 1, 4)
    stopped_daemon.start()
    assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 4})[0] == 200
    assert stopped_daemon.request("POST", "/v1/vfs/alloc", {"name": "kept"})[0] == 200
    return stopped_daemon


def leases(daemon):
    return sorted(vf["lease"] for vf in daemon.request("GET", "/v1/vfs")[1]["vfs"] if vf["lease"])


def backup(daemon, file):
    done = daemon.cli("state", "backup", file, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def test_goes_back_to_a_backup_of_a_running_daemon(leased, short_tmp):
    file = backup(leased, short_tmp / "one.db")
    assert leased.request("POST", "/v1/vfs/alloc", {"name": "later"})[0] == 200
    assert leases(leased) == ["kept", "later"]
    leased.stop(signal.SIGKILL)
    done = leased.cli("state", "restore", file)
    assert done.returncode == 0, done.stderr
    leased.start()
    assert leases(leased) == ["kept"]
    with sqlite3.connect(leased.state_dir / "state.db.before-restore") as former:
        assert former.execute("SELECT count(*) FROM vfs WHERE lease = 'later'").fetchone() == (1,)


def test_a_ledger_that_another_program_has_locked(leased):
    def locked():
        return [a for a in leased.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "state-locked"]

    with contextlib.closing(sqlite3.connect(leased.state_dir / "state.db", timeout=daemonkit.PATIENCE_S)) as db:
        db.execute("BEGIN IMMEDIATE")
        since = time.monotonic()
        for i in range(20):
            status, reply = leased.request("POST", "/v1/vfs/alloc", {"name": f"no{i}"})
            assert (status, reply["error"]["code"]) == (503, "state-locked"), reply
            assert f"pid {os.getpid()}" in reply["error"]["text"], reply
            assert f"kill {os.getpid()} " in reply["error"]["hint"], reply
            assert leases(leased) == ["kept"]
        # A name that is no text keeps nobody from looking.
        comm = pathlib.Path("/proc/self/comm")
        former = comm.read_bytes()
        comm.write_bytes(b"b\xfcrgi")
        assert "b?rgi, pid" in locked()[0]["text"]
        comm.write_bytes(former)
        # Each of them would wait five seconds, and all others for it.
        assert time.monotonic() - since < 50
        assert [a["severity"] for a in locked()] == ["critical"] and str(os.getpid()) in locked()[0]["text"]
        assert 'viaduct_alarms{severity="critical"} 1\n' in metrics(leased)
        db.rollback()
    assert locked() == []
    assert leased.request("POST", "/v1/vfs/alloc", {"name": "later"})[0] == 200
    leased.stop(signal.SIGKILL)
    leased.start()
    assert leases(leased) == ["kept", "later"]


def test_a_running_daemon_keeps_its_ledger(leased, short_tmp):
    file = backup(leased, short_tmp / "one.db")
    done = leased.cli("state", "restore", file)
    assert done.returncode == 1 and "another viaductd works on the state" in done.stderr, done.stderr
    assert leases(leased) == ["kept"]


def test_a_backup_overwrites_nothing(leased, short_tmp):
    file = backup(leased, short_tmp / "one.db")
    before = file.read_bytes()
    done = leased.cli("state", "backup", file)
    assert done.returncode == 1 and "exists" in done.stderr, done.stderr
    assert file.read_bytes() == before
    assert sorted(p.name for p in short_tmp.glob("one.db*")) == ["one.db"]
    done = leased.cli("state", "backup", short_tmp / "absent" / "x.db")
    assert done.returncode == 1 and f"{short_tmp}/absent/x.db: No such file" in done.stderr, done.stderr


def damage(file):
    data = bytearray(file.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page:page + 64] = b"\xff" * 64
    file.write_bytes(data)


def newer(file):
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 9999")


@pytest.mark.parametrize("spoil, words", [
    (damage, "not a whole ledger"),
    (lambda file: file.write_bytes(b"SQLite format 3\0" + bytes(100)), "not a whole ledger"),
    (lambda file: file.write_bytes(b""), "not a whole ledger"),
    (newer, "written by a newer viaduct"),
    (lambda file: file.unlink(), "unable to open"),
])
def test_what_is_no_backup_changes_nothing(leased, short_tmp, spoil, words):
    file = backup(leased, short_tmp / "one.db")
    spoil(file)
    leased.stop()
    before = sorted(p.name for p in leased.state_dir.iterdir())
    done = leased.cli("state", "restore", file)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert sorted(p.name for p in leased.state_dir.iterdir()) == before
    leased.start()
    assert leases(leased) == ["kept"]


@pytest.mark.parametrize("spoil", [damage, lambda file: file.write_bytes(b"not a database at all" * 4096)])
def test_a_damaged_ledger_is_said_and_replaced(leased, short_tmp, spoil):
    file = backup(leased, short_tmp / "one.db")
    leased.stop()
    ledger = leased.state_dir / "state.db"
    spoil(ledger)
    with pytest.raises(pytest.fail.Exception, match="viaduct state restore"):
        leased.start()
    damaged = ledger.read_bytes()
    done = leased.cli("state", "restore", file)
    assert done.returncode == 0, done.stderr
    assert (leased.state_dir / "state.db.before-restore").read_bytes() == damaged
    leased.start()
    assert leases(leased) == ["kept"]

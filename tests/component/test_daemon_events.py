# SPDX-License-Identifier: BSD-3-Clause
"""Events, alarms and metrics of a real daemon on a host made of files."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import time

import daemonkit
import pytest
from daemonkit import eventually

PF = daemonkit.MACHINE
VF = "0000:01:10.0"
KEPT = 8192
UEVENT = pathlib.Path("/sys/class/net/lo/uevent")


def events(daemon, query=""):
    status, reply = daemon.request("GET", "/v1/events" + query)
    assert status == 200, reply
    return reply


def alarms(daemon):
    status, reply = daemon.request("GET", "/v1/alarms")
    assert status == 200, reply
    return {(a["kind"], a["object"]): a for a in reply["alarms"]}


def vf_row(daemon, state, note=""):
    """A row of the stopped daemon's ledger, as a crash could have left it."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.closing(sqlite3.connect(daemon.state_dir / "state.db")) as db, db:
        db.execute("INSERT INTO vfs(pf, idx, address, state, lease, owner, generation, boot_id, note)"
                   " VALUES(?, 0, ?, ?, '', '', 1, ?, ?)", (PF, VF, state, boot, note))


@contextlib.contextmanager
def follower(daemon, query="", **headers):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(daemonkit.PATIENCE_S)
        s.connect(str(daemon.socket))
        lines = [f"GET /v1/events{query} HTTP/1.1", "Host: x", "Connection: close", "Accept: text/event-stream"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        with s.makefile("rb") as f:
            yield f


def fields_read(f):
    """One server-sent event; the chunks' lengths are lines of their own here. None at the end."""
    fields = {}
    while line := f.readline():
        name, found, value = line.decode().rstrip("\r\n").partition(": ")
        if found and name in ("id", "event", "data"):
            fields[name] = value
        elif not name and "data" in fields:
            return fields
    return None


def reply_head(f):
    head = []
    while (line := f.readline()) not in (b"\r\n", b""):
        head.append(line.decode().strip())
    return head


def test_events_grow_and_are_kept_over_a_restart(host):
    first = events(host)
    assert [(e["kind"], e["object"]) for e in first["events"]] == [("daemon", "viaductd")]
    assert first["events"][0]["text"].startswith("started ") and not first["more"]
    assert abs(first["events"][0]["at_ms"] / 1000 - time.time()) < 60
    host.stop()
    host.start()
    second = events(host, f"?since={first['next']}")
    assert [e["cursor"] for e in second["events"]] == [first["next"] + 1]
    assert events(host, f"?since={second['next']}")["events"] == []


def test_a_page_is_bounded(host):
    for _ in range(3):
        host.stop()
        host.start()
    page = events(host, "?limit=2")
    assert len(page["events"]) == 2 and page["more"] and page["next"] == 2
    assert [e["cursor"] for e in events(host, "?since=2&limit=1000")["events"]] == [3, 4]


@pytest.mark.parametrize("query, said", [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("since=-1", "since"),
    ("since=", "since"), ("since=1&since=1", "since"), ("sinse=1", "'sinse'"),
    ("since=99999999999999999999", "since"), ("since=%00", "since")])
def test_bad_parameters(host, query, said):
    status, reply = host.request("GET", "/v1/events?" + query)
    assert status == 400 and said in reply["error"]["text"], reply


def test_no_other_path_takes_parameters(host):
    assert host.request("GET", "/v1/pfs?x=1")[0] == 400
    assert host.request("POST", "/v1/vms/x/kill?force=1", {})[0] == 400


def test_a_cursor_that_is_lost_or_was_never_given(host):
    host.stop()
    with contextlib.closing(sqlite3.connect(host.state_dir / "state.db")) as db, db:
        db.executemany("INSERT INTO events(at_ms, kind, object, was, state, text) "
                       "VALUES(0, 'vf', ?, 'free', 'leased', '')", [(str(i),) for i in range(KEPT + 100)])
        assert db.execute("SELECT count(*) FROM events").fetchone() == (KEPT,)
    host.start()
    page = events(host)
    assert page["oldest"] == page["newest"] - KEPT + 1
    status, reply = host.request("GET", "/v1/events?since=1")
    assert status == 410 and reply["error"]["code"] == "cursor-lost"
    assert str(page["oldest"]) in reply["error"]["text"]
    assert f"--since {page['oldest'] - 1} " in reply["error"]["hint"]
    assert events(host, f"?since={page['oldest'] - 1}&limit=1")["events"][0]["cursor"] == page["oldest"]
    status, reply = host.request("GET", f"/v1/events?since={page['newest'] + 1}")
    assert status == 400 and reply["error"]["code"] == "cursor-ahead"


def test_a_follower_hears_of_what_comes(host, short_tmp):
    start = events(host)["newest"]
    with follower(host) as f, follower(host, f"?since={start - 1}") as late, \
            follower(host, "?since=99999", Last_Event_ID=start - 1) as back:
        head = reply_head(f)
        assert " 200 " in head[0] and "Content-Type: text/event-stream" in head
        for again in (late, back):
            assert fields_read(again)["id"] == str(start)
        daemonkit.pf_make(short_tmp / "host/sys")
        yaml = daemonkit.vm_yaml(short_tmp)
        assert host.request("POST", "/v1/vms", {"yaml": yaml})[0] == 200
        seen = []
        while not seen or seen[-1]["to"] != "running":
            got = fields_read(f)
            assert got["event"] == "vm"
            seen.append(json.loads(got["data"]))
            assert got["id"] == str(seen[-1]["cursor"])
        assert [(e["object"], e["from"], e["to"]) for e in seen] == [
            ("vm1", None, "starting"), ("vm1", "starting", "running")]
        assert host.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
        end = json.loads(fields_read(f)["data"])
        while end["to"] not in ("stopped", "failed", "unknown"):
            end = json.loads(fields_read(f)["data"])
        exit_ = host.request("GET", "/v1/vms/vm1")[1]["exit"]
        assert end["text"] == f"{exit_['reason']}: {exit_['text']}"


def test_a_stop_does_not_wait_for_followers(host):
    with follower(host) as f:
        reply_head(f)
        began = time.monotonic()
        assert host.stop() == 0 and time.monotonic() - began < 30
        assert fields_read(f) is None
    host.start()


def test_followers_are_bounded_and_their_places_come_back(host):
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            assert " 200 " in reply_head(stack.enter_context(follower(host)))[0]
        with follower(host) as refused:
            assert " 503 " in reply_head(refused)[0] and b"too-many-followers" in refused.read1()
        assert host.request("GET", "/v1/version")[0] == 200
    # They have gone without a word.
    assert eventually(lambda: "viaduct_event_followers 0\n" in metrics(host))


def events_insert(daemon, count):
    with contextlib.closing(sqlite3.connect(daemon.state_dir / "state.db", timeout=daemonkit.PATIENCE_S)) as db, db:
        db.executemany("INSERT INTO events(at_ms, kind, object, was, state, text) VALUES"
                       "(0, 'vf', ?, 'free', 'leased', '')", [("x" * 200,)] * count)


def test_a_follower_that_does_not_read_is_told_what_it_lost(host):
    """More is sent than its socket holds, and meanwhile more happens than is kept; others are answered."""
    events_insert(host, KEPT)
    with follower(host, f"?since={events(host)['oldest'] - 1}") as f:
        reply_head(f)
        first = int(fields_read(f)["id"])
        for _ in range(2):
            events_insert(host, KEPT)
            assert host.request("GET", "/v1/version")[0] == 200
        last, cursors = None, [first]
        while (got := fields_read(f)) is not None:
            last = got
            cursors += [int(got["id"])] if "id" in got else []
        assert cursors == list(range(first, first + len(cursors))) and len(cursors) < KEPT
        assert last["event"] == "lost" and json.loads(last["data"])["code"] == "cursor-lost"


def test_a_count_that_somebody_changed_is_an_alarm(stopped_daemon, short_tmp):
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    pf = daemonkit.pf_make(sysfs)
    stopped_daemon.config.write_text("rescan_s: 1\n")
    stopped_daemon.start()
    assert stopped_daemon.cli("alarms").stdout == "no alarms\n"
    assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 0})[0] == 200
    (pf / "sriov_numvfs").write_text("1\n")
    key = ("vf-count-drift", PF)
    alarm = eventually(lambda: alarms(stopped_daemon).get(key))
    assert alarm["severity"] == "critical" and "has 1 VFs, and viaduct made 0" in alarm["text"]
    assert "sriov_numvfs" in alarm["hint"] and abs(alarm["raised_at"] - time.time()) < 60
    told = events(stopped_daemon, f"?since={alarm['cursor'] - 1}")["events"][0]
    assert (told["kind"], told["object"], told["from"], told["to"]) == ("alarm", PF, None, key[0])
    # Kept over a restart, with its time and cursor; looking again raises nothing anew.
    stopped_daemon.stop()
    stopped_daemon.start()
    time.sleep(1.5)
    assert alarms(stopped_daemon) == {key: alarm}
    shown = stopped_daemon.cli("alarms")
    assert shown.returncode == 0 and key[0] in shown.stdout and "try: echo 0" in shown.stdout
    (pf / "sriov_numvfs").write_text("0\n")
    assert eventually(lambda: not alarms(stopped_daemon))
    page = events(stopped_daemon, "?since=0")["events"]
    assert [(e["from"], e["to"]) for e in page if e["kind"] == "alarm"] == [(None, key[0]), (key[0], None)]
    assert eventually(lambda: f"alarm {key[0]} {PF} is over" in stopped_daemon.text())
    text = stopped_daemon.text()
    assert text.count(f"alarm {key[0]} {PF} (critical)") == text.count(f"alarm {key[0]} {PF} is over") == 1


def test_the_kernels_word_is_acted_on_at_once(stopped_daemon, short_tmp):
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    pf = daemonkit.pf_make(sysfs)
    stopped_daemon.config.write_text("rescan_s: 3600\n")
    stopped_daemon.start()
    assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 0})[0] == 200
    time.sleep(2)  # it has looked at what it did itself
    (pf / "sriov_numvfs").write_text("1\n")
    # Nobody looks for an hour, unless the kernel has a word, of whatever device.
    try:
        UEVENT.write_text("change\n")
    except OSError as e:
        pytest.skip(f"no uevent can be made here: {e}")
    assert eventually(lambda: alarms(stopped_daemon))


def test_a_quarantined_vf_is_an_alarm_until_it_is_wiped(stopped_daemon, short_tmp):
    daemonkit.pf_make(daemonkit.setup(stopped_daemon, short_tmp))
    stopped_daemon.start()
    stopped_daemon.stop()
    vf_row(stopped_daemon, "quarantined", "no function level reset")
    stopped_daemon.start()
    alarm = eventually(lambda: alarms(stopped_daemon).get(("vf-quarantined", VF)))
    assert "no function level reset" in alarm["text"] and f"vf scrub {VF}" in alarm["hint"]
    quarantine = [e for e in events(stopped_daemon)["events"] if e["kind"] == "vf"]
    assert [(e["object"], e["from"], e["to"], e["text"]) for e in quarantine] == [
        (VF, "free", "quarantined", "no function level reset")]
    assert 'viaduct_alarms{severity="major"} 1' in metrics(stopped_daemon)
    stopped_daemon.stop()
    with contextlib.closing(sqlite3.connect(stopped_daemon.state_dir / "state.db")) as db, db:
        db.execute("UPDATE vfs SET state = 'free', note = ''")
    stopped_daemon.start()
    assert eventually(lambda: not alarms(stopped_daemon))


def metrics(daemon):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(daemonkit.PATIENCE_S)
        s.connect(str(daemon.socket))
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with s.makefile("rb") as f:
            data = f.read()
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n" in head + b"\r\n"
    return body.decode()


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SUFFIXES = {"gauge": ("",), "counter": ("_total", "_created"), "info": ("_info",)}


def openmetrics_parse(text):
    """{sample with labels: value}; asserts what OpenMetrics 1.0 demands of order and form."""
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    families, samples, name, kind, unit = set(), {}, None, None, ""
    for line in text.removesuffix("# EOF\n").splitlines():
        if meta := re.fullmatch(rf"# (TYPE|HELP|UNIT) ({NAME}) (.+)", line):
            if meta[1] == "TYPE":
                name, kind, unit = meta[2], meta[3], ""
                assert name not in families and kind in SUFFIXES, line
                families.add(name)
            assert meta[2] == name, f"metadata of {name} is not together: {line}"
            if meta[1] == "UNIT":
                assert name.endswith("_" + meta[3]), line
            continue
        sample = re.fullmatch(rf"({NAME})(\{{{LABEL}(?:,{LABEL})*\}})? (\S+)", line)
        assert sample, f"not OpenMetrics: {line!r}"
        assert sample[1] in {name + s for s in SUFFIXES[kind]}, line
        key = sample[1] + (sample[2] or "")
        assert key not in samples, f"twice: {line}"
        samples[key] = float(sample[3])
        assert kind != "counter" or samples[key] >= 0
    return samples


def test_metrics_are_openmetrics_and_true(host, short_tmp):
    daemonkit.pf_make(short_tmp / "host/sys")
    host.request("GET", "/v1/pfs")
    host.request("GET", "/v1/nosuch")
    got = openmetrics_parse(metrics(host))
    assert got['viaduct_api_requests_total{status="2xx"}'] >= 1
    assert got['viaduct_api_requests_total{status="4xx"}'] == 1
    assert got['viaduct_api_requests_total{status="5xx"}'] == 0
    assert abs(got["viaduct_daemon_start_time_seconds"] - time.time()) < 120
    statm = pathlib.Path(f"/proc/{host.proc.pid}/statm").read_text().split()
    assert 0.5 < got["viaduct_daemon_resident_memory_bytes"] / (int(statm[1]) * 4096) < 2
    assert got["viaduct_events_total"] == events(host)["newest"]
    assert got[f'viaduct_vfs{{pf="{PF}",device="",state="free"}}'] == 0
    assert got['viaduct_vms{state="running"}'] == 0
    assert host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})[0] == 200
    again = openmetrics_parse(metrics(host))
    assert again['viaduct_vms{state="running"}'] == 1
    assert again["viaduct_events_total"] == got["viaduct_events_total"] + 2
    assert set(again) == set(got)


def test_the_command_shows_all_events_and_those_after_a_cursor(host):
    assert eventually(lambda: events(host, "?since=0")["events"])  # the start's own
    events_insert(host, 2500)
    lines = host.cli("events").stdout.splitlines()
    assert len(lines) == 2501 and "daemon viaductd  started" in lines[0]
    assert re.fullmatch(r"2501  \S+ \S+  vf x{200}  free -> leased", lines[-1])
    reply = json.loads(host.cli("events", "--since", 2499, "--json").stdout)
    assert [e["cursor"] for e in reply["events"]] == [2500, 2501] and reply["next"] == 2501
    assert len(json.loads(host.cli("events", "--json").stdout)["events"]) == 2501
    done = host.cli("events", "--since", 9999)
    assert done.returncode == 2 and "no event 9999 yet" in done.stderr and "try: viaduct events" in done.stderr
    assert host.cli("events", "--since", "x").returncode == 2
    assert json.loads(host.cli("alarms", "--json").stdout) == {"alarms": []}


def test_the_command_follows_over_a_restart_of_the_daemon(host):
    with subprocess.Popen([host.program("viaduct"), "events", "--follow", "--since", "0", "--json"],
                          env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as command:
        assert json.loads(command.stdout.readline())["cursor"] == 1
        host.stop()
        time.sleep(1)
        host.start()
        second = json.loads(command.stdout.readline())
        assert second["cursor"] == 2 and second["kind"] == "daemon"
        command.send_signal(signal.SIGINT)
        assert command.wait(daemonkit.PATIENCE_S) == 0 and command.stderr.read() == ""


def test_codes_are_explained(host):
    status, reply = host.request("GET", "/v1/vms/nosuch")
    code = reply["error"]["code"]
    shown = host.cli("explain", code)
    assert shown.returncode == 0 and shown.stdout.startswith("no-such-vm: ") and "try: viaduct vm list" in shown.stdout
    assert json.loads(host.cli("explain", code, "--json").stdout)["code"] == code
    missed = host.cli("explain", "no-such-vn")
    assert missed.returncode == 2 and "try: viaduct explain no-such-v" in missed.stderr
    assert len(host.cli("explain").stdout.splitlines()) > 100

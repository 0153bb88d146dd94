# SPDX-License-Identifier: BSD-3-Clause
"""Alarms are told to a URL until they are taken: a receiver that is down, that fails, that redirects, a daemon that is killed."""

import contextlib
import http.server
import json
import pathlib
import signal
import socketserver
import subprocess
import threading
import time

import daemonkit
import pytest


class Receiver:
    """A real HTTP server on a TCP port or a Unix socket; answers with `statuses`, then with 200."""

    def __init__(self, path=None, port=0):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.statuses.pop(0) if outer.statuses else 200
                outer.got.append((status, self.path, json.loads(body)))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def address_string(self):
                return "peer"

            def log_message(self, *_):
                pass

        self.statuses, self.got = [], []
        self.server = (socketserver.ThreadingUnixStreamServer(str(path), Handler) if path
                       else http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def taken(self):
        return [e for status, _, body in self.got if status == 200 for e in body["events"]]

    def wait(self, count):
        daemonkit.eventually(lambda: len(self.taken()) >= count)
        return self.taken()


def port_free():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as s:
        return s.server_port


def quarantine(daemon, index):
    daemonkit.ledger_change(
        daemon, "INSERT OR REPLACE INTO vfs(pf, idx, address, state, lease, owner, generation, boot_id, note) VALUES(?, ?, ?,"
        " 'quarantined', '', '', 1, ?, 'as the test wants it')", daemonkit.MACHINE, index,
        daemonkit.vf_address(daemonkit.MACHINE, index), daemonkit.boot_id())


@pytest.fixture
def hooked(stopped_daemon, short_tmp):
    """hooked(url): a stopped daemon that has run once with that URL."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    (sysfs / "bus/pci/devices" / daemonkit.MACHINE / "sriov_numvfs").write_text("2\n")
    for index in range(2):
        daemonkit.vf_make(sysfs, daemonkit.MACHINE, index)

    def make(url):
        stopped_daemon.config.write_text(f'alarms: {{webhook: "{url}"}}\n')
        stopped_daemon.start()
        stopped_daemon.stop()
        return stopped_daemon

    yield make


def kinds(events):
    return [e["to"] for e in events if e["object"] == daemonkit.vf_address(daemonkit.MACHINE, 0)]


def test_raised_alarms_are_told(hooked):
    with Receiver() as receiver:
        daemon = hooked(f"http://127.0.0.1:{receiver.server.server_port}/x")
        quarantine(daemon, 0)
        daemon.start()
        assert "vf-quarantined" in kinds(receiver.wait(1))
        _, path, body = receiver.got[0]
        assert path == "/x" and not body["lost"] and body["events"][0]["kind"] == "alarm"
        assert "vf-quarantined" in [a["kind"] for a in body["alarms"]]
        # Nothing is told twice by a restart.
        count = len(receiver.taken())
        daemon.stop()
        daemon.start()
        time.sleep(1)
        assert len(receiver.taken()) == count


def test_nothing_is_lost(hooked):
    """The receiver is down, the daemon is killed, both come back."""
    port = port_free()
    daemon = hooked(f"http://127.0.0.1:{port}/")
    quarantine(daemon, 0)
    daemon.start()
    assert daemonkit.eventually(lambda: "alarms are kept" in daemon.text())
    assert daemon.text().count("alarms are kept") == 1
    daemon.stop(signal.SIGKILL)
    with Receiver(port=port) as receiver:
        daemon.start()
        assert kinds(receiver.wait(1)).count("vf-quarantined") == 1


@pytest.mark.parametrize("statuses", [[500, 503], [302]])
def test_what_is_not_taken_is_told_again(hooked, statuses):
    with Receiver() as receiver:
        daemon = hooked(f"http://127.0.0.1:{receiver.server.server_port}/")
        receiver.statuses = list(statuses)
        quarantine(daemon, 0)
        daemon.start()
        assert kinds(receiver.wait(1)).count("vf-quarantined") == 1
        assert [s for s, _, _ in receiver.got][:len(statuses)] == statuses
        assert {path for _, path, _ in receiver.got} == {"/"}
        # The receiver has it before the daemon has the answer.
        assert daemonkit.eventually(lambda: "taken again" in daemon.text()), daemon.text()


def test_alarms_behind_many_other_events_do_not_wait(hooked):
    with Receiver() as receiver:
        daemon = hooked(f"http://127.0.0.1:{receiver.server.server_port}/")
        # As they gather while a receiver is down.
        daemonkit.ledger_change(
            daemon, "INSERT INTO events(at_ms, kind, object, was, state, text) WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1"
            " FROM n WHERE i < 6400) SELECT 1, CASE i WHEN 6400 THEN 'alarm' ELSE 'vf' END, 'x', '', 'as-the-test-wants', '' FROM n")
        daemon.start()
        assert daemonkit.eventually(lambda: "as-the-test-wants" in [e["to"] for e in receiver.taken()], 20)


def test_a_unix_socket(hooked, short_tmp):
    with Receiver(path=short_tmp / "hook") as receiver:
        daemon = hooked(f"unix:{short_tmp}/hook")
        quarantine(daemon, 0)
        daemon.start()
        assert "vf-quarantined" in kinds(receiver.wait(1))


def test_a_receiver_that_never_answers_delays_nobody(hooked, short_tmp):
    import socket

    with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
        s.bind(str(short_tmp / "hook"))
        s.listen(1)
        daemon = hooked(f"unix:{short_tmp}/hook")
        quarantine(daemon, 0)
        daemon.start()
        time.sleep(1)
        begin = time.monotonic()
        assert daemon.request("GET", "/v1/alarms")[0] == 200 and time.monotonic() - begin < 8
        begin = time.monotonic()
        assert daemon.stop() == 0 and time.monotonic() - begin < 8


@pytest.mark.parametrize("url", ["ftp://x/", "file:///etc/passwd", "x", "http://", "unix:x"])
def test_what_is_no_such_url(program, short_tmp, url):
    config = short_tmp / "viaductd.yaml"
    config.write_text(f'alarms: {{webhook: "{url}"}}\n')
    done = subprocess.run([program("viaductd"), "--run-dir", short_tmp, "--state-dir", short_tmp, "--config", config],
                          capture_output=True, text=True, timeout=daemonkit.PATIENCE_S, check=False)
    assert done.returncode == 1 and "webhook" in done.stderr and not pathlib.Path(short_tmp / "webhook").exists()

# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that start viaduct's real processes with run and state folders of their own."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import daemonkit
import pytest
from cli_daemon import FakeDaemon
from diskkit import Disks

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = {"viaduct-audit": "iommu", "viaduct": "cli", "viaductd": "vf-manager", "viaduct-vmm": "vmm"}
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:")


@pytest.fixture(scope="session")
def build_dir():
    """The folder with the built programs: VIADUCT_BUILD, else build/asan, else build/release."""
    if os.environ.get("VIADUCT_BUILD"):
        return pathlib.Path(os.environ["VIADUCT_BUILD"])
    for kind in ("asan", "release"):
        if (TOP / "build" / kind / "build.ninja").exists():
            return TOP / "build" / kind
    pytest.fail("nothing is built: run scripts/test, or set VIADUCT_BUILD")


@pytest.fixture(scope="session")
def program(build_dir):
    """program("viaductd") -> path of the built binary."""

    def find(name):
        path = build_dir / PROGRAMS[name] / name
        if not path.exists():
            pytest.fail(f"{path} is not built")
        return str(path)

    return find


@pytest.fixture
def short_tmp():
    """A temporary folder whose name leaves room for the name of a Unix socket (108 bytes)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="vd-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """One viaductd; start(), stop() and start() again keep its folders."""

    def __init__(self, program, folder):
        self.program = program
        self.run_dir, self.state_dir = folder / "run", folder / "state"
        self.config, self.log = folder / "viaductd.yaml", folder / "log"
        self.socket = self.run_dir / "viaduct.sock"
        self.proc = None
        self.args = []
        self.env = {
            **os.environ,
            "VIADUCT_RUN_DIR": str(self.run_dir),
            "VIADUCT_STATE_DIR": str(self.state_dir),
        }
        self.run_dir.mkdir()
        self.state_dir.mkdir()

    def start(self):
        args = ["--run-dir", self.run_dir, "--state-dir", self.state_dir]
        if self.config.exists():
            args += ["--config", self.config]
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                [self.program("viaductd"), *map(str, args), *self.args],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        daemonkit.eventually(lambda: self.answers() or self.proc.poll() is not None)
        if self.proc.poll() is not None:
            pytest.fail(f"viaductd ended with {self.proc.returncode}:\n{self.text()}")
        if not self.answers():
            pytest.fail(f"viaductd has no socket after {daemonkit.PATIENCE_S} s:\n{self.text()}")
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.socket))
                return True
            except OSError:
                return False

    def stop(self, sig=signal.SIGTERM):
        """Ends the daemon; returns its exit status (negative: the signal)."""
        if self.proc is None:
            return None
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            status = self.proc.wait(daemonkit.PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            pytest.fail(f"viaductd did not stop in {daemonkit.PATIENCE_S} s:\n{self.text()}")
        finally:
            self.proc = None
        return status

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def request(self, method, path, body=None, seconds=daemonkit.PATIENCE_S, **headers):
        """(status, parsed JSON) of one request; a str or bytes body is sent as it is."""
        connection = UnixConnection(self.socket, seconds)
        try:
            if body is not None and not isinstance(body, (str, bytes)):
                body = json.dumps(body)
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or b"null")
        finally:
            connection.close()

    def cli(self, *args, seconds=daemonkit.PATIENCE_S):
        """Runs viaduct against this daemon."""
        return subprocess.run([self.program("viaduct"), *map(str, args)], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds, check=False)


@pytest.fixture
def stopped_daemon(program, short_tmp):
    """A viaductd that is not started yet, so that a case can write its configuration first."""
    daemon = Daemon(program, short_tmp)
    yield daemon
    try:
        daemon.stop()
    finally:
        if SANITIZER.search(daemon.text()):
            pytest.fail(f"a sanitizer spoke:\n{daemon.text()}")


@pytest.fixture
def host(stopped_daemon, short_tmp):
    """A viaductd on a host made of files; the VMs that it still has at the end are killed."""
    daemonkit.setup(stopped_daemon, short_tmp)
    yield stopped_daemon.start()
    for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]:
        if vm["pid"]:
            stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})


@pytest.fixture
def daemon(stopped_daemon):
    """A running viaductd."""
    return stopped_daemon.start()


@pytest.fixture
def no_daemon(program, short_tmp):
    """A FakeDaemon that does not run yet."""
    made = FakeDaemon(short_tmp, program("viaduct"))
    yield made
    made.stop()


@pytest.fixture
def fake(no_daemon):
    """A FakeDaemon that runs."""
    return no_daemon.start()


@pytest.fixture
def disks(build_dir, short_tmp):
    made = Disks(str(build_dir / "pmd-backends" / "viaduct-pmd"), short_tmp)
    try:
        yield made
        if made.pmd.process is not None:
            assert made.pmd.stop() == 0, made.pmd.text()
    finally:
        made.pmd.kill()
    assert not SANITIZER.search(made.pmd.text()), made.pmd.text()

# SPDX-License-Identifier: BSD-3-Clause
"""A real viaduct-pmd, launched and asked over its contract (pmd-backends/pmd_msg.h) as viaductd does it."""

import array
import json
import os
import pathlib
import re
import socket
import subprocess

import pytest
from daemonkit import PATIENCE_S
from vhost_front import Front

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")
SANITIZERS = {
    # The leak checker traces the process, for which the sandbox kills.
    "ASAN_OPTIONS": "detect_leaks=0",
    "TSAN_OPTIONS": f"history_size=4:suppressions={pathlib.Path(__file__).resolve().parents[1]}/fake/tsan_suppressions",
}


class PmdError(Exception):
    def __init__(self, error):
        super().__init__(error["text"])
        self.error, self.code = error, error.get("code")


def exchange(sock, body, fds=()):
    """One request and its result; PmdError if it is refused."""
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([json.dumps(body).encode()], control)
    data = sock.recv(65536)
    if not data:
        raise ConnectionResetError("viaduct-pmd has hung up")
    reply = json.loads(data)
    assert reply["v"] == 1
    if not reply["ok"]:
        raise PmdError(reply["error"])
    return reply["result"]


class Pmd:
    """options: members of the launch's spec."""

    def __init__(self, program, folder, **options):
        self.program, self.folder = program, pathlib.Path(folder)
        self.spec = {"name": "net0", "cpus": [], "idle": "adaptive", "guest_uid": [0, 1],
                     **({} if options.get("role") == "block" else {"memory": 64 << 20, "hugepages": False}), **options}
        self.log = self.folder / "pmd.log"
        self.process = self.sock = None
        self.made = []  # what the process was told and must be told again when it comes back

    def start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(self.log, "ab") as log:
            # The number of the contract, whatever this process uses it for.
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec 3<&{theirs.fileno()} && exec "$0" --fd 3', self.program],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs.fileno(),),
                env={**os.environ, **SANITIZERS})
        path = self.folder / "control.sock"
        path.unlink(missing_ok=True)
        with ours, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen(8)
            ours.settimeout(PATIENCE_S)
            try:
                self.launched = exchange(
                    ours, {"v": 1, "op": "launch", "fds": ["listener"], "spec": self.spec}, (listener.fileno(),))
            except OSError as e:
                raise AssertionError(f"{e}:\n{self.text()}") from e
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(path))
        return self

    def call(self, op, fds=(), **members):
        result = exchange(self.sock, {"v": 1, "op": op, **members}, fds)
        if op.endswith("-add"):
            self.made.append((op, members))
        return result

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.sock.close()
            self.process = None

    def restart(self):
        """As by a daemon after the process was killed: the same uplinks, networks and ports."""
        self.kill()
        self.start()
        made, self.made = self.made, []
        for op, members in made:
            self.call(op, **members)

    def stop(self):
        """Asks it to end; its exit status."""
        self.call("quit")
        status = self.process.wait(PATIENCE_S)
        self.sock.close()
        self.process = None
        return status

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def front(self, port, **options):
        """A guest's end of a port's socket, or another one after the first was closed."""
        return Front(self.folder / (port.replace("/", "-") + ".sock"), **options)

    def port(self, port, network, features=Front.WANTED, pairs=1, **policy):
        front = self.front(port, features=features, pairs=pairs)
        self.port_at(port, network, front.path, **policy)
        return front

    def port_at(self, port, network, path, **policy):
        self.call("port-add", port=port, network=network, socket=str(path), policy=policy)


@pytest.fixture
def pmd_program(build_dir):
    path = build_dir / "pmd-backends" / "viaduct-pmd"
    assert path.exists(), f"{path} is not built"
    return str(path)


@pytest.fixture
def pmd(pmd_program, short_tmp):
    """A running viaduct-pmd with one lcore and no uplink; a sanitizer's word in its log is a failure."""
    process = Pmd(pmd_program, short_tmp).start()
    try:
        yield process
        if process.process is not None:
            assert process.stop() == 0, process.text()
    finally:
        process.kill()
    assert not SANITIZER.search(process.text()), process.text()

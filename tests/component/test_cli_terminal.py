# SPDX-License-Identifier: BSD-3-Clause
"""What only happens on a terminal: fitting tables, progress, the console relay."""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

import pytest

from cli_daemon import VF, VM, FakeDaemon, error
from daemonkit import PATIENCE_S, eventually


@pytest.fixture
def fake(program):
    folder = tempfile.mkdtemp(prefix="viaduct-cli-")
    daemon = FakeDaemon(folder, program("viaduct"))
    yield daemon
    daemon.stop()
    shutil.rmtree(folder)


END = b"<what the command wrote is here>"


class Terminal:
    """`viaduct ARGS` with a pseudo-terminal as standard input, output and error."""

    def __init__(self, fake, *args, columns=80):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [fake.viaduct, *args], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env=fake.env(), start_new_session=True)
        self.seen = b""

    def read(self):
        with contextlib.suppress(OSError):
            self.seen += os.read(self.master, 65536)
        return self.seen

    def until(self, text):
        os.set_blocking(self.master, False)
        assert eventually(lambda: text in self.read()), self.seen

    def type(self, data):
        os.set_blocking(self.master, True)
        os.write(self.master, data)

    def end(self):
        status = self.process.wait(PATIENCE_S)
        # The kernel takes what was written to the other side in its own time, but in order.
        os.write(self.slave, END)
        self.until(END)
        self.seen = self.seen.removesuffix(END)
        mode = termios.tcgetattr(self.slave)
        os.close(self.master)
        os.close(self.slave)
        assert mode == self.before, "the terminal's mode was not put back"
        return status


class Console:
    """The VM's side of a console socket."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(PATIENCE_S)
        self.client = None
        self.seen = b""

    def accept(self):
        self.client, _ = self.listener.accept()
        self.client.settimeout(PATIENCE_S)

    def until(self, text):
        while text not in self.seen:
            data = self.client.recv(4096)
            assert data, self.seen
            self.seen += data

    def close(self):
        self.client.close()
        self.listener.close()


@pytest.fixture
def console(fake):
    return Console(fake.run_dir / "vm" / "fw1" / "console.sock")


def test_table_fits_the_terminal(fake):
    fake.start().reply("GET", "/v1/vfs", {"vfs": [{**VF, "lease": "l" * 60, "owner": "o" * 60}]})
    terminal = Terminal(fake, "vf", "list", columns=120)
    assert terminal.end() == 0
    lines = terminal.seen.decode().splitlines()
    assert len(lines) == 2 and all(len(line) <= 120 for line in lines), lines


def test_progress_after_a_second_only(fake):
    fake.start().reply("POST", "/v1/vms/fw1/stop", {**VM, "state": "stopped"}, delay=2.5)
    terminal = Terminal(fake, "vm", "stop", "fw1")
    terminal.until(b"waiting for VM fw1 to power off")
    assert terminal.end() == 0
    assert terminal.seen.endswith(b"\r\x1b[KVM fw1 is stopped\r\n")
    assert fake.run("vm", "stop", "fw1").stderr == ""


def operation(state="running", steps=(), **more):
    return {"operation": {"id": "6a-1", "kind": "vm-stop", "target": "fw1", "state": state, "uid": 0, "started_at": 1780000000, "ended_at": None,
                          "took_ms": None, "status": None, "steps": [{"step": s, "ms": 10} for s in steps], "result": None, "error": None, **more}}


def test_steps_of_an_operation(fake):
    looks = "/v1/operations/6a-1?wait=30&steps="
    fake.start().reply("POST", "/v1/vms/fw1/stop", operation(), status=202)
    fake.reply("GET", looks + "0", operation(steps=["button is pressed"]))
    fake.reply("GET", looks + "1", operation("done", ["button is pressed", "is killed"], result={**VM, "state": "stopped"}), delay=2.5)
    terminal = Terminal(fake, "vm", "stop", "fw1")
    terminal.until(b"button is pressed ... 1 s")
    assert terminal.end() == 0 and terminal.seen.endswith(b"\r\x1b[KVM fw1 is stopped\r\n")
    # What it came to, in the words and with the exit status of the request.
    fake.reply("GET", looks + "1", operation("failed", ["button is pressed"], status=400, **error("still-running", "fw1 runs on", "think")))
    terminal = Terminal(fake, "vm", "stop", "fw1")
    assert terminal.end() == 2 and b"viaduct: fw1 runs on\r\n  try: think" in terminal.seen
    # The daemon was started again meanwhile; a peer's word is no path.
    fake.reply("GET", looks + "1", error("no-such-operation", "there is no operation"), status=404)
    terminal = Terminal(fake, "vm", "stop", "fw1")
    assert terminal.end() == 1 and b"6a-1: there is no operation" in terminal.seen
    fake.reply("POST", "/v1/vms/fw1/stop", operation(id="../vms"), status=202)
    terminal = Terminal(fake, "vm", "stop", "fw1")
    assert terminal.end() == 1 and b"names no operation" in terminal.seen
    # No room: as if nobody could follow it. No terminal: as ever.
    assert {p for _, p, _ in fake.requests} == {"/v1/vms/fw1/stop", looks + "0", looks + "1"}
    fake.reply("POST", "/v1/vms/fw1/stop", error("too-many-operations", "no more"), status=503)
    terminal = Terminal(fake, "vm", "stop", "fw1")
    assert terminal.end() == 1 and [m for m, _, _ in fake.requests[-2:]] == ["POST", "POST"]


def test_console_on_a_terminal(fake, console):
    fake.start().reply("GET", "/v1/vms/fw1/console",
                       {"socket": str(fake.run_dir / "vm/fw1/console.sock")})
    terminal = Terminal(fake, "vm", "console", "fw1")
    console.accept()
    console.client.sendall(b"login: \x1b[1m")
    terminal.until(b"login: \x1b[1m")
    terminal.type(b"root\r\x03\x1a\x04")
    console.until(b"root\r\x03\x1a\x04")
    terminal.type(b"more\x1dnot sent")
    assert terminal.end() == 0
    console.until(b"more")
    assert console.client.recv(100) == b"" and b"not sent" not in console.seen
    assert b"detached; the VM goes on" in terminal.seen
    console.close()


def test_console_without_a_daemon(fake, console):
    terminal = Terminal(fake, "vm", "console", "fw1")
    console.accept()
    console.client.sendall(b"bye\r\n")
    console.close()
    assert terminal.end() == 0
    assert b"bye\r\n" in terminal.seen and b"the console has closed" in terminal.seen


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_console_puts_the_terminal_back_on_signals(fake, console, sig):
    terminal = Terminal(fake, "vm", "console", "fw1")
    console.accept()
    console.client.sendall(b"ready")
    terminal.until(b"ready")
    terminal.process.send_signal(sig)
    assert terminal.end() == 1
    console.close()


def test_detach_works_when_the_vm_takes_no_input(fake, console):
    terminal = Terminal(fake, "vm", "console", "fw1")
    console.accept()
    console.client.sendall(b"ready")
    terminal.until(b"ready")
    for _ in range(400):
        terminal.type(b"x" * 1024)
        time.sleep(0.001)
    terminal.type(b"\x1d")
    assert terminal.end() == 0
    console.close()


def test_daemon_that_refuses_is_believed(fake, console):
    fake.start().reply("GET", "/v1/vms/fw1/console", error("no-such-vm", "there is no VM fw1"), 404)
    done = fake.run("vm", "console", "fw1")
    assert done.returncode == 1 and done.stderr == "viaduct: there is no VM fw1\n"


def test_console_json_says_where(fake, console):
    path = fake.run_dir / "vm/fw1/console.sock"
    assert str(path) in fake.run("vm", "console", "fw1", "--json").stdout


def test_console_in_a_script_reads_on_after_the_end_of_input(fake, console):
    def vm():
        console.accept()
        console.until(b"uname\n")
        time.sleep(0.3)
        console.client.sendall(b"Linux\r\n" * 20000)
        console.close()

    thread = threading.Thread(target=vm)
    thread.start()
    done = fake.run("vm", "console", "fw1", stdin="uname\n")
    thread.join()
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("Linux") == 20000


def test_console_time_limit(fake, console):
    def vm():
        console.accept()
        console.client.sendall(b"still here")

    thread = threading.Thread(target=vm)
    thread.start()
    start = time.monotonic()
    done = fake.run("vm", "console", "fw1", "--timeout", "1")
    thread.join()
    assert done.returncode == 0 and done.stdout == "still here"
    assert 0.9 < time.monotonic() - start


@pytest.mark.parametrize("how", ["signal", "time limit"])
def test_console_ends_though_nobody_takes_its_output(fake, console, how):
    words = ["vm", "console", "fw1"] + (["--timeout", "1"] if how == "time limit" else [])
    process = subprocess.Popen([fake.viaduct, *words], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, env=fake.env())
    console.accept()
    console.client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            console.client.sendall(b"x" * 65536)
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(PATIENCE_S) == (how == "signal")
    finally:
        process.kill()


def test_console_of_a_vm_that_is_gone(fake, console):
    console.listener.close()
    done = fake.run("vm", "console", "fw1")
    assert done.returncode == 1 and "console of VM fw1: connect to" in done.stderr
    assert "viaduct vm show fw1" in done.stderr

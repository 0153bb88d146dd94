# SPDX-License-Identifier: BSD-3-Clause
"""Programs that are asked in JSON lines: viaduct-gen and viaduct-reflect as children, viaduct-reflect at a guest's console."""

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import time

from . import BenchError, TrialError
from .ends import with_us

ANSWER_SECONDS = 60
STOP_SECONDS = 5
LINE_MAX = 1 << 20  # a histogram is some kilobytes
TAIL = 2000
READY = "VIADUCT-BENCH ready"


class Lines:
    """One question, one answer. `name`: of the other side, for errors."""

    def __init__(self, name):
        self.name, self.pending, self.last = name, b"", ""

    def send(self, data):
        raise NotImplementedError

    def receive(self, seconds):
        """Some bytes; b"" at the end of the stream; None: nothing in that time."""
        raise NotImplementedError

    def fail(self, what):
        raise TrialError(f"{self.name} {what}" + (f"; it ends with:\n{self.last[-TAIL:]}" if self.last.strip() else ""))

    def line(self, deadline):
        while b"\n" not in self.pending:
            if len(self.pending) > LINE_MAX:
                self.fail("says a line without end")
            left = deadline - time.monotonic()
            data = self.receive(left) if left > 0 else None
            if data is None:
                self.fail("does not answer")
            if not data:
                self.fail("has ended")
            self.pending += data
        first, _, self.pending = self.pending.partition(b"\n")
        return first.decode("utf-8", "replace").strip("\r\0 ")

    def wait_for(self, text, seconds):
        deadline = time.monotonic() + seconds
        while True:
            said = self.line(deadline)
            self.last = (self.last + said + "\n")[-2 * TAIL:]
            if text in said:
                return

    def ask(self, op, seconds=ANSWER_SECONDS, **members):
        """The answer; lines that are none (a kernel's, an echo) are passed over."""
        try:
            self.send(json.dumps({"op": op, **members}).encode() + b"\n")
        except OSError as e:
            self.fail(f"does not listen ({e})")
        deadline = time.monotonic() + seconds
        while True:
            said = self.line(deadline)
            try:
                answer = decoded(said)
            except NoNumberError:
                self.fail(f"answers {op} with a number that is none")
            if answer is None:
                self.last = (self.last + said + "\n")[-2 * TAIL:]
            elif answer["ok"] is True:
                return answer
            else:
                raise BenchError(f"{self.name}: {op}: {answer.get('text', 'refused')}")


class NoNumberError(Exception):
    """In an answer stands what no counter and no clock can say: 1e999, NaN, or hundreds of digits."""


def number(text):
    """A whole number of at most 64 bits, or a finite one."""
    value = float(text)
    if not math.isfinite(value) or abs(value) >= 2.0 ** 64:
        raise NoNumberError
    return int(text) if text.lstrip("-").isdigit() else value


def decoded(line):
    """An answer, or None: it is none."""
    if not line.startswith("{"):
        return None
    try:
        answer = json.loads(line, parse_int=number, parse_float=number, parse_constant=number)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and "ok" in answer else None


class Child(Lines):
    """A program of ours. It ends with stop(), whatever state it is in."""

    def __init__(self, name, command, log, env=None):
        super().__init__(name)
        self.log = log
        # A session of its own: Ctrl-C is for us, and we tell it.
        with open(log, "ab") as err:
            try:
                self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                stderr=err, env=env or os.environ, start_new_session=True, bufsize=0,
                                                preexec_fn=with_us(signal.SIGTERM))
            except OSError as e:
                raise BenchError(f"{name} cannot be run: {e}") from e

    def send(self, data):
        self.process.stdin.write(data)

    def receive(self, seconds):
        out = self.process.stdout
        return os.read(out.fileno(), 65536) if select.select([out], [], [], seconds)[0] else None

    def fail(self, what):
        with contextlib.suppress(OSError):
            self.last += self.log.read_text("utf-8", "replace")[-TAIL:]
        status = self.process.poll()
        super().fail(f"{what} (exit status {status})" if status is not None else what)

    def stop(self):
        """In order if it can, so that what it has bound and mapped is given back."""
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        for end in (lambda: None, self.process.terminate, self.process.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
                return
        raise BenchError(f"{self.name} (process {self.process.pid}) does not end, whatever signal it gets")


class Console(Lines):
    """A guest's console, a Unix stream socket."""

    def __init__(self, name, path):
        super().__init__(name)
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(str(path))
        except OSError as e:
            self.sock.close()
            raise TrialError(f"{name}: its console {path}: {e}") from e

    def send(self, data):
        self.sock.settimeout(STOP_SECONDS)
        self.sock.sendall(data)

    def receive(self, seconds):
        self.sock.settimeout(max(seconds, 0.01))
        try:
            return self.sock.recv(65536)
        except socket.timeout:
            return None
        except ConnectionError:
            return b""

    def stop(self):
        self.sock.close()

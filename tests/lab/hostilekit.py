# SPDX-License-Identifier: BSD-3-Clause
"""The hostile guest (tests/guest/hostile) as seen from outside: what it says, and what its VMM holds."""

import collections
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import time

LINE = re.compile(r"HOSTILE (begins|works)((?: \w+=\d+)+) end")
# What the host's kernel says when a VMM, or KVM under it, went wrong.
BAD_LINES = re.compile(r"segfault|Oops|BUG:|WARNING:|general protection|traps:|type=1326|kvm.*bug", re.I)
STALL_S = 45


def seconds(default):
    return float(os.environ.get("VIADUCT_HOSTILE_SECONDS", default))


def first_seed():
    return int(os.environ.get("VIADUCT_HOSTILE_SEED") or random.randrange(1, 1 << 31))


def cmdline(seed):
    return f"seed={seed} {os.environ.get('VIADUCT_HOSTILE_OPTIONS', '')}".strip()


class Reports:
    """Reads a console and keeps the guest's last line."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.text = ""
        self.last = {}
        self.moved_at = time.monotonic()

    def read(self, timeout):
        """False: the console is closed."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except (socket.timeout, BlockingIOError):
            return True
        except ConnectionResetError:
            return False
        self.text = (self.text + data.decode("latin-1"))[-20000:]
        found = None
        for found in LINE.finditer(self.text):
            pass
        if found:
            now = {k: int(v) for k, v in (word.split("=") for word in found.group(2).split())}
            if now != self.last:
                self.moved_at = time.monotonic()
            self.last = now
            self.text = self.text[found.end():]
        return bool(data)

    def is_stalled(self):
        return time.monotonic() - self.moved_at > STALL_S

    def ops(self):
        return self.last.get("cpu0", 0) + self.last.get("cpu1", 0)

    def close(self):
        self.sock.close()


Sample = collections.namedtuple("Sample", "at fds anon_kib")


class Process:
    """What one process holds, over time."""

    def __init__(self, pid):
        self.pid = pid
        self.samples = []

    def sample(self):
        try:
            status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
            fds = len(os.listdir(f"/proc/{self.pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            return  # it has ended; why, its record says
        anon = re.search(r"RssAnon:\s+(\d+)", status)
        if not anon:
            return  # it is about to go
        self.samples.append(Sample(time.monotonic(), fds, int(anon.group(1))))

    def check_flat(self, fds_more, kib_more):
        """The last third of the samples is no more than the first: fds by their most, memory by its median."""
        n = len(self.samples) // 3
        if n < 3:
            return
        first, last = self.samples[:n], self.samples[-n:]
        assert max(s.fds for s in last) <= max(s.fds for s in first) + fds_more, self.text()
        grown = statistics.median(s.anon_kib for s in last) - statistics.median(s.anon_kib for s in first)
        assert grown <= kib_more, self.text()

    def text(self):
        return f"pid {self.pid}: " + " ".join(f"{s.fds}/{s.anon_kib}K" for s in self.samples)


class HostLog:
    """The host kernel's log from now on."""

    def __init__(self):
        self.mark = f"hostile test {os.getpid()} {time.monotonic()}"
        self.begin = time.monotonic()
        pathlib.Path("/dev/kmsg").write_text(self.mark + "\n")

    def lines(self):
        text = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
        return text[text.rfind(self.mark):].splitlines()[1:]

    def check(self):
        lines = self.lines()
        bad = [line for line in lines if BAD_LINES.search(line)]
        assert not bad, "\n".join(bad[:20])
        # The kernel limits what it says of each fault; ten lines a second are no flood.
        assert len(lines) < 100 + 10 * (time.monotonic() - self.begin), "\n".join(lines[-40:])
        return sum("DMAR" in line for line in lines)

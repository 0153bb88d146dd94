# SPDX-License-Identifier: BSD-3-Clause
"""A guest's serial console as a place to run commands and read their output and status.

The guest runs GUEST_SCRIPT: it reads a line, runs it with sh, and frames the output with a token that
the caller chose, so that kernel messages and stale output are never taken for an answer."""

import itertools
import os
import re
import socket
import subprocess
import time

from operate import OperateError
from operate.viaduct import TOP

READY = "VIADUCT-GUEST ready"

GUEST_SCRIPT = """\
stty -echo -icrnl 2>/dev/null || true
while IFS= read -r token && IFS= read -r line; do
	[ -n "$token" ] || continue
	echo "<$token"
	status=0
	sh -c "$line" </dev/null || status=$?
	echo "$token>$status"
done
"""

# The same, typed at a shell's prompt.
SERVE = "stty -echo -icrnl; " + re.sub(r"(do|then)\n\s*|\n\s*", lambda m: f"{m[1]} " if m[1] else "; ",
                                       GUEST_SCRIPT.partition("\n")[2].strip())


def guest_initrd(out):
    """Write an initrd whose init serves GUEST_SCRIPT; returns its path."""
    script = out.with_suffix(".sh")
    script.write_text(GUEST_SCRIPT)
    subprocess.run([str(TOP / "lab/guest-image"), "--script", str(script), "-o", str(out)], check=True,
                   stdout=subprocess.DEVNULL)
    return out


# Shared by all consoles: a new connection is first shown what older ones received.
TOKENS = itertools.count(1)


class Console:
    def __init__(self, path):
        self.path = str(path)
        self.text = ""
        self.sock = None
        self.connect()

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def _more(self, deadline, waiting_for):
        left = deadline - time.monotonic()
        if left <= 0:
            raise OperateError(f"console: no {waiting_for!r} in time; it ends with:\n{self.text[-1500:]}")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            return
        if not data:
            raise OperateError(f"console closed before {waiting_for!r}; it ends with:\n{self.text[-1500:]}")
        self.text += data.decode("utf-8", "replace").replace("\r", "")

    def wait_for(self, pattern, timeout):
        """Wait until the regular expression appears; returns the match and drops all before its end."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            self._more(deadline, pattern)

    def wait_ready(self, timeout=120):
        return self.wait_for(re.escape(READY) + r"[^\n]*\n", timeout).group(0)

    def look(self):
        """What came and was not waited for yet."""
        self.sock.settimeout(0.2)
        try:
            self.text += self.sock.recv(65536).decode("utf-8", "replace").replace("\r", "")
        except socket.timeout:
            pass
        return self.text

    def login(self, timeout, user="root", password="viaduct"):
        """Log in where a system asks for it, to a shell that serves run()."""
        self.wait_for(r"login: $", timeout)
        self.type(f"{user}\n")
        self.wait_for(r"Password: $", 60)
        self.type(f"{password}\n")
        self.wait_for(r"[#$] $", 120)
        self.type(SERVE + "\n")

    def type(self, text):
        self.sock.settimeout(10)
        self.sock.sendall(text.encode())

    def run(self, command, timeout=60):
        """Run a shell line in the guest; returns (status, output)."""
        assert "\n" not in command
        token = f"T{os.getpid()}x{next(TOKENS)}"
        self.type(f"{token}\n{command}\n")
        self.wait_for(f"<{token}\n", timeout)
        match = self.wait_for(rf"(?s)\A(.*?){token}>(\d+)\n", timeout)
        return int(match.group(2)), match.group(1)

    def check(self, command, timeout=60):
        status, out = self.run(command, timeout)
        if status != 0:
            raise OperateError(f"guest: {command}: exit {status}: {out.strip()}")
        return out

    def network_devices(self):
        """The guest's network devices that are hardware."""
        return self.check("for d in /sys/class/net/*; do [ ! -e $d/device ] || basename $d; done").split()

    def driver(self, dev):
        return self.check(f"basename $(readlink /sys/class/net/{dev}/device/driver)").strip()

    def mac(self, dev):
        return self.check(f"cat /sys/class/net/{dev}/address").strip()

    def network_up(self, dev, address):
        """Give dev an IPv4 address and wait for its carrier."""
        self.check(f"ip addr add {address}/24 dev {dev}; ip link set {dev} up")
        self.check(f"n=0; until [ \"$(cat /sys/class/net/{dev}/carrier)\" = 1 ]; do n=$((n+1)); "
                   "[ $n -lt 100 ] || exit 1; sleep 0.1; done", 30)

    def interrupts(self, dev):
        """How many interrupts of dev the guest has counted; its MSI-X vectors are named after it."""
        return sum(int(word) for line in self.check(f"grep -w {dev} /proc/interrupts").splitlines()
                   for word in line.split()[1:] if word.isdigit())

    def ping_loss(self, address, count):
        """Percent of lost pings, as the guest's ping says it."""
        _, out = self.run(f"ping -c {count} -W 2 {address}", 60)
        match = re.search(r"(\d+)% packet loss", out)
        if not match:
            raise OperateError(f"the guest's ping says no loss figure: {out.strip()}")
        return int(match.group(1))

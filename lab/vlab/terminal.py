# SPDX-License-Identifier: BSD-3-Clause
"""Our terminal in raw mode, joined to the virtual host's console port."""

import os
import signal
import sys
import termios
import threading
import tty

ESCAPE = b"\x1d"  # Ctrl-]


class Terminal:
    def __init__(self):
        self._saved = termios.tcgetattr(sys.stdin.fileno())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._saved)
        print(flush=True)

    def connect(self, host):
        """Called when the shell has started."""
        tty.setraw(sys.stdin.fileno())
        sock = host.sockets["terminal"]

        def to_host():
            while True:
                data = os.read(sys.stdin.fileno(), 4096)
                if not data or ESCAPE in data:
                    host.events.put(("signal", signal.SIGTERM))
                    return
                try:
                    sock.sendall(data)
                except OSError:
                    return

        def from_host():
            while True:
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    return
                os.write(sys.stdout.fileno(), data)

        for run in (to_host, from_host):
            threading.Thread(target=run, daemon=True).start()

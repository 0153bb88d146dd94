# SPDX-License-Identifier: BSD-3-Clause
"""Relays between the virtual host's ports (sockets) and our own standard files, one thread each."""

import os
import threading


class OutputRelay:
    """Copies a port to a file descriptor until the mark or the end of the port."""

    def __init__(self, sock, fd, mark):
        self._sock = sock
        self._fd = fd
        self._mark = mark
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def wait(self, seconds):
        """Until all that the command wrote is copied."""
        self._done.wait(seconds)

    def _run(self):
        held = b""
        while True:
            try:
                data = self._sock.recv(65536)
            except OSError:
                data = b""
            held += data
            end = held.find(self._mark)
            if end >= 0 or not data:
                self._write(held if end < 0 else held[:end])
                break
            keep = self._partial_mark(held)
            self._write(held[:len(held) - keep])
            held = held[len(held) - keep:]
        self._done.set()
        # What the job left running may go on writing: take it, so that it does not block.
        while data:
            try:
                data = self._sock.recv(65536)
            except OSError:
                return

    def _partial_mark(self, data):
        """How many of the last bytes may be the start of the mark."""
        for length in range(min(len(self._mark) - 1, len(data)), 0, -1):
            if data.endswith(self._mark[:length]):
                return length
        return 0

    def _write(self, data):
        while data and self._fd >= 0:
            try:
                data = data[os.write(self._fd, data):]
            except OSError:
                # Our reader has gone: the job goes on, as it would write into a closed pipe.
                self._fd = -1


def read_lines(sock, on_line):
    """Call on_line for each line of a port, on a thread of its own; on_line(None) at its end."""
    def run():
        with sock.makefile("r", encoding="utf-8", errors="replace") as lines:
            try:
                for line in lines:
                    on_line(line.rstrip("\n"))
            except OSError:
                pass
        on_line(None)
    threading.Thread(target=run, daemon=True).start()

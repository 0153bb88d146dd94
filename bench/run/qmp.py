# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor protocol: one command, one answer."""

import json
import socket
import time

from . import TrialError

SECONDS = 30


class Qmp:
    """At the socket where QEMU listens, as soon as it does. TrialError: it does not answer, or refuses."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.sock.connect(str(path))
                break
            except OSError as e:
                if time.monotonic() > deadline:
                    raise TrialError(f"QEMU's monitor does not listen: {e}") from e
                time.sleep(0.05)
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.file.readline()  # who it is
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        try:
            self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            self.file.flush()
            for line in self.file:
                answer = json.loads(line)
                if "error" in answer:
                    raise TrialError(f"QEMU's monitor: {command}: {answer['error'].get('desc')}")
                if "return" in answer:
                    return answer["return"]
        except (OSError, ValueError) as e:
            raise TrialError(f"QEMU's monitor: {command}: {e}") from e
        raise TrialError(f"QEMU's monitor: {command}: it has ended")

    def close(self):
        self.file.close()
        self.sock.close()

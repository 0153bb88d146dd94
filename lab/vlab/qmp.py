# SPDX-License-Identifier: BSD-3-Clause
"""A QMP client: one command at a time, over a socket that the emulator holds the other end of."""

import json
import threading

from vlab import LabError


class Qmp:
    def __init__(self, sock):
        self._sock = sock
        self._file = sock.makefile("rw", encoding="utf-8")
        self._lock = threading.Lock()
        self._ready = False

    def execute(self, command, **arguments):
        with self._lock:
            if not self._ready:
                self._file.readline()
                self._exchange({"execute": "qmp_capabilities"})
                self._ready = True
            return self._exchange({"execute": command, "arguments": arguments})

    def _exchange(self, message):
        try:
            self._file.write(json.dumps(message) + "\n")
            self._file.flush()
            for line in self._file:
                reply = json.loads(line)
                if "error" in reply:
                    raise LabError(reply["error"]["desc"])
                if "return" in reply:
                    return reply["return"]
        except OSError as e:
            raise LabError(f"the emulator does not answer: {e.strerror}") from e
        raise LabError("the emulator has gone")

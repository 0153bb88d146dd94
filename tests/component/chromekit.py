# SPDX-License-Identifier: BSD-3-Clause
"""A page in headless Chromium, over its debugging pipe: what its console says, where things lie, and what it looks like."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

PROGRAM = "chromium-headless-shell"
LOAD_SECONDS = 90


def high_pipe():
    """A pipe whose ends are far from the descriptors that the browser wants."""
    ends = os.pipe()
    out = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends]
    for end in ends:
        os.close(end)
    return out


class Browser:
    def __init__(self, profile):
        """profile: a folder of this browser's own."""
        assert shutil.which(PROGRAM), f"{PROGRAM} is not installed: scripts/setup"
        to_browser, self.to = high_pipe()
        self.of, from_browser = high_pipe()
        self.buffer, self.number, self.events = b"", 0, []
        # The debugging pipe is the browser's descriptors 3 and 4; a shell puts them there.
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", command, "chromium", PROGRAM, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        target = self.call("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        self.session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.of)

    def message(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.of], [], [], left)[0], "the browser is silent"
            piece = os.read(self.of, 1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        raw, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(raw)

    def call(self, method, params=None, session=""):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params or {}}
        if session is not None:
            request["sessionId"] = self.session
        os.write(self.to, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + LOAD_SECONDS
        while True:
            message = self.message(deadline)
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def load(self, path, scheme="light", width=1280):
        """Opens a file; what came before is forgotten."""
        self.events.clear()
        self.call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.call("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.call("Page.navigate", {"url": f"file://{path}"})
        deadline = time.monotonic() + LOAD_SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message(deadline))

    def complaints(self):
        """What the page wrote to the console, threw, or was refused."""
        self.evaluate("1")  # what came before it has been told
        return [event for event in self.events
                if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]

    def evaluate(self, script):
        """The value of an expression in the page, as JSON has it."""
        out = self.call("Runtime.evaluate", {"expression": script, "returnByValue": True})
        assert "exceptionDetails" not in out, out
        return out["result"].get("value")

    def print(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF")["data"]))

# SPDX-License-Identifier: BSD-3-Clause
"""The daemon as a process, and the `viaduct` command with its JSON."""

import json
import os
import pathlib
import signal
import subprocess
import time

from operate import OperateError, api

TOP = pathlib.Path(__file__).resolve().parents[2]


def build_dir():
    return pathlib.Path(os.environ.get("VIADUCT_BUILD") or TOP / "build/release")


class Failed(OperateError):
    """A viaduct command that exited non-zero."""

    def __init__(self, args, status, out, err):
        super().__init__(f"viaduct {' '.join(args)}: exit {status}: {err.strip() or out.strip()}")
        self.status = status
        self.out = out
        self.err = err


def cli(*args, timeout=120, user=None):
    """Run `viaduct ARGS`; returns what it printed. Raises Failed on a non-zero exit."""
    command = [str(build_dir() / "cli/viaduct"), *args]
    other = {"user": user, "group": "nogroup", "extra_groups": []} if user else {}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, check=False, **other)
    if done.returncode != 0:
        raise Failed(args, done.returncode, done.stdout, done.stderr)
    return done.stdout


def cli_json(*args, **kw):
    return json.loads(cli(*args, "--json", **kw))


class Daemon:
    """viaductd, in its own process group so that a signal meets it alone."""

    def __init__(self, config=None):
        self.config = config
        self.process = None
        self.log = open("/tmp/viaductd.log", "ab", buffering=0)

    def start(self, timeout=60):
        command = [str(build_dir() / "vf-manager/viaductd")]
        if self.config:
            command += ["--config", str(self.config)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + timeout
        while True:
            try:
                return api.get("/v1/version", timeout=timeout)
            except OSError as e:
                if self.process.poll() is not None:
                    raise OperateError(f"viaductd ended at once:\n{self.log_tail()}") from e
                if time.monotonic() > deadline:
                    raise OperateError(f"viaductd did not answer in {timeout} s: {e}") from e
            time.sleep(0.1)

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(sig)
        self.process.wait(timeout)

    def restart(self, sig=signal.SIGKILL):
        self.stop(sig)
        return self.start()

    def log_tail(self, lines=30):
        text = pathlib.Path(self.log.name).read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

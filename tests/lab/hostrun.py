# SPDX-License-Identifier: BSD-3-Clause
"""For cases outside the virtual host: lab/run with a disk and a journal, and the power cut."""

import json
import os
import pathlib
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str(TOP / "tests/lab/powercut.py")
HOST_DIED = 125
BOOTS = 3


class HostRun:
    """One boot of the host with folder/disk; what it tells is in rows()."""

    def __init__(self, folder, words, options=()):
        self.journal = folder / "journal"
        self.journal.unlink(missing_ok=True)
        self.log = folder / "log"
        argv = [str(TOP / "lab/run"), *options, "--disk", str(folder / "disk"), "--scratch", str(folder),
                "--timeout", "150", "--", "/usr/bin/python3", "-B", PROGRAM, *words]
        with open(self.log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env={**os.environ, "VIADUCT_BUILD": str(build_dir())})

    def rows(self):
        """Whole lines only: the last one may be on its way."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text("utf-8").split("\n")[:-1]]

    def wait(self):
        """Until the host ends or asks for the cut, which it gets at once; returns what it told."""
        try:
            while self.process.poll() is None:
                if any("cut" in row for row in self.rows()):
                    break
                time.sleep(0.01)
        finally:
            # The emulator dies with lab/run, and what the disk has cached with both.
            self.process.kill()
            self.process.wait()
        return self.rows()

    def text(self):
        return self.log.read_text("utf-8", "replace")[-6000:]


def build_dir():
    return pathlib.Path(os.environ.get("VIADUCT_BUILD") or TOP / "build/release")


def boot(folder, words, options=()):
    """Rows of a boot that told all it has to tell. A host that dies by the emulator's fault is booted again."""
    for _ in range(BOOTS):
        run = HostRun(folder, words, options)
        ended = run.wait()
        failed = [row["failed"] for row in ended if "failed" in row]
        assert not failed, failed[0]
        if any("cut" in row for row in ended) or run.process.returncode == 0:
            return ended
        assert run.process.returncode == HOST_DIED, run.text()
    raise AssertionError(f"the host died {BOOTS} times: {run.text()}")

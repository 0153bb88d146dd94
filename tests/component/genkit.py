# SPDX-License-Identifier: BSD-3-Clause
"""A real viaduct-gen, asked over its lines."""

import json
import os
import signal
import subprocess

PATIENCE_S = 120


class GenError(Exception):
    pass


class Gen:
    """lcores: one sends and receives in turn; of two, DPDK's words tell them apart. pages: of DPDK's memory."""

    def __init__(self, build_dir, folder, lcores="0@0", memory=192, pages=("--no-huge", "--no-shconf")):
        self.log = folder / "gen.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [build_dir / "bench/gen/viaduct-gen", *pages, "-m", str(memory), "--lcores", lcores,
                 "--file-prefix", f"gen-{os.getpid()}", "--log-level", "lib.eal:error", "--"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                # DPDK keeps its memory to the end.
                env={**os.environ, "RUNTIME_DIRECTORY": str(folder), "ASAN_OPTIONS": "detect_leaks=0"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        assert "Sanitizer" not in self.text() and "runtime error" not in self.text(), self.text()

    def text(self):
        return self.log.read_text(errors="replace")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        assert line, f"viaduct-gen ended with {self.process.wait(PATIENCE_S)}:\n{self.text()}"
        return json.loads(line)

    def ask(self, op, **members):
        self.say(json.dumps({"op": op, **members}))
        reply = self.hear()
        if not reply.pop("ok"):
            raise GenError(reply["text"])
        return reply

    def port(self, name, device, **members):
        return self.ask("port", name=name, device=device, **members)

    def trial(self, tx, rx=None, sizes="64", **members):
        return self.ask("trial", tx=tx, rx=rx or tx, sizes=sizes, **members)

    def signal(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def quit(self):
        """Its exit status."""
        self.ask("quit")
        return self.process.wait(PATIENCE_S)

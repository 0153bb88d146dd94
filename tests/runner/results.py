# SPDX-License-Identifier: BSD-3-Clause
"""What a case's outcome is, and the tally that decides the last line and the exit status."""

import dataclasses
import re
import sys

OUTCOMES = ("passed", "failed", "skipped")


@dataclasses.dataclass
class Result:
    suite: str
    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""  # failure text, or the reason of a skip


def shortened(text, head=120, tail=40):
    """A failure's text without a sanitizer's memory map, and without its middle when it is long."""
    text = re.sub(r"Shadow bytes around.*?(?=^==\d+==|\Z)", "", text, flags=re.S | re.M)
    lines = text.rstrip().splitlines()
    if len(lines) > head + tail:
        lines[head:-tail] = [f"[{len(lines) - head - tail} lines left out]"]
    return "\n".join(lines)


class Tally:
    """Collects results; prints failures and skips as they come."""

    def __init__(self, out=sys.stdout):
        self.results = []
        self.out = out

    def say(self, text):
        print(text, file=self.out, flush=True)

    def add(self, result):
        if result.outcome not in OUTCOMES:
            raise ValueError(f"{result.suite} {result.name}: outcome {result.outcome!r}")
        self.results.append(result)
        if result.outcome == "failed":
            self.say(f"--- FAILED {result.suite}: {result.name}")
            if result.detail.strip():
                self.say(shortened(result.detail))
            self.say("---")
        elif result.outcome == "skipped":
            self.say(f"skipped {result.suite}: {result.name}: {result.detail or 'no reason given'}")

    def count(self, outcome, suite=None):
        return sum(
            1 for r in self.results if r.outcome == outcome and suite in (None, r.suite)
        )

    def summary(self, suite=None):
        text = f"{self.count('passed', suite)} passed, {self.count('failed', suite)} failed"
        skipped = self.count("skipped", suite)
        return text + (f", {skipped} skipped" if skipped else "")

    def exit_status(self):
        """Zero only if something ran and nothing failed: a run of skips alone proves nothing."""
        if self.count("failed") or not self.count("passed"):
            return 1
        return 0

# SPDX-License-Identifier: BSD-3-Clause
"""What a case's outcome is, and the tally that decides the last line and the exit status.

A case that failed and passed when it was run again (again.py) is unsteady: it counts as passed as long as there are few of them.
"""

import collections
import dataclasses
import re
import sys

OUTCOMES = ("passed", "failed", "skipped")
UNSTEADY_MOST = 3  # of a run; when there are more, all of them have failed
TRIPLE_FAULT = "the guest is reset: triple fault"  # viaduct-vmm's word for it, in its log
TRIPLE_FAULTS_MOST = 4  # unsteady cases with that word: the emulator's (HACKING.md, Traps), up to so many of a run


@dataclasses.dataclass
class Result:
    suite: str
    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""  # failure text, or the reason of a skip
    first: str = ""  # failure text of the first go of a case that was run again and passed


def case_of(result):
    """A case's name: a fault in its teardown is a result of its own."""
    return result.name.replace(" (teardown)", "")


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
            self.say_failed(result, "FAILED")
        elif result.outcome == "skipped":
            self.say(f"skipped {result.suite}: {result.name}: {result.detail or 'no reason given'}")

    def say_failed(self, result, how):
        self.say(f"--- {how} {result.suite}: {result.name}")
        if result.detail.strip():
            self.say(shortened(result.detail))
        self.say("---")

    def unsteady(self):
        return [r for r in self.results if r.first]

    def too_unsteady(self):
        emulators = sum(TRIPLE_FAULT in r.first for r in self.unsteady())
        return emulators > TRIPLE_FAULTS_MOST or len(self.unsteady()) - emulators > UNSTEADY_MOST

    def say_unsteady(self):
        for r in self.unsteady():
            self.say(f"unsteady: {r.suite}: {r.name} (failed once, passed when run again)")
        if self.too_unsteady():
            self.say(f"{len(self.unsteady())} unsteady cases are too many: all of them count as failed")

    def outcome(self, result):
        return "failed" if result.first and self.too_unsteady() else result.outcome

    def count(self, outcome, suite=None):
        return sum(1 for r in self.results if self.outcome(r) == outcome and suite in (None, r.suite))

    def summary(self, suite=None):
        text = f"{self.count('passed', suite)} passed, {self.count('failed', suite)} failed"
        skipped = self.count("skipped", suite)
        return text + (f", {skipped} skipped" if skipped else "")

    def longest(self, suite, most=12):
        """Where a suite's time goes: seconds and name of its longest files of cases, and of its longest cases."""
        cases = sorted(((r.seconds, r.name) for r in self.results if r.suite == suite), reverse=True)
        files = collections.Counter()
        for seconds, name in cases:
            files[name.split("::")[0]] += seconds
        return [[f"{seconds:.0f} {name}" for seconds, name in rows[:most] if seconds >= 1]
                for rows in ([(seconds, name) for name, seconds in files.most_common()], cases)]

    def exit_status(self):
        """Zero only if something ran and nothing failed: a run of skips alone proves nothing."""
        if self.count("failed") or not self.count("passed"):
            return 1
        return 0

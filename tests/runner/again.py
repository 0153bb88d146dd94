# SPDX-License-Identifier: BSD-3-Clause
"""A second go for cases that failed, once, at the end of their suite, with nothing beside them: emulated hosts and noisy
machines fail cases that hold. What passes then counts as passed and is unsteady (results.py): said, counted, bounded."""

import re

from .results import case_of

MOST = 8  # when more cases of a suite failed, something is really wrong
# What a sanitizer says is true, however seldom it says so.
FINAL = re.compile(r"\w+Sanitizer: |runtime error:")


class SecondGo:
    """Takes a suite's results in the place of the tally; those of cases that failed wait for finish()."""

    def __init__(self, suite, ctx):
        self.suite, self.ctx, self.held = suite, ctx, {}

    def take(self, results):
        """Results of whole cases: none of them may come in two lots."""
        bad = set() if self.ctx.once else {case_of(r) for r in results if may_be_run_again(r)}
        for result in results:
            if case_of(result) not in bad:
                self.ctx.tally.add(result)
                continue
            self.held.setdefault(case_of(result), []).append(result)
            if result.outcome == "failed" and len(self.held) <= MOST:
                self.ctx.tally.say_failed(result, "failed once")

    def finish(self, run):
        """run(names of cases) -> their results."""
        names, again = list(self.held), []
        if len(names) > MOST:
            self.ctx.tally.say(f"{self.suite}: {len(names)} cases failed: none of them is run again")
        elif names:
            self.ctx.tally.say(f"{self.suite}: once more: {', '.join(names)}")
            again = run(names)
        for name, first in self.held.items():
            for result in outcome(first, [r for r in again if case_of(r) == name]):
                self.ctx.tally.add(result)
        for result in again:
            if case_of(result) not in self.held:
                self.ctx.tally.add(result)


def may_be_run_again(result):
    """A file that cannot be read or a pytest that dies is no case."""
    return result.outcome == "failed" and "::" in result.name and not FINAL.search(result.detail)


def outcome(first, second):
    """What counts of a case's results of both goes."""
    if second and all(r.outcome == "passed" for r in second):
        second[0].first = "\n".join(r.detail for r in first if r.outcome == "failed") or "failed"
        return second
    failed = [r for r in first if r.outcome == "failed"]
    for result in second:
        failed[0].detail += f"\n[run again: {result.outcome}]\n{result.detail}"
    return first

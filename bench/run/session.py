# SPDX-License-Identifier: BSD-3-Clause
"""One run: groups of scenarios in turn, what was measured kept whatever happens, everything given back."""

import datetime
import functools
import sys
import time

from . import BenchError, facts, rigs, signals
from .groups import COUNTS, GROUPS
from .guests import image_of
from .host import Borrowed
from .scenarios import BY_NAME, PROFILES, SCENARIOS
from .store import FORMAT, VERSION, Store, scenario_object

KEEP_SECONDS = 15
NEEDS_GUEST = {"guest-vf", "guest-polled", "guest-chain", "interrupt", "tcp", "start", "scale"}


class Progress:
    """What is done of what there is to do, on standard error: one line on a terminal, else one a piece."""

    def __init__(self, groups, out=sys.stderr):
        self.out, self.groups, self.began = out, groups, time.monotonic()
        self.group_at, self.done, self.of = 0, 0, 1
        self.wide = 0

    def group(self, index, pieces):
        self.group_at, self.done, self.of = index, 0, max(1, pieces)

    def left(self):
        share = (self.group_at + self.done / self.of) / self.groups
        spent = time.monotonic() - self.began
        return "" if share < 0.02 else f", about {max(1, round(spent * (1 - share) / share / 60))} min left"

    def say(self, what, counts=True):
        self.done = min(self.of, self.done + counts)
        line = f"[{time.monotonic() - self.began:6.0f} s] {what}{self.left()}"
        if self.out.isatty():
            print("\r\033[K" + line, end="", file=self.out, flush=True)
            self.wide = 1
        else:
            print(line, file=self.out, flush=True)

    def end(self):
        if self.wide:
            print("\r\033[K", end="", file=self.out, flush=True)


class Session:
    """keep(result), if it is there, is told every now and then what there is so far: for the case that the host itself dies."""

    def __init__(self, options, keep=None):
        self.options, self.keep = options, keep
        self.kept = self.began = time.monotonic()
        self.at = datetime.datetime.now(datetime.timezone.utc)
        self.scenarios = [row for row in SCENARIOS if row.name in options.scenario]
        self.plan = PROFILES[options.profile]
        if options.rounds:
            self.plan = type(self.plan)(**{**vars(self.plan), "rounds": options.rounds})
        self.store, self.done, self.addresses = Store(), set(), []
        self.ended, self.failures, self.left = "done", [], []
        self.facts, self.journal = {}, None

    def wants(self, name):
        return any(row.name == name for row in self.scenarios)

    def lane(self, scenario, variant, rig):
        """A rig that is there: its variant is one of the result's. Only what was asked for is measured; a scenario that is held
        against another measures that one, too."""
        self.done.add((scenario, variant))
        address = getattr(rig, "address", "")
        if address and address not in self.addresses:
            self.addresses.append(address)
        return scenario, variant, rig

    def groups(self):
        return list(dict.fromkeys(row.group for row in self.scenarios))

    def run(self):
        """The result. Ctrl-C and errors end it early, and say so in it."""
        progress = Progress(len(self.groups()))
        try:
            self.facts = facts.gather()
            for index, name in enumerate(self.groups()):
                self.run_group(index, name, progress)
        except KeyboardInterrupt:
            self.ended = "interrupted"
        with signals.deferred():
            progress.end()
            if self.failures and self.ended == "done":
                self.ended = "failed"
            return self.result(self.ended)

    def say(self, progress, what, counts=True):
        progress.say(what, counts)
        if self.keep and counts and time.monotonic() - self.kept > KEEP_SECONDS:
            try:
                self.keep(self.result("interrupted"))
            except Exception as e:  # the end of the run may have more luck
                progress.say(f"what there is so far cannot be kept: {e}", False)
            self.kept = time.monotonic()

    def run_group(self, index, name, progress):
        """A group that fails does not take the others with it."""
        borrowed = Borrowed(self.journal)
        try:
            with borrowed:
                self.measure(index, name, progress, borrowed)
        except Exception as e:  # what others measured is not lost for it
            what = str(e if isinstance(e, BenchError) else BenchError(f"{type(e).__name__}: {e}"))
            for row in self.scenarios:
                if row.group == name:
                    self.store.note(row.name, f"not measured to the end: {what.partition(chr(10))[0][:300]}")
            self.failures.append(f"{name}: {what}")
        finally:
            self.left += borrowed.left

    def measure(self, index, name, progress, borrowed):
        bench = rigs.Bench(self.options, borrowed)
        if any(row.group == name and row.name in NEEDS_GUEST for row in self.scenarios):
            progress.say("the bench guest's image", False)
            with signals.held("the bench guest's image is there"):
                bench.image = image_of(self.options, bench.folder)
        progress.say(f"{name}: getting ready", False)
        table = COUNTS if self.plan.deterministic else GROUPS
        if name not in table:
            raise BenchError(f"there is nothing to count of {name} in deterministic time")
        table[name](self, bench, lambda pieces: progress.group(index, pieces), functools.partial(self.say, progress))

    def result(self, ended):
        if self.facts:
            self.facts["drivers"] = facts.drivers(self.addresses)
        wanted = {row.name for row in self.scenarios} | {name for name, _ in self.done}
        return {
            "format": FORMAT, "version": VERSION, "profile": self.options.profile, "viaduct": facts.viaduct_version(),
            "at": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "emulated": bool(facts.emulated()), "seconds": round(time.monotonic() - self.began, 1), "ended": ended, "host": self.facts,
            "warnings": facts.warnings(self.facts) if self.facts else [],
            "scenarios": [scenario_object(self.store, row, self.done) for row in SCENARIOS if row.name in wanted],
        }


def chosen(names):
    """The scenarios of these words; BenchError: there is no such one."""
    for name in names:
        if name not in BY_NAME:
            raise BenchError(f"there is no scenario {name!r}: {', '.join(BY_NAME)}")
    return list(dict.fromkeys(names))

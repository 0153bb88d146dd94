#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds viaduct and runs its suites. scripts/test calls this after set-up; see HACKING.md."""

import argparse
import dataclasses
import os
import pathlib
import sys
import time
import typing

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from runner import benchsuite, builds, labsuite, longsuite, suites  # noqa: E402
from runner.results import Result, Tally  # noqa: E402


@dataclasses.dataclass
class Suite:
    about: str
    builds: tuple
    run: typing.Callable
    default: bool = True


# In the order in which they run. Each waits for its builds alone: style for none, and component, which waits for daemons more than
# it works, has the builds of the suites behind it beside it.
SUITES = {
    "style": Suite("layers, headers alone, format, sizes, SPDX, shellcheck", (), suites.run_style),
    "unit": Suite("cmocka under ASan and UBSan", ("asan",), suites.run_unit),
    "component": Suite("the real processes, no lab", ("asan",), suites.run_component),
    "fuzz": Suite("replay of the fuzz corpora", ("asan",), suites.run_fuzz),
    "tsan": Suite("viaduct-pmd under the thread sanitizer", ("tsan",), suites.run_tsan),
    "release": Suite("cases of component whose figures a sanitizer would spoil", ("release",), suites.run_release),
    "lab": Suite("end to end in the virtual host", ("release",), labsuite.run_lab),
    "bench-smoke": Suite("every scenario of the benchmark for seconds, in the virtual host", ("release",), benchsuite.run_bench_smoke,
                         False),
    "long": Suite("what takes too long for every day", ("release", "fuzz", "asan"), longsuite.run_long,
                  False),
}
LONG_S = 60  # a suite that takes longer says where its time goes
GROUPS = {"quick": ["style", "unit", "component", "fuzz", "tsan"]}


def seconds(text):
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds (--fuzz-seconds or VIADUCT_FUZZ_SECONDS)")
    return int(text)


def parse_args():
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__)
    parser.add_argument("--suite", action="append", metavar="NAME",
                        choices=[*SUITES, *GROUPS], help="only this suite; may be repeated")
    parser.add_argument("-k", dest="pattern", default="", metavar="PATTERN",
                        help="only cases whose name contains PATTERN (case does not matter)")
    parser.add_argument("--list", action="store_true",
                        help="list the suites; with --suite or -k, the cases")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the lab's output live")
    parser.add_argument("--once", action="store_true", help="no second go for cases that failed")
    parser.add_argument("--fuzz-seconds", type=seconds, metavar="N",
                        default=os.environ.get("VIADUCT_FUZZ_SECONDS") or "900",
                        help="how long the long suite runs each fuzz target (%(default)s;"
                        " VIADUCT_FUZZ_SECONDS sets it, too)")
    parser.add_argument("--build-only", choices=list(builds.KINDS), metavar="KIND",
                        help="build that kind and stop: " + ", ".join(builds.KINDS))
    return parser.parse_args()


def chosen(names):
    if not names:
        return [name for name, suite in SUITES.items() if suite.default]
    wanted = {n for name in names for n in GROUPS.get(name, [name])}
    return [name for name in SUITES if name in wanted]


def run_suite(name, ctx, coming):
    tally, suite = ctx.tally, SUITES[name]
    missing = coming.failed(suite.builds)
    if missing:
        tally.add(Result(name, "(all)", "failed", 0, f"not run: build {missing[0]} failed"))
        return
    begin, before = time.monotonic(), len(tally.results)
    try:
        suite.run(ctx)
    except (OSError, builds.BuildError) as e:
        tally.add(Result(name, "(runner)", "failed", 0, str(e)))
    if ctx.list_only:
        return
    # An empty suite must not look like a good one; a pattern may well leave it empty.
    if len(tally.results) == before and not ctx.pattern:
        tally.add(Result(name, "(all)", "failed", 0, "the suite has no case"))
    took = time.monotonic() - begin
    tally.say(f"{name}: {tally.summary(name)}  ({took:.0f} s)")
    for what, rows in zip(("files", "cases"), tally.longest(name) if took >= LONG_S else ()):
        tally.say(f"{name}: longest {what}, in seconds: {', '.join(rows)}")


def main():
    args = parse_args()
    tally = Tally()
    if args.build_only:
        try:
            builds.ensure(args.build_only)
        except builds.BuildError as e:
            sys.exit(f"{e}\nbuild {args.build_only} failed")
        return 0
    if args.list and not args.suite and not args.pattern:
        for name, suite in SUITES.items():
            print(f"{name:10} {suite.about}{'' if suite.default else ' (only with --suite)'}")
        for name, members in GROUPS.items():
            print(f"{name:10} {', '.join(members)}")
        return 0
    names = chosen(args.suite)
    ctx = suites.Context(tally, args.pattern, args.list, args.verbose, args.fuzz_seconds, args.once)
    with builds.Coming(dict.fromkeys(kind for name in names for kind in SUITES[name].builds), tally) as coming:
        for name in names:
            run_suite(name, ctx, coming)
    if args.list:
        return 1 if tally.count("failed") else 0
    if not tally.results:
        tally.say("nothing ran" + (f": no case matches {args.pattern!r}" if args.pattern else ""))
    tally.say_unsteady()
    tally.say(tally.summary())
    return tally.exit_status()


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)

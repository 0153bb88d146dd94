#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How much of each file the unit and component suites run, and with the fuzz corpora."""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from runner import builds, coverage, suites  # noqa: E402
from runner.results import Tally  # noqa: E402

FOLDERS = ("base", "iommu", "sriov", "vmm", "vf-manager", "cli")


def parse_args():
    parser = argparse.ArgumentParser(prog="scripts/coverage", description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", choices=[[], *FOLDERS],
                        help="only these: " + ", ".join(FOLDERS))
    parser.add_argument("--check", action="store_true", help="exit status 1 if one of "
                        f"{', '.join(coverage.CHECKED)} is below {coverage.LEAST:.0f} percent")
    parser.add_argument("--again", action="store_true",
                        help="from the profiles of the last run, without running anything")
    parser.add_argument("--show", metavar="FILE", action="append", default=[],
                        help="also print that file's lines that no unit or component test runs")
    return parser.parse_args()


def main():
    args = parse_args()
    tally = Tally()
    if not args.again:
        coverage.run(suites.Context(tally))
    lines = coverage.measure(coverage.ASSERTING)
    asserting, everything = coverage.sums(lines), coverage.sums(coverage.measure(coverage.ALL))
    for line in coverage.table(asserting, everything, args.folders or FOLDERS):
        print(line)
    for file in args.show:
        print(file, *coverage.missed(file, lines.get(file, {})), sep="\n")
    low = coverage.too_low(asserting) if args.check else []
    for line in low:
        print(line)
    if tally.count("failed"):
        print(f"{tally.count('failed')} cases failed on the coverage build: the figures are without them")
    return 1 if low or tally.count("failed") else 0


try:
    sys.exit(main())
except (coverage.CoverageError, builds.BuildError, OSError) as e:
    sys.exit(f"scripts/coverage: {e}")
except KeyboardInterrupt:
    sys.exit(130)

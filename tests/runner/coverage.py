# SPDX-License-Identifier: BSD-3-Clause
"""Which lines the suites reach: clang's source-based coverage, per file and folder.

Two figures a file: by the unit and component suites, which assert what a line does, and with the
replay of the fuzz corpora, which only shows that it does no harm.
"""

import dataclasses
import os
import shutil
import subprocess

from . import builds, suites

KIND = "coverage"
LEAST = 85.0  # percent of lines, of the folders below, by unit and component tests
CHECKED = ("iommu", "vmm")
ASSERTING, ALL = ("unit", "component"), ("unit", "component", "fuzz")
RUNNERS = {"unit": suites.run_unit, "component": suites.run_component, "fuzz": suites.run_fuzz}


class CoverageError(Exception):
    """Carries what the tool said."""


@dataclasses.dataclass
class Lines:
    """Lines with code, and how many of them ran."""

    count: int = 0
    covered: int = 0

    def add(self, other):
        self.count += other.count
        self.covered += other.covered

    @property
    def percent(self):
        return 100.0 * self.covered / self.count if self.count else 100.0


def profiles(suite):
    return builds.path(KIND) / "profiles" / suite


def run(ctx):
    """Runs the suites; each process writes a profile of its own as it goes."""
    builds.ensure(KIND)
    ctx.kind = KIND
    for suite, runner in RUNNERS.items():
        folder = profiles(suite)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o1777)  # a VMM runs under a uid of its own
        ctx.env = {"LLVM_PROFILE_FILE": f"{folder}/%p%c.profraw"}
        runner(ctx)
        ctx.tally.say(f"{suite}: {ctx.tally.summary(suite)}")


def _tool(*argv):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", check=False)
    if done.returncode:
        raise CoverageError(f"{argv[0]}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _objects():
    """Every program of the build, as llvm-cov wants them."""
    names = [t["filename"][0] for t in builds.introspect(KIND, "targets")
             if t["type"] == "executable"]
    return [names[0], *(f"-object={name}" for name in names[1:])]


def merged(names):
    """The profile of these suites together."""
    out = builds.path(KIND) / f"{'-'.join(names)}.profdata"
    files = [f for name in names for f in sorted(profiles(name).glob("*.profraw"))]
    if not files:
        raise CoverageError("no profile yet: scripts/coverage without --again")
    listing = out.with_suffix(".list")
    listing.write_text("".join(f"{file}\n" for file in files), encoding="utf-8")
    # A process that was killed while it started may leave a file without a head.
    _tool("llvm-profdata", "merge", "-sparse", "-failure-mode=all", f"-input-files={listing}",
          "-o", out)
    return out


def measure(names):
    """Path below the top folder -> {line: how often it ran}."""
    return read_lcov(_tool("llvm-cov", "export", "-format=lcov",
                           f"-instr-profile={merged(names)}", *_objects()))


def read_lcov(text):
    found, lines = {}, {}
    for row in text.splitlines():
        key, _, value = row.partition(":")
        if key == "SF":
            # The compiler was told paths from the build folder on.
            name = os.path.normpath(value)
            lines = found.setdefault(name.removeprefix(f"{builds.TOP}/"), {})
        elif key == "DA":
            number, count = value.split(",")[:2]
            lines[int(number)] = max(int(count), lines.get(int(number), 0))
    return {name: lines for name, lines in found.items() if lines and not name.startswith("/")}


def sums(files):
    """Path -> Lines."""
    return {name: Lines(len(lines), sum(count > 0 for count in lines.values()))
            for name, lines in files.items()}


def by_folder(files):
    folders = {}
    for name, lines in files.items():
        folders.setdefault(name.split("/")[0], Lines()).add(lines)
    return folders


def table(asserting, everything, folders):
    """The report's lines; a folder's files before its sum."""
    yield f"{'FILE':32}{'LINES':>7}{'UNIT+COMPONENT':>16}{'WITH FUZZ':>11}"
    sums, all_sums = by_folder(asserting), by_folder(everything)
    for folder in folders:
        for name in sorted(n for n in everything if n.startswith(f"{folder}/")):
            yield _row(name, asserting.get(name, Lines()), everything[name])
        yield _row(f"{folder}/", sums.get(folder, Lines()), all_sums.get(folder, Lines()))
        yield ""


def _row(name, lines, everything):
    return f"{name:32}{lines.count:7}{lines.percent:15.1f}%{everything.percent:10.1f}%"


def too_low(asserting):
    """What --check has to say: a line for each folder that is below the least."""
    sums = by_folder(asserting)
    return [
        f"{folder}/: {sums.get(folder, Lines(1)).percent:.1f}% of its lines are run by unit and"
        f" component tests, {LEAST:.0f}% is the least: scripts/coverage --again --show FILE"
        for folder in CHECKED if sums.get(folder, Lines(1)).percent < LEAST
    ]


def missed(file, lines):
    """The text of the lines that did not run, with their numbers."""
    text = (builds.TOP / file).read_text(encoding="utf-8").splitlines()
    return [f"{number:5} {text[number - 1]}" for number, count in sorted(lines.items()) if not count]

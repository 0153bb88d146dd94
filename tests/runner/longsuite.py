# SPDX-License-Identifier: BSD-3-Clause
"""The long suite: each fuzz target for a quarter of an hour, as many at once as there are CPUs, then the
cases of tests/long.

A target starts from its committed corpus and from what earlier runs found (build/long-tests/fuzz). What
it finds is a failed case that says where the input lies and how to replay it.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import time

from . import builds, labsuite
from .results import Result
from .suites import TESTS, end_group, fuzz_targets, how_it_ended, quiet_env

UNIT_SECONDS = 60  # one input: generous, for machines that do other work at the same time
GRACE_SECONDS = 300  # what a target may take beyond its time: loading the corpus, checking for leaks
POLL_SECONDS = 0.2


@dataclasses.dataclass
class Run:
    """One target at work."""

    name: str
    argv: list
    folder: pathlib.Path
    proc: subprocess.Popen
    begin: float

    @property
    def found(self):
        return self.folder / "found"


def start(name, executable, seconds):
    folder = builds.root() / "long-tests/fuzz" / name
    for sub in ("new", "found"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for old in (folder / "found").iterdir():
        old.unlink()
    argv = [
        str(executable), f"-max_total_time={seconds}", f"-timeout={UNIT_SECONDS}",
        "-print_final_stats=1", f"-artifact_prefix={folder}/found/",
        str(folder / "new"), str(TESTS / "fuzz/corpus" / name),
    ]
    with open(folder / "log", "w", encoding="utf-8") as log:
        proc = subprocess.Popen(
            argv, env=quiet_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
    return Run(name, argv, folder, proc, time.monotonic())


def outcome(run, status):
    """A target passes when it came to its end, having executed something, and found nothing."""
    log = (run.folder / "log").read_text(encoding="utf-8", errors="replace")
    count = re.search(r"^stat::number_of_executed_units:\s*(\d+)", log, re.M)
    # What libFuzzer calls a slow unit is no finding.
    found = sorted(f for f in run.found.iterdir() if not f.name.startswith("slow-unit-"))
    seconds = time.monotonic() - run.begin
    if status == 0 and not found and count and int(count[1]) > 0:
        said = f"{int(count[1])} executions in {seconds:.0f} s"
        return Result("long", f"fuzz/{run.name}", "passed", seconds), said
    lines = [how_it_ended(status)]
    for file in found:
        lines += [
            f"input:  {file}",
            f"replay: {run.argv[0]} {file}",
            f"mended: cp {file} {TESTS}/fuzz/corpus/{run.name}/NAME   (in the commit that mends it)",
        ]
    lines += ["", f"The end of {run.folder}/log:", *log.splitlines()[-100:]]
    return Result("long", f"fuzz/{run.name}", "failed", seconds, "\n".join(lines)), None


def finished(run, seconds):
    """The run's exit status, None for a time-out; False while it is at work."""
    status = run.proc.poll()
    if status is not None:
        return status
    if time.monotonic() - run.begin <= seconds + GRACE_SECONDS:
        return False
    end_group(run.proc)
    return None


def run_fuzzers(ctx, targets, width):
    """targets: (name, executable); never more than width of them at once."""
    left, running = list(targets), []
    try:
        while left or running:
            while left and len(running) < width:
                running.append(start(*left.pop(0), ctx.fuzz_seconds))
            time.sleep(POLL_SECONDS)
            for run in list(running):
                status = finished(run, ctx.fuzz_seconds)
                if status is False:
                    continue
                running.remove(run)
                result, said = outcome(run, status)
                ctx.tally.add(result)
                if said:
                    ctx.tally.say(f"long: {result.name}: {said}")
    except BaseException:
        for run in running:
            end_group(run.proc)
        raise


def run_long(ctx):
    targets = [t for t in sorted(fuzz_targets().items()) if ctx.wants(f"fuzz/{t[0]}")]
    if ctx.list_only:
        for name, _ in targets:
            ctx.tally.say(f"long: fuzz/{name}")
    else:
        run_fuzzers(ctx, targets, os.cpu_count() or 1)
    labsuite.run_folder("long", TESTS / "long", ctx)

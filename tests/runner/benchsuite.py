# SPDX-License-Identifier: BSD-3-Clause
"""Every scenario of `viaduct bench`, for seconds each, in one boot of the virtual host: does it measure at all, does the host have
everything back. Floors lie far below what the slowest machine reached: they catch what is broken, never what is slow."""

import json
import os
import pathlib
import subprocess
import tempfile

from . import builds
from .results import Result
from .suites import TESTS, how_it_ended, quiet_env, run_program

SUITE = "bench-smoke"
TOP = TESTS.parent
CPUS = 4
HOST_SECONDS = 1800  # some four minutes where nothing else works
INTERRUPT_AFTER = 60  # in the middle of a scenario
TRIES = 2
NOT_AS_IT_WAS = 3  # bench/lab/inside.py
# Scenario: what must be there, and more than it (of medians): (list, member, at least).
FLOORS = {
    "host-vf": (("throughput", "pps", 50),),
    "guest-vf": (("throughput", "pps", 50),),
    "guest-polled": (("throughput", "pps", 50),),
    "guest-chain": (("throughput", "pps", 50),),
    "interrupt": (("throughput", "pps", 10), ("counts", "value", 0)),
    "tcp": (("tcp", "gbps", 0.0005),),
    "start": (),
    "scale": (("scale", "total_pps", 50),),
}


def lab(folder, *words):
    """(exit status, output, result or None); again if the host died."""
    file = folder / "result.json"
    for _ in range(TRIES):
        file.unlink(missing_ok=True)
        status, output = run_program(
            [TOP / "lab/run", "--cpus", str(CPUS), "--timeout", str(HOST_SECONDS), "--scratch", folder, "--",
             TOP / "bench/lab/inside.py", *words, "--profile", "smoke", "--json", file], HOST_SECONDS + 120, quiet_env(), TOP)
        if status not in (124, 125, None):
            break
    with open(log(), "a", encoding="utf-8") as whole:
        whole.write(output)
    return status, output, json.loads(file.read_text()) if file.exists() else None


def log():
    """Of the last run, whole."""
    return builds.root() / f"{SUITE}.log"


def end_of(output):
    return f"{output[-4000:]}\n(all of it: {log()})"


def variants_below(scenario, rows, member, floor):
    """Of every variant its best row: one short search for a rate without loss finds none where the emulator is kept waiting."""
    found = scenario.get(rows, [])
    for variant in scenario["variants"]:
        values = [row[member]["median"] for row in found if row["variant"] == variant["name"]]
        if not values or not any(value is not None and value >= floor for value in values):
            yield f"{rows}.{member} of {scenario['name']} {variant['name']}: {values}, at least {floor} expected"


def below(result, name):
    """What of a scenario is missing or below its floor."""
    scenario = next((s for s in result["scenarios"] if s["name"] == name), None)
    if scenario is None or not scenario["variants"]:
        return f"{name} was not measured"
    why = [text for floor in FLOORS[name] for text in variants_below(scenario, *floor)]
    if name == "start" and not all(len(row["steps"]) > 4 for row in scenario.get("start", [{"steps": []}])):
        why.append(f"steps of a start are missing: {scenario.get('start')}")
    return "; ".join(why + [note for note in scenario["notes"] if note.startswith("not measured to the end")])


def medians(result):
    """How many figures of rates there are."""
    return sum(row["pps"]["median"] is not None for scenario in result["scenarios"] for row in scenario.get("throughput", []))


def not_back(status, output):
    """What the host has not got back, as the benchmark says or as its host saw."""
    return status == NOT_AS_IT_WAS or "not given back" in output or "is not as it was" in output


def guest(folder):
    kernel = subprocess.run([TOP / "lab/setup-cache", "--print", "bzimage"], check=True, text=True, capture_output=True).stdout.strip()
    initrd = folder / "bench-guest.cpio"
    subprocess.run([TOP / "bench/guest-image", "-o", initrd], check=True, capture_output=True,
                   env={**os.environ, "VIADUCT_BUILD": str(builds.path("release"))})
    return ["--guest-kernel", kernel, "--guest-image", str(initrd)]


def go(folder, names, image):
    """({name: why it has failed, "" for what has not}, whether the host has everything back, the output)."""
    status, output, result = lab(folder, *names, "--against", "qemu", "--vms", "2", *image)
    why = {name: below(result, name) if result else f"no result: {how_it_ended(status)}" for name in names}
    return why, status in (0, 1) and not not_back(status, output), output


def run_all(ctx, folder, image):
    """What failed has a second go, as cases of other suites have: the emulator's guests stand still now and then."""
    names = [name for name in FLOORS if ctx.wants(name)]
    if not names:
        return
    why, back, output = go(folder, names, image)
    failed = {name: f"{text}\n{end_of(output)}" for name, text in why.items() if text}
    again = {}
    if failed and not ctx.once:
        ctx.tally.say(f"{SUITE}: once more: {', '.join(failed)}")
        again, back_again, more = go(folder, list(failed), image)
        if back:
            back, output = back_again, more
    for name in names:
        text, passed = failed.get(name, ""), name not in failed or again.get(name) == ""
        ctx.tally.add(Result(SUITE, name, "passed" if passed else "failed", 0, "" if passed else text, text if passed else ""))
    ctx.tally.add(Result(SUITE, "the host has everything back", "passed" if back else "failed", 0, "" if back else end_of(output)))


def run_interrupted(ctx, folder, image):
    name = "an interrupted run keeps what it has and gives everything back"
    if not ctx.wants(name):
        return
    status, output, result = lab(folder, "guest-vf", "--rounds", "50", "--interrupt-after", str(INTERRUPT_AFTER), *image)
    good = status == 130 and not not_back(status, output) and result is not None and result["ended"] == "interrupted" and medians(result)
    ctx.tally.add(Result(SUITE, name, "passed" if good else "failed", 0, "" if good else f"{how_it_ended(status)}\n{end_of(output)}"))


def run_bench_smoke(ctx):
    if ctx.list_only:
        for name in FLOORS:
            ctx.tally.say(f"{SUITE}: {name}")
        return
    log().write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="bench-smoke-") as name:
        folder = pathlib.Path(name)
        try:
            image = guest(folder)
        except (OSError, subprocess.CalledProcessError) as e:
            ctx.tally.add(Result(SUITE, "the guest's image", "failed", 0, f"{e} {getattr(e, 'stderr', '')}"))
            return
        run_all(ctx, folder, image)
        run_interrupted(ctx, folder, image)

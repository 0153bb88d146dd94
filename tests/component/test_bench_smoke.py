# SPDX-License-Identifier: BSD-3-Clause
"""The suite bench-smoke, whose virtual host is made up here: what has an outcome, and what fails."""

import io
import json
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "bench"), str(TOP / "tests")]

from run import intervals, scenarios  # noqa: E402
from runner import benchsuite, suites  # noqa: E402
from runner.results import Tally  # noqa: E402


def smoke(monkeypatch, status, output, result, interrupted=130):
    """The outcomes of the suite bench-smoke, whose virtual host ends so. interrupted: its exit status after Ctrl-C."""
    def run_program(argv, seconds, env, cwd):
        assert argv[0] == TOP / "lab/run" and str(argv[-2]) == "--json"
        if result is not None:
            pathlib.Path(argv[-1]).write_text(json.dumps(result(argv)))
        return (interrupted if "--interrupt-after" in argv else status), output

    monkeypatch.setattr(benchsuite, "run_program", run_program)
    monkeypatch.setattr(benchsuite, "guest", lambda folder: [])
    return {row.name: row.outcome for row in suite_results()}


def suite_results():
    tally = Tally(io.StringIO())
    benchsuite.run_bench_smoke(suites.Context(tally))
    return tally.results


def smoke_result(argv, pps=1000.0, second=1000.0):
    """What a run of all scenarios might write. second: the rate of the second variant of each."""
    found = []
    for row in scenarios.SCENARIOS:
        names = [name for name, _ in row.variants]
        made = {"name": row.name, "variants": [{"name": name} for name in names], "notes": []}
        for key, member, value in (("counts", "value", 0.1), ("tcp", "gbps", 0.01), ("scale", "total_pps", pps)):
            made[key] = [{"variant": name, member: intervals.figure([value])} for name in names]
        made["start"] = [{"variant": name, "steps": [{}] * 9} for name in names]
        # One short search may find no rate without loss: what comes out at full rate will do.
        made["throughput"] = [{"variant": name, "criterion": criterion, "pps": intervals.figure([rate])}
                              for name, offered in zip(names, (pps, second))
                              for criterion, rate in ([("zero-loss", 0.0)] if row.name != "interrupt" else []) + [("offered", offered)]]
        found.append(made)
    return {"ended": "interrupted" if "--interrupt-after" in argv else "done", "scenarios": found}


INTERRUPTED_RUN = "an interrupted run keeps what it has and gives everything back"


def test_the_smoke_suite_has_an_outcome_of_every_scenario(monkeypatch):
    good = smoke(monkeypatch, 0, "", smoke_result)
    assert set(good.values()) == {"passed"} and set(scenarios.BY_NAME) < set(good) and len(good) == len(scenarios.BY_NAME) + 2


def test_the_smoke_suite_fails_where_nothing_moves_or_something_is_left(monkeypatch):
    slow = smoke(monkeypatch, 0, "", lambda argv: smoke_result(argv, 1.0))
    assert slow["guest-vf"] == slow["scale"] == "failed" and slow["tcp"] == "passed"
    left = smoke(monkeypatch, 3, "", smoke_result)
    assert left["the host has everything back"] == "failed" and left["guest-vf"] == "passed"
    dead = smoke(monkeypatch, 125, "", None)
    assert set(dead.values()) == {"failed"}


def test_the_smoke_suite_looks_at_every_variant_and_at_what_an_interrupt_leaves(monkeypatch):
    lossy = smoke(monkeypatch, 0, "", lambda argv: smoke_result(argv, second=0.0))
    assert lossy["guest-polled"] == "failed" and lossy["guest-vf"] == "passed"
    # The host's own word counts where the run has a bad end anyway, and so does a result without a figure.
    for left in (smoke(monkeypatch, 1, "bench lab: the host is not as it was: a became b", smoke_result, 3),
                 smoke(monkeypatch, 0, "", lambda argv: {"ended": "interrupted", "scenarios": []})):
        assert left[INTERRUPTED_RUN] == "failed"
    assert smoke(monkeypatch, 1, "is not as it was", smoke_result)["the host has everything back"] == "failed"


def test_what_stood_still_once_has_a_second_go_alone_and_is_unsteady(monkeypatch):
    asked = []

    def result(argv):
        asked.append([word for word in argv if word in scenarios.BY_NAME])
        made = smoke_result(argv)
        for row in made["scenarios"] if len(asked) == 1 else []:
            if row["name"] == "guest-polled":
                row["notes"].append("not measured to the end: the guest does not answer")
        return made

    smoke(monkeypatch, 0, "", result)
    asked.clear()
    rows = {row.name: row for row in suite_results()}
    assert asked[0] == list(benchsuite.FLOORS) and asked[1] == ["guest-polled"]
    assert {name for name, row in rows.items() if row.first} == {"guest-polled"} and rows["guest-polled"].outcome == "passed"
    assert "does not answer" in rows["guest-polled"].first

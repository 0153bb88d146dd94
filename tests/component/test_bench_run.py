# SPDX-License-Identifier: BSD-3-Clause
"""The methods of `viaduct bench` against a model of a device, its figures, its words, and what it gives back."""

import dataclasses
import functools
import importlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from run import BenchError, TrialError, facts, host, intervals, measure, merge, methods, rigs, scenarios, session, signals, store  # noqa: E402
from run.lines import Child, decoded  # noqa: E402


class Model:
    """A device that passes `limit` frames a second and drops what is above, and `luck` of the frames below it."""

    def __init__(self, limit, top=1e6, luck=0.0, noise=0.0):
        self.limit, self.top, self.luck, self.noise = limit, top, luck, noise
        self.trials = []

    def __call__(self, size, rate, ms):
        rate = min(rate or self.top, self.top)
        limit = self.limit * (1 + random.uniform(-self.noise, self.noise))
        sent = int(rate * ms / 1000)
        passed = int(min(rate, limit) * ms / 1000)
        back = passed - int(passed * self.luck)
        self.trials.append(rate)
        return {"sent": sent, "lost": sent - back, "bad": 0, "tx_pps": rate, "rx_pps": back * 1000 / ms, "received": back}


PLAN = methods.Plan(trial_ms=1000, sizes=("64",), criteria=("zero-loss",), steps=12, resolution=0.01, loads=(50,),
                    burst_frames=1000, rounds=1)


@pytest.mark.parametrize("limit", [100, 37000, 600000, 999000])
def test_throughput_is_the_rate_at_which_loss_begins(limit):
    model = Model(limit)
    search = methods.Search(model, "64", PLAN)
    found = search.throughput(0)
    assert 0.97 * limit <= found <= limit
    assert len(model.trials) <= 1 + PLAN.steps
    # The second criterion begins with what the first has seen, and can only be more.
    assert found <= search.throughput(1e-5) <= 1.01 * limit
    assert len(model.trials) <= 1 + 2 * PLAN.steps


def test_a_device_that_is_faster_than_the_generator_takes_one_trial():
    model = Model(5e6)
    assert methods.Search(model, "64", PLAN).throughput(0) == 1e6
    assert model.trials == [1e6]


def test_a_device_that_always_loses_a_little_has_its_rate_by_the_second_criterion():
    model = Model(50000, luck=8e-6)
    search = methods.Search(model, "64", methods.dataclasses.replace(PLAN, trial_ms=60000))
    assert search.throughput(0) < 2500  # so few frames that none of them is lost
    assert search.throughput(1e-5) == pytest.approx(50000, rel=0.03)


class Short(Model):
    """A generator that sends a share of what it is asked, to a device that passes nothing at all under a flood."""

    def __init__(self, limit, share, most=1e6):
        super().__init__(limit)
        self.share, self.most = share, most

    def __call__(self, size, rate, ms):
        sent = min(rate * self.share, self.most) if rate else self.top
        answer = super().__call__(size, sent, ms)
        return {**answer, "lost": answer["sent"], "rx_pps": 0.0} if sent > self.limit else answer


@pytest.mark.parametrize("share", [0.97, 0.9, 0.75])
def test_a_generator_that_sends_less_than_it_is_asked_ends_no_search(share):
    model = Short(37000, share)
    search = methods.Search(model, "64", PLAN)
    assert 0.97 * 37000 <= search.throughput(0) <= 37000 and not search.limited
    assert len(model.trials) <= 1 + PLAN.steps


def test_a_rate_that_only_the_generator_limits_says_so():
    model = Short(600000, 1.0, most=200000)
    search = methods.Search(model, "64", PLAN)
    assert search.throughput(0) == 200000 and search.limited
    assert len(model.trials) <= 6
    fast = methods.Search(Model(5e6), "64", PLAN)
    assert fast.throughput(0) == 1e6 and fast.limited
    slow = methods.Search(Model(37000), "64", PLAN)
    assert slow.throughput(0) and not slow.limited


def test_a_lucky_trial_above_one_that_failed_does_not_count():
    search = methods.Search(Model(1), "64", PLAN)
    search.seen = [(1000.0, 0.0, 1000.0), (2000.0, 0.1, 1800.0), (3000.0, 0.0, 3000.0)]
    assert search.bounds(0) == (1000.0, 2000.0, 1000.0)


def test_a_search_ends_however_much_the_device_changes_its_mind():
    random.seed(7)
    for _ in range(200):
        model = Model(random.uniform(100, 2e6), noise=0.5)
        methods.Search(model, "64", PLAN).throughput(0)
        assert len(model.trials) <= 1 + PLAN.steps


@pytest.mark.parametrize("buffer", [0, 1, 7, 500, 999, 1000, 5000])
def test_back_to_back_is_the_longest_burst_without_loss(buffer):
    def burst(size, frames):
        return {"sent": frames, "lost": max(0, frames - buffer), "bad": 0}

    exact = methods.dataclasses.replace(PLAN, resolution=0.0, steps=20)
    assert methods.back_to_back(burst, "64", exact) == min(buffer, 1000)


@pytest.mark.parametrize("profile", scenarios.PROFILES)
@pytest.mark.parametrize("buffer", [3, 40, 700, 1 << 21])
def test_a_short_queue_has_its_burst_in_the_steps_of_every_profile(profile, buffer):
    plan, seen = scenarios.PROFILES[profile], []

    def burst(size, frames):
        seen.append(frames)
        return {"sent": frames, "lost": max(0, frames - buffer), "bad": 0}

    most = min(buffer, plan.burst_frames)
    assert 0.6 * most <= methods.back_to_back(burst, "64", plan) <= most
    assert max(seen) <= max(2 * buffer, 16) and len(seen) <= plan.steps + 18


def test_changed_frames_are_lost_ones_and_silence_is_all():
    assert methods.loss({"sent": 10, "lost": 1, "bad": 1}) == 0.2
    assert methods.loss({"sent": 0, "lost": 0, "bad": 0}) == 1


def test_figures_have_intervals_from_six_rounds_on_and_keep_outliers():
    few = intervals.figure([1.0, 2.0, 3.0])
    assert few == {"median": 2.0, "low": None, "high": None, "rounds": [1.0, 2.0, 3.0], "outliers": []}
    many = intervals.figure([10.0, 11.0, 9.0, 10.5, 9.5, 100.0])
    assert (many["low"], many["median"], many["high"]) == (9.0, 10.25, 100.0)
    assert many["outliers"] == [5] and len(many["rounds"]) == 6
    assert intervals.figure([None, None])["median"] is None
    assert intervals.figure([None, 4.0])["rounds"] == [4.0]


def test_intervals_cover_the_median_as_often_as_they_say():
    random.seed(3)
    hits = 0
    for _ in range(2000):
        low, high = intervals.median_interval([random.expovariate(1) for _ in range(9)])
        hits += low <= 0.6931 <= high
    assert hits >= 0.94 * 2000


def test_bounds_hold_only_if_the_whole_interval_does():
    ratio = intervals.figure([0.95, 0.99, 1.0, 1.01, 1.02, 1.03])
    assert intervals.holds(ratio, 0.97, True, 6) is False and intervals.holds(ratio, 0.94, True, 6) is True
    assert intervals.holds(ratio, 1.05, False, 6) is True and intervals.holds(ratio, 1.02, False, 6) is False
    assert intervals.holds(ratio, None, True, 6) is None
    assert intervals.holds(intervals.figure([]), 1.0, True, 0) is None


def test_no_bound_holds_without_an_interval_or_with_a_round_missing():
    few = intervals.figure([1.0, 1.01, 1.02])
    assert intervals.holds(few, 0.97, True, 3) is None and intervals.holds(few, 1.01, False, 3) is None
    assert intervals.holds(few, 1.03, False, 3, exact=True) is True and intervals.holds(few, 1.01, False, 3, exact=True) is False
    assert intervals.holds(intervals.figure([1.0] * 6), 0.97, True, 7) is None


def test_rounds_in_which_nothing_passed_are_rounds():
    """Five of six rounds without a rate that passes: the median is none of the sixth's."""
    made = store.Store()
    for number in range(6):
        found = methods.Search(Model(1000 if number == 5 else 0, top=1000), "64", PLAN).throughput(0)
        made.put(number, found, "guest-polled", "viaduct", "throughput", "64", "zero-loss")
        made.put(number, 1000.0, "guest-polled", "qemu", "throughput", "64", "zero-loss")
    out = store.scenario_object(made, scenarios.BY_NAME["guest-polled"], set())
    assert out["throughput"][0]["pps"]["median"] == 0 and len(out["throughput"][0]["pps"]["rounds"]) == 6
    assert out["ratios"][0]["holds"] is False
    # Held against nothing, no ratio holds either.
    for number in range(5):
        made.put(number, 0.0, "guest-polled", "qemu", "throughput", "64", "zero-loss")
    [row] = store.scenario_object(made, scenarios.BY_NAME["guest-polled"], set())["ratios"]
    assert row["ratio"]["rounds"] == [1.0] and row["holds"] is None


def latency(p99):
    return {"count": 100, "p50_ns": p99 / 2, "p90_ns": p99, "p99_ns": p99, "p999_ns": None, "max_ns": p99 * 2, "jitter_ns": 1,
            "error_ns": 40, "histogram": [[p99, 99], [p99 * 2, 1]]}


def filled():
    """Rounds of guest-vf beside host-vf, the third of the bare host's missing."""
    made = store.Store()
    for number in range(7):
        for scenario, variant, factor in (("guest-vf", "viaduct", 0.98), ("host-vf", "bare", 1.0)):
            if number == 2 and variant == "bare":
                continue
            made.put(number, (100 + number) * factor, scenario, variant, "throughput", "64", "zero-loss")
            made.put_latency(number, latency(1000 / factor), scenario, variant, "64", 50)
            made.put(number, 50 / factor, scenario, variant, "count", "64", "instructions", "packet", "all", "deterministic-time")
        made.put(number, 0.0005, "guest-vf", "viaduct", "count", "64", "exits", "packet", "all", "wall-clock")
    return made


def test_ratios_are_paired_round_by_round_and_held_against_their_bounds():
    out = store.scenario_object(filled(), scenarios.BY_NAME["guest-vf"], {("guest-vf", "viaduct")})
    found = {row["of"]: row for row in out["ratios"]}
    assert found["throughput"]["ratio"]["median"] == pytest.approx(0.98)
    assert len(found["throughput"]["ratio"]["rounds"]) == 6
    assert found["throughput"]["a"] == "guest-vf/viaduct" and found["throughput"]["b"] == "host-vf/bare"
    assert found["p99"]["ratio"]["median"] == pytest.approx(1 / 0.98)
    assert found["instructions"]["bound"] == 1.03 and found["instructions"]["holds"] is None
    made = filled()
    made.put(2, 50, "host-vf", "bare", "count", "64", "instructions", "packet", "all", "deterministic-time")
    whole = store.scenario_object(made, scenarios.BY_NAME["guest-vf"], {("guest-vf", "viaduct")})["ratios"]
    assert [row["holds"] for row in whole if row["of"] == "instructions"] == [True]
    assert out["latency"][0]["histogram"] == [[1000 / 0.98, 693], [2000 / 0.98, 7]]
    assert out["counts"][0]["value"]["median"] == pytest.approx(50 / 0.98)


def test_what_is_written_is_a_result():
    report = importlib.import_module("report")
    scenario = [store.scenario_object(filled(), scenarios.BY_NAME[name], {("guest-vf", "viaduct"), ("host-vf", "bare")})
                for name in ("host-vf", "guest-vf")]
    found = facts.gather()
    result = {"format": store.FORMAT, "version": store.VERSION, "at": "2026-01-02T03:04:05Z", "profile": "lab", "viaduct": "0.1.0",
              "emulated": True, "seconds": 1.5, "ended": "interrupted", "host": found, "warnings": facts.warnings(found),
              "scenarios": scenario}
    checked = report.check(json.loads(json.dumps(result)))
    assert "guest-vf" in report.text(checked)


FACTS = {"emulated_because": "it is not", "governor": "performance", "isolated_cpus": "1-3", "smt": False, "cpus": 8,
         "hugepages": {"total": 64, "free": 64}, "remapping": {"dma": True, "interrupts": True, "posted": True}, "load": 0.1}


def test_a_host_in_order_is_not_warned_of():
    assert facts.warnings(FACTS) == []


@pytest.mark.parametrize("code, change", [
    ("emulated", {"emulated_because": "the firmware says QEMU"}), ("governor", {"governor": "powersave"}),
    ("no-isolation", {"isolated_cpus": "none"}), ("smt", {"smt": True}), ("few-cpus", {"cpus": 2}),
    ("hugepages", {"hugepages": {"total": 0, "free": 0}}), ("remapping-off", {"remapping": {"dma": False}}),
    ("interrupts-not-posted", {"remapping": {"posted": False}}), ("busy-neighbours", {"load": 3.0})])
def test_what_spoils_figures_is_warned_of_with_a_remedy(code, change):
    [found] = facts.warnings({**FACTS, **change})
    assert found["code"] == code and "; " in found["text"]


def test_what_was_borrowed_goes_back_in_the_other_order_whatever_fails():
    done = []

    def fails():
        done.append("b")
        raise BenchError("no way")

    with host.Borrowed() as borrowed:
        for name in "ac":
            borrowed.callback(name, done.append, name)
        borrowed.callback("b", fails)
    assert done == ["b", "c", "a"] and borrowed.left == ["b: no way"]


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"op":"port"}', "ok", '{"ok"', "x" * 5000])
def test_what_is_no_answer_is_passed_over(line):
    assert decoded(line) is None


def test_lists_of_processors():
    assert host.cpu_list("1-3,7") == [1, 2, 3, 7]
    assert host.cpu_list("") == host.cpu_list("none") == host.cpu_list("-1") == []


def bench(program, *words):
    return subprocess.run([program("viaduct"), "bench", *words], capture_output=True, text=True, timeout=120, check=False)


def test_the_command_and_the_benchmark_know_the_same_names(program):
    known = json.loads(bench(program, "list", "--json").stdout)
    source = (TOP / "cli/bench.c").read_text()
    for name, wanted in (("scenarios", [row["name"] for row in known["scenarios"]]), ("profiles", known["profiles"])):
        row = re.search(rf"bench_{name}\[\] = {{(.*?)}}", source, re.DOTALL).group(1)
        assert sorted(re.findall(r'"([\w-]+)"', row)) == sorted(wanted)
    text = bench(program, "list").stdout
    assert all(re.search(rf"^{name} ", text, re.MULTILINE) for name in scenarios.BY_NAME)


@pytest.mark.parametrize("words, status, text", [
    (["run"], 2, "something is missing"), (["run", "no-such"], 1, "there is no scenario 'no-such'"),
    (["run", "start", "--profile", "fast"], 2, "invalid choice"), (["run", "start", "--rounds", "0"], 2, "from 1 to"),
    (["report", "/nonexistent"], 1, "/nonexistent"), (["run", "start", "--json"], 2, "lacks its value"),
    (["compare", "/nonexistent"], 2, "something is missing")])
def test_wrong_words_have_one_clear_error(program, words, status, text):
    done = bench(program, *words)
    assert done.returncode == status and text in done.stderr and "Traceback" not in done.stderr


def answering(tmp_path, text):
    path = tmp_path / "program"
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)
    return Child("program", [path], tmp_path / "log")


def test_a_program_that_answers_is_heard_among_other_lines(tmp_path):
    child = answering(tmp_path, 'read -r q; echo noise; echo "{not json"; echo \'{"ok":true,"n":7}\'; read -r q; '
                                'echo \'{"ok":false,"text":"no such port"}\'; cat\n')
    assert child.ask("port")["n"] == 7
    with pytest.raises(BenchError, match="program: port: no such port"):
        child.ask("port")
    child.stop()
    assert child.process.returncode == 0


@pytest.mark.parametrize("text, what", [
    ("echo last words >&2; read -r q; exit 9", "has ended"), ("exit 0", "has ended|does not listen"), ("sleep 100", "does not answer"),
    ("head -c 3000000 /dev/zero | tr '\\0' x; sleep 100", "line without end")])
def test_a_program_that_dies_or_hangs_is_an_error_and_is_gone(tmp_path, text, what):
    child = answering(tmp_path, text + "\n")
    with pytest.raises(TrialError, match=what):
        child.ask("trial", 2)
    child.stop()
    assert child.process.returncode is not None


class Options:
    profile, rounds, against, pf, wire, vms = "smoke", None, None, None, None, None
    guest_kernel = guest_image = pathlib.Path("/bin/true")

    def __init__(self, *names):
        self.scenario = list(names)


def run_with(monkeypatch, scenario, group):
    """A run whose group is this function, with a thing that must be given back."""
    done, folders = [], []

    def whole(run, bench, begin, say):
        bench.borrowed.callback("thing", done.append, "back")
        folders.append(bench.folder)
        begin(4)
        group(run)

    monkeypatch.setitem(session.GROUPS, scenarios.BY_NAME[scenario].group, whole)
    made = session.Session(Options(scenario))
    result = made.run()
    assert folders and not folders[0].exists()
    return result, made, done


def measured(run):
    run.done.add(("start", "plain"))
    run.store.put(0, 1.25, "start", "plain", "start", "ram")


@pytest.mark.parametrize("end, ended", [(KeyboardInterrupt(), "interrupted"), (TrialError("the guest bench-x has ended"), "failed"),
                                        (None, "done")])
def test_however_a_run_ends_what_it_has_is_kept_and_all_is_given_back(monkeypatch, end, ended):
    def group(run):
        measured(run)
        if end:
            raise end

    result, made, done = run_with(monkeypatch, "start", group)
    assert result["ended"] == ended and done == ["back"] and made.left == []
    [found] = result["scenarios"]
    ram = intervals.figure([1.25])
    assert found["start"] == [{"variant": "plain", "steps": [{"step": "ram", "seconds": ram}], "total": ram}]
    assert any("the guest bench-x has ended" in note for note in found["notes"]) == (ended == "failed")


def test_without_a_daemon_or_a_wire_a_run_says_so_and_what_to_do(program, tmp_path):
    done = subprocess.run([program("viaduct"), "--run-dir", tmp_path, "bench", "run", "start", "guest-vf", "--profile", "smoke",
                           "--guest-kernel", "/bin/true", "--guest-image", "/bin/true", "--json", tmp_path / "out"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "systemctl start viaductd" in done.stderr and "--wire PCI-ADDRESS" in done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads((tmp_path / "out").read_text())
    assert result["ended"] == "failed" and all(not row["variants"] and row["notes"] for row in result["scenarios"])


# bench/main, where the daemon names a step of a start so.
ODD = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from run import session
_, folder, step, *words = sys.argv
def group(run, bench, begin, say):
    run.done.add(("start", "plain"))
    run.store.put(0, 1.25, "start", "plain", "start", step)
session.GROUPS["start"] = group
sys.argv = [folder + "/main", *words]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("step, status", [("ram", 0), ("a;step", 1)])
@pytest.mark.parametrize("json_file", ["out", "-", None])
def test_a_result_that_is_none_is_said_to_be_and_not_lost(tmp_path, step, status, json_file):
    words = ["run", "start", "--profile", "smoke", "--guest-kernel", "/bin/true", "--guest-image", "/bin/true", "--html", "page",
             *(["--json", json_file] if json_file else [])]
    done = subprocess.run([sys.executable, "-B", "-c", ODD, TOP / "bench", step, *words], cwd=tmp_path, capture_output=True, text=True,
                          timeout=120, check=False, env={**os.environ, "VIADUCT_RUN_DIR": str(tmp_path / "run")})
    assert done.returncode == status, done.stderr
    assert ("not a word of at most" in done.stderr and "is written as it is" in done.stderr) == bool(status)
    assert (tmp_path / "page").exists() == (not status) and "Traceback" not in done.stderr
    if json_file or status:
        text = (tmp_path / "out").read_text() if json_file == "out" else done.stdout
        assert json.loads(text)["scenarios"][0]["start"][0]["steps"][0] == {"step": step, "seconds": intervals.figure([1.25])}


def test_what_there_is_so_far_is_kept_on_the_way(monkeypatch):
    """For a host that dies: it is a result like any other, but not complete."""
    kept = []

    def group(run, bench, begin, say):
        begin(2)
        measured(run)
        say("one")
        say("two")

    monkeypatch.setitem(session.GROUPS, "start", group)
    monkeypatch.setattr(session, "KEEP_SECONDS", -1)
    result = session.Session(Options("start"), kept.append).run()
    assert [made["ended"] for made in kept] == ["interrupted"] * 2 and result["ended"] == "done"
    assert kept[0]["scenarios"] == result["scenarios"]


def test_a_signal_waits_until_what_is_taken_is_noted():
    signals.install()
    try:
        noted = []
        with pytest.raises(KeyboardInterrupt):
            with signals.held():
                os.kill(os.getpid(), signal.SIGINT)
                noted.append("taken")
        assert noted == ["taken"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


def test_two_runs_become_one_result_and_counts_come_first():
    wall = {"ended": "done", "scenarios": [
        {"name": "guest-vf", "counts": [{"what": "exits", "method": "wall-clock"}], "ratios": [], "notes": []}]}
    exact = {"ended": "interrupted", "scenarios": [{"name": "guest-vf", "notes": ["how"], "throughput": [1], "counts": [
        {"what": "exits", "method": "deterministic-time"}, {"what": "instructions", "method": "deterministic-time"}],
        "ratios": [{"of": "instructions"}, {"of": "throughput"}]}, {"name": "guest-polled", "throughput": [2]}]}
    [found, alone] = merge.merged(wall, exact)["scenarios"]
    assert alone == {"name": "guest-polled", "throughput": [2]}
    assert [row["method"] for row in found["counts"]] == ["deterministic-time"] * 2 + ["wall-clock"]
    assert found["ratios"] == [{"of": "instructions"}] and found["notes"] == ["how"] and "throughput" not in found
    assert wall["ended"] == "interrupted"


def test_the_generator_finds_the_faults_that_are_put_in(program):
    """The real generator, by the words of the command; the figures must be within 1% and the stated error."""
    done = bench(program, "selftest", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] and len(result["rows"]) == 6 and all(row["found"] > 0 for row in result["rows"])


class Said:
    """A generator that notes what it is asked, and answers so."""

    def __init__(self, **answer):
        self.answer, self.asked = answer, []

    def ask(self, op, seconds, **members):
        self.asked.append((op, seconds, members))
        return {"ok": True, **self.answer}


def rig_of(gen, port="a"):
    return rigs.Rig(gen, port, port, "02:00:00:00:00:01", "02:00:00:00:00:02")


def test_a_rate_below_one_is_not_as_fast_as_it_goes():
    gen = Said(sent=1, received=1)
    for rate in (0.06, 0, 7.9):
        rig_of(gen).trial("64", rate, 1000)
    assert [members["rate_pps"] for _, _, members in gen.asked] == [1, 0, 7]


@pytest.mark.parametrize("answer, what", [({"sent": 100, "interrupted": True}, "interrupted"), ({"sent": 99}, "99 of a burst of 100")])
def test_a_burst_that_was_not_sent_whole_has_not_passed(answer, what):
    with pytest.raises(TrialError, match=what):
        rig_of(Said(lost=0, bad=0, **answer)).burst("64", 100, 1000)


def test_a_burst_has_the_time_that_it_takes():
    gen = Said(sent=1 << 20)
    rig_of(gen).burst("64", 1 << 20, 1000)
    [(_, seconds, members)] = gen.asked
    assert seconds > members["ms"] / 1000 > 2 * 1048


def test_a_scale_without_a_free_function_is_an_error(monkeypatch):
    monkeypatch.setattr(session.GROUPS["scale"].__globals__["host"], "hugepages", lambda *_: True)
    monkeypatch.setitem(session.GROUPS["scale"].__globals__, "viaduct", lambda *words: {"vfs": []})
    made = session.Session(Options("scale"))
    assert made.run()["ended"] == "failed" and "no VF is free" in made.failures[0]


def test_every_part_of_it_is_installed():
    listed = re.findall(r"'(\w+\.py)'", (TOP / "bench/run/meson.build").read_text())
    assert listed == sorted(path.name for path in (TOP / "bench/run").glob("*.py"))


@pytest.fixture
def generator(build_dir, tmp_path):
    """A real viaduct-gen: rig(device) is one that hears its own frames through that port. Nothing below depends on how often it may run."""
    command = [build_dir / "bench/gen/viaduct-gen", *rigs.eal("test", 128, f"0@{host.cpus()[0]}", False), "--"]
    child = Child("viaduct-gen", command, tmp_path / "gen.log", {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)})

    def rig(name, device):
        mac = child.ask("port", name=name, device=device)["mac"]
        return rigs.Rig(child, name, name, mac, mac)

    yield rig
    child.stop()
    assert child.process.returncode == 0, (tmp_path / "gen.log").read_text()


REAL = methods.Plan(trial_ms=300, sizes=("64",), criteria=("zero-loss",), steps=4, resolution=0.1, loads=(50,), burst_frames=256, rounds=1)


def test_methods_with_the_real_generator(generator):
    whole = generator("whole", "loop:whole")
    answer = whole.trial("64", 5000, 300)
    assert methods.loss(answer) == 0 and 0 < answer["sent"] <= 1501
    assert methods.back_to_back(functools.partial(whole.burst, pps=5000), "64", REAL) == 256

    lossy = generator("lossy", "impair:lossy:loss=0.05")
    search = methods.Search(lossy.trial, "64", REAL)
    assert search.throughput(0.2) == pytest.approx(search.top[2])
    did = lossy.gen.ask("impaired", name="lossy")
    assert len(search.seen) == 1 and did["lost"] > 0 and search.seen[0][1] == did["lost"] / did["heard"]
    assert methods.back_to_back(functools.partial(lossy.burst, pps=5000), "64", REAL) < 256

    late = generator("late", "impair:late:delay_us=2000")
    found = methods.latency(late.trial, "64", 2000, REAL)
    assert found["count"] > 0 and (found["p50_ns"] or found["error_ns"]) >= 2e6 * 0.99
    assert methods.latency(generator("dead", "impair:dead:loss=1").trial, "64", 2000, REAL) is None


def test_a_dead_wire_is_an_error_before_anything_is_measured(generator, monkeypatch):
    monkeypatch.setattr(measure, "PROBE_SECONDS", 1)
    measure.probe(("host-vf", "bare", generator("good", "loop:good")), "64")
    made = store.Store()
    with pytest.raises(TrialError, match="host-vf bare: of 100 frames none came back.*--wire.*--pf"):
        measure.Rounds([("host-vf", "bare", generator("dead", "impair:dead:loss=1"))], REAL, made, lambda what: None).run()
    assert not made.values


class Dies(rigs.Rig):
    """After so many trials nothing comes back any more."""
    left = 12

    def trial(self, size, rate_pps, ms, **more):
        self.left -= 1
        self.rx = self.rx if self.left > 0 else self.dead
        return super().trial(size, rate_pps, ms, **more)


def test_a_device_that_dies_on_the_way_is_an_error_and_no_rate_of_0(generator, monkeypatch):
    monkeypatch.setattr(measure, "PROBE_SECONDS", 1)
    good = generator("good", "loop:good")
    rig = Dies(good.gen, good.tx, good.rx, good.mac, good.src_mac)
    rig.dead = generator("dead", "impair:dead:loss=1").rx
    made, plan = store.Store(), dataclasses.replace(REAL, rounds=20)
    with pytest.raises(TrialError, match="host-vf bare: of 100 frames none came back"):
        measure.Rounds([("host-vf", "bare", rig)], plan, made, lambda what: None).run()
    rates = [values for place, values in made.values.items() if "zero-loss" in place]
    assert rates and all(value > 0 for row in rates for value in row.values())


def test_a_generator_that_dies_ends_the_trial_and_not_the_test(generator):
    rig = generator("a", "loop:a")
    with pytest.raises(TrialError, match="has ended"):
        os.kill(rig.gen.process.pid, signal.SIGKILL)
        rig.trial("64", 100, 300)
    rig.gen.process.wait()
    rig.gen.process.returncode = 0  # that was us

# SPDX-License-Identifier: BSD-3-Clause
"""viaduct bench compare and the pictures: what counts as a change, what could have been seen, and files that are hostile."""

import html.parser
import json
import os
import random
import re
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
import zlib

import bench_result
import pytest

from bench import report
from bench.report import differ, picture

BENCH = bench_result.TOP / "bench"
SECONDS = float(os.environ.get("VIADUCT_REPORT_SECONDS", "10"))


def checked(**options):
    return report.check(json.loads(json.dumps(bench_result.result(**options))))


def figure(*values):
    return bench_result.fig(list(values))


def test_ranks_are_those_of_mann_and_whitneys_tables():
    assert differ.pairs_outside(3, 3) is None and differ.pairs_outside(2, 7) is None
    # The tables give the largest U that is significant at 5%, both sides: as many pairs lie outside on either side.
    for n, m, critical in ((4, 4, 0), (5, 5, 2), (6, 6, 5), (9, 9, 17), (5, 8, 6), (20, 20, 127)):
        assert differ.pairs_outside(n, m) == critical
    assert sum(differ.rank_counts(6, 5)) == 462
    assert abs(differ.pairs_outside(21, 20) - 134) <= 1  # by the normal approximation, beyond what is counted out


def test_the_ratio_of_two_runs_has_the_interval_that_belongs_to_it():
    generator = random.Random(7)
    held, runs = 0, 400
    for _ in range(runs):
        a, b = ([scale * generator.lognormvariate(0, 0.05) for _ in range(9)] for scale in (1, 1.1))
        low, estimate, high = differ.ratio_interval(a, b)
        assert low <= estimate <= high
        held += low <= 1.1 <= high
    assert 0.92 * runs <= held <= 0.99 * runs


def test_changes_are_seen_and_noise_is_not():
    a = checked()
    same = differ.compared(a, checked(seed=2))["figures"]
    changed = [row for row in same if row["change"] in ("higher", "lower")]
    assert len(changed) <= differ.by_chance(len(same))[1]
    assert "No change beyond the noise" in report.compare(a, checked(seed=2))
    faster = differ.compared(a, checked(seed=2, change=1.2))["figures"]
    for row in faster:
        if row["what"].startswith("throughput"):
            assert row["change"] == ("higher" if row["of"].endswith("/viaduct") else "none")
            assert row["of"].endswith("/qemu") or row["low"] <= (1.2 if row["of"].endswith("/viaduct") else 1) <= row["high"]
    text = report.compare(a, checked(seed=2, change=1.2))
    assert "changed beyond the noise; chance alone" in text and "better" in text
    assert "WORSE" in report.compare(checked(seed=2, change=1.2), a)


def with_instructions(*values):
    raw = bench_result.result(seed=2)
    row, = (row for row in raw["scenarios"][1]["counts"] if row["what"] == "instructions" and row["size"] == "64")
    row["value"] = figure(*values)
    return report.check(raw)


def test_a_count_without_noise_is_not_put_down_to_chance():
    a = with_instructions(600, 600, 600)
    for values, worse in (((601, 601, 601), True), ((599, 599, 599), False), ((600, 600, 600), False)):
        found = differ.compared(a, with_instructions(*values))
        assert differ.worse(found) == worse
        assert ("1 figure without noise changed" in report.compare(a, with_instructions(*values))) == (values[0] != 600)
    assert not differ.worse(differ.compared(checked(), checked(seed=2)))
    assert differ.worse(differ.compared(checked(seed=2, change=1.2), checked()))


def test_what_the_noise_may_hide_is_said():
    text = report.compare(checked(), checked(seed=2))
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("scale/viaduct"))
    assert row[1] == "7" and 0.5 < float(row[2].rstrip("%")) < float(row[3].rstrip("%")) < 5
    assert "cannot be ruled out" in text
    every = report.compare(checked(), checked(seed=2), 120, every=True)
    assert "back to back 64" in every and "at worst" not in every


def test_a_change_is_seldom_larger_than_what_cannot_be_ruled_out():
    generator = random.Random(11)
    larger, runs = 0, 600
    for _ in range(runs):
        a, b = (figure(*(scale * generator.gauss(1, 0.02) for _ in range(6))) for scale in (1, 1.03))
        row = differ.judge(a, b, False)
        larger += row["change"] == "none" and differ.spread(row) < 0.03
    assert larger <= 0.04 * runs, larger


def latencies(generator, together, p50=1, p99=1, first=1):
    """Twenty trials of 6 rounds whose percentiles move together, but for a rest. first: by how much the first one is slower."""
    rows = []
    for number in range(20):
        common = [generator.gauss(1, 0.02) for _ in range(6)]
        speeds = {key: first if number == 0 else 1 for key in report.schema.LATENCY_FIGURES}
        speeds["p50_ns"] *= p50
        speeds["p99_ns"] *= p99
        rows.append({"variant": "bare", "size": str(64 + number), "load_percent": 50, **{
            key: figure(*(1000 * speed * (one + generator.gauss(0, 0.02 * (1 - together))) for one in common))
            for key, speed in speeds.items()}})
    raw = bench_result.result()
    raw["scenarios"] = [{"name": "host-vf", "latency": rows}]
    return report.check(raw)


def test_figures_of_one_trial_are_no_witnesses_of_each_other():
    generator = random.Random(5)
    runs = 150
    false = sum(differ.worse(differ.compared(latencies(generator, 0.9), latencies(generator, 0.9))) for _ in range(runs))
    assert false <= 0.05 * runs, false
    # Six figures of one trial: seen, but no more than one of twenty may do by chance. One figure of each trial: no chance.
    one = differ.compared(latencies(generator, 0.9), latencies(generator, 0.9, first=1.5))
    assert sum(row["change"] == "higher" for row in one["figures"]) >= 6 and not differ.worse(one)
    for slower in ({"p50": 1.2}, {"p99": 1.2}):
        a, b = latencies(generator, 0.9), latencies(generator, 0.9, **slower)
        assert differ.worse(differ.compared(a, b)) and not differ.worse(differ.compared(b, a))
        assert "20 of 20 trials changed beyond the noise" in report.compare(a, b) and "drifts" in report.compare(a, b)


def drifting(generator, drift, change=1.0, ratio=0.97, sizes=25, instructions=600):
    """A run whose rates are each off by a drift of its own, with little noise; the ratios within it hold none."""
    raw = bench_result.result()
    around = lambda value: figure(*(value * generator.gauss(1, 0.003) for _ in range(6)))  # noqa: E731
    rows = [{"variant": "bare", "size": str(64 + n), "criterion": "zero-loss", "pps": around(1000 * change * generator.lognormvariate(0, drift))}
            for n in range(sizes)]
    ratios = [{"of": "throughput", "size": str(64 + n), "a": "guest-vf/viaduct", "b": "host-vf/bare", "ratio": around(ratio)} for n in range(sizes)]
    counts = [{"variant": "bare", "size": "64", "what": "instructions", "per": "packet", "method": "deterministic-time",
               "value": figure(*[instructions] * 3)}]
    raw["scenarios"] = [{"name": "host-vf", "throughput": rows, "counts": counts}, {"name": "guest-vf", "ratios": ratios}]
    return report.check(raw)


def test_what_drifts_from_run_to_run_is_no_change_with_a_second_run():
    generator = random.Random(3)
    runs, alone, again = 40, 0, 0
    for _ in range(runs):
        a, b, second = (drifting(generator, 0.05) for _ in range(3))
        alone += differ.worse(differ.compared(a, b))
        again += differ.worse(differ.compared(a, b, second))
    assert alone > 0.9 * runs and again <= 0.1 * runs, (alone, again)
    a, slow, second = drifting(generator, 0.02), drifting(generator, 0.02, change=0.8), drifting(generator, 0.02)
    found = differ.compared(a, slow, second)
    assert differ.worse(found) and 1.005 < found["drift"]["within"] < 1.15 and found["drift"]["ratios_within"] < 1.01
    text = report.compare(a, slow, 300, again=second)
    assert "A, again: profile lab" in text and "of each figure its own, and at least what 95% of them stayed within (figures within" in text
    assert "--again" in report.compare(a, slow, 300) and "--again" not in text


def test_a_ratio_within_a_run_shows_what_the_drift_hides():
    generator = random.Random(4)
    a, b, second = drifting(generator, 0.2), drifting(generator, 0.2, ratio=0.94), drifting(generator, 0.2)
    found = differ.compared(a, b, second)
    worse = [row for row in found["figures"] if differ.worsened(row)]
    assert len(worse) >= 25 and sum("over host-vf/bare" in row["what"] for row in worse) == 25 and differ.worse(found)
    assert {row["of"] for row in worse if "over" in row["what"]} == {"guest-vf/viaduct"}


def test_a_count_that_repeats_itself_has_its_own_drift_alone():
    generator = random.Random(6)
    a, b, moved = (drifting(generator, 0.05, instructions=count) for count in (600, 601, 602))
    same = drifting(generator, 0.05)
    for second, change in ((same, "higher"), (moved, "none")):
        row, = (row for row in differ.compared(a, b, second)["figures"] if row["what"].startswith("instructions"))
        assert (row["change"], row["exact"]) == (change, second is same)


def test_a_figure_that_the_second_run_lacks_is_held_against_what_the_others_drifted():
    generator = random.Random(8)
    a, b, second = drifting(generator, 0.05), drifting(generator, 0.05), drifting(generator, 0.05, sizes=24)
    found = differ.compared(a, b, second)
    row, = (row for row in found["figures"] if row["what"] == "throughput 88 zero-loss")
    assert row["drift"] == found["drift"]["within"] > 1.03
    nothing = drifting(generator, 0.05, sizes=0)
    found = differ.compared(a, b, nothing)
    assert found["drift"] == {"within": None, "ratios_within": None}
    assert {row["change"] for row in found["figures"]} == {None, "none"}  # of the count it is known
    assert "none was measured twice" in report.compare(a, b, 300, again=nothing)
    # From nothing to something is no number of times.
    ours, theirs = ({("x", "y"): differ.Measured(figure(*[value] * 6), None, differ.HIGHER, "x")} for value in (0, 5))
    assert differ.drifts(ours, theirs) == {("x", "y"): None} and differ.Drift(ours, theirs).of(("x", "y")) is None


def test_a_second_run_on_another_host_is_warned_about():
    raw = bench_result.result(seed=2)
    raw.update(profile="rfc", ended="interrupted")
    text = report.compare(checked(), checked(seed=3), 300, again=report.check(raw))
    assert "caution: A's second run: the profiles differ: lab -> rfc" in text and "caution: A's second run: it is not complete (interrupted)" in text
    assert text.count("both hosts are emulated") == 1


def test_a_start_is_judged_by_all_its_steps():
    found = []
    for slow in (1, 2):
        raw = bench_result.result(seed=slow)
        raw["scenarios"] = [scenario for scenario in raw["scenarios"] if scenario["name"] == "start"]
        for step in raw["scenarios"][0]["start"][0]["steps"]:
            step["seconds"] = figure(*(slow * value for value in step["seconds"]["rounds"]))
        found.append(report.check(raw))
    there, back = differ.compared(*found), differ.compared(*reversed(found))
    row, = (row for row in there["figures"] if row["what"] == "start, all steps" and row["of"] == "start/viaduct")
    assert row["low"] < 2 < row["high"] and abs(row["a"] - 2.53) < 0.15
    assert differ.worse(there) and not differ.worse(back)


@pytest.mark.parametrize("a, b, noisy, counted", [
    (figure(1, 2, 3), figure(7, 8, 9), None, None),  # three rounds say nothing
    (figure(10, 11, 12, 13), figure(20, 21, 22, 23), "higher", "higher"),
    (figure(0, 0, 0), figure(0, 0), None, "none"),
    (figure(611, 611), figure(612, 612), None, "higher"),  # what repeats itself changes by one
    (figure(611), figure(612), None, None),
    (figure(4096, 4096, 4096, 4096), figure(2048, 2048, 2048, 2048), "lower", "lower"),
    (figure(0, 0, 0, 0, 0, 0), figure(1, 2, 3, 2, 1, 2), "higher", "higher"),
    (figure(1, 1, 2, 3, 2, 2), figure(0, 0, 1, 1, 2, 2), "none", "none"),
])
def test_verdicts(a, b, noisy, counted):
    assert differ.judge(a, b, False)["change"] == noisy and differ.judge(a, b, True)["change"] == counted


def bursts(*values, method="wall-clock"):
    """Of one scenario: its bursts without loss, its instructions."""
    raw = bench_result.result()
    raw["scenarios"] = [{"name": "host-vf", "back_to_back": [{"variant": "bare", "size": "64", "frames": figure(*values)}],
                         "counts": [{"variant": "bare", "size": "64", "what": "instructions", "per": "packet", "method": method,
                                     "value": figure(*(1e6 / value for value in values))}]}]
    return report.check(raw)


def test_rounds_that_are_alike_by_chance_are_not_taken_for_free_of_noise():
    few = differ.compared(bursts(4096, 4096), bursts(2048, 2048))
    assert [(row["change"], row["exact"]) for row in few["figures"]] == [(None, False)] * 2 and not differ.worse(few)
    more = differ.compared(bursts(*[4096] * 6), bursts(*[2048] * 6))
    assert [(row["change"], row["exact"]) for row in more["figures"]] == [("lower", False), ("higher", False)]
    assert "without noise" not in report.compare(bursts(*[4096] * 6), bursts(*[2048] * 6))
    assert differ.worse(differ.compared(bursts(4096, 4096, method="deterministic-time"), bursts(2048, 2048, method="deterministic-time")))
    mixed = differ.compared(bursts(4096, 4096, method="deterministic-time"), bursts(2048, 2048))
    assert [row["what"] for row in mixed["figures"]] == ["back to back 64"]  # one method's counts are not held against the other's


def at_rate(pps):
    raw = bench_result.result()
    for scenario in raw["scenarios"]:
        for row in scenario.get("latency", []):
            row["pps"] = bench_result.fig([pps] * 6)
    return report.check(json.loads(json.dumps(raw)))


def test_latencies_at_other_rates_are_named_and_not_compared():
    def latencies(a, b):
        found = differ.compared(a, b)
        return [row for row in found["figures"] if row["what"].startswith("p50")], found["other_rates"]

    rows, other = latencies(at_rate(10000), at_rate(10500))
    assert rows and not other
    rows, other = latencies(at_rate(10000), at_rate(12000))
    assert not rows and "p50 64 at 50%, guest-vf/viaduct: 10 k -> 12 k packets a second" in other
    assert "Not compared, since the rates differ: p" in report.compare(at_rate(10000), at_rate(12000), width=200)
    rows, other = latencies(checked(), at_rate(12000))  # a result that does not say it
    assert rows and not other
    assert re.search(r"^ *64 +10% +12 k +host-vf/bare", report.text(at_rate(12000)), re.MULTILINE)


def test_hosts_and_runs_that_differ_are_warned_about():
    raw = bench_result.result(seed=2)
    raw["host"]["hugepages"]["2M"] = 0
    raw.update(emulated=False, profile="rfc", ended="interrupted")
    del raw["scenarios"][0]
    text = report.compare(checked(), report.check(raw), 300)
    for caution in ("the hosts differ: hugepages.2M: 256 -> 0", "the profiles differ: lab -> rfc", "B is not complete (interrupted)",
                    "one host is emulated, the other is not"):
        assert f"caution: {caution}" in text
    assert "In A alone: throughput 64 zero-loss, host-vf/bare" in text and "In B alone" not in text
    few = report.compare(checked(rounds=3), checked(rounds=3, seed=2))
    assert "Too few rounds to tell" in few


def png_pixels(raw):
    """(width, height, set of the rows' colours that occur) of an image of 8 bits a channel, without interlace."""
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack(">IIBB", raw[16:26])
    channels = {2: 3, 6: 4}[kind]
    assert depth == 8
    data, at = b"", 8
    while at < len(raw):
        length, name = struct.unpack(">I4s", raw[at:at + 8])
        data += raw[at + 8:at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
    return width, height, channels, zlib.decompress(data)


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_is_drawn_by_the_real_program(tmp_path, dark):
    path = tmp_path / "plots.png"
    result = checked()
    report.png(result, path, ["ratios", "latency"], dark)
    width, height, channels, lines = png_pixels(path.read_bytes())
    assert height == 2 * picture.sheet(result, ["ratios", "latency"])[1] and 2000 < width < 2600
    paper = (0x14, 0x17, 0x1b) if dark else (255, 255, 255)
    # A line begins with its filter; the first pixel of the first line is the paper's whatever the filter.
    assert tuple(lines[1:1 + 3]) == paper and len(lines) == height * (1 + width * channels)
    assert len(set(lines)) > 100
    assert [p.name for p in tmp_path.iterdir()] == ["plots.png"]


def test_pictures_that_cannot_be_made_are_refused(tmp_path, monkeypatch):
    result = checked()
    with pytest.raises(report.ReportError, match="no plot nix in this result; it has: .*throughput"):
        report.png(result, tmp_path / "x.png", ["nix"])
    with pytest.raises(report.ReportError, match="absent"):
        report.png(result, tmp_path / "absent/x.png")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(report.ReportError, match="librsvg2-bin"):
        report.png(result, tmp_path / "x.png")


def words(*args):
    return subprocess.run([sys.executable, "-B", "-m", "report", *map(str, args)], cwd=BENCH, capture_output=True, text=True,
                          check=False, timeout=120)


def test_the_words(tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(json.dumps(bench_result.result()))
    b.write_text(json.dumps(bench_result.result(seed=2)))
    assert words("report", a).stdout.startswith("viaduct bench: profile lab")
    assert json.loads(words("report", a, "--json", "-").stdout)["scenarios"][0]["name"] == "host-vf"
    assert "A: profile lab" in words("compare", a, b).stdout
    assert len(json.loads(words("compare", a, b, "--json", "-").stdout)["figures"]) > 100
    done = words("report", a, "--html", tmp_path / "a.html", "--png", tmp_path / "a.png", "--plot", "ratios,latency", "--dark")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>") and (tmp_path / "a.png").stat().st_size > 1000
    for args, status, why in ((("report", tmp_path / "none"), 1, "none: No such file"), (("report",), 2, "FILE"), (("what",), 2, "what"),
                              (("report", a, "--html", tmp_path / "no/a.html"), 1, "no/a.html: No such file"),
                              (("compare", a, tmp_path), 1, "Is a directory")):
        done = words(*args)
        assert done.returncode == status and why in done.stderr and "Traceback" not in done.stderr


def test_two_large_results_are_compared_in_time(tmp_path):
    """As many figures and rounds as the file may hold: either what it takes is bounded or this goes on for minutes."""
    raw = bench_result.result()
    rounds = [1 + n % 9 for n in range(500)]
    raw["scenarios"] = [{"name": f"s{s}", "counts": [
        {"variant": f"v{n}", "size": "64", "what": "exits", "per": "packet", "value": {**figure(*rounds[:9]), "rounds": rounds}}
        for n in range(1000)]} for s in range(8)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(raw, separators=(",", ":")))
    done = words("compare", path, path)
    assert done.returncode == 0 and "No change beyond the noise in 8000 figures" in done.stdout


def test_the_command_hands_its_words_on(tmp_path, program):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(json.dumps(bench_result.result(change=1.2)))
    b.write_text(json.dumps(bench_result.result(seed=2)))

    def viaduct(*args):
        return subprocess.run([program("viaduct"), *args], capture_output=True, text=True, check=False, timeout=120)

    done = viaduct("bench", "report", a, "--html", tmp_path / "a.html", "--png", tmp_path / "a.png", "--plot", "ratios,tcp", "--dark")
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "a.html").exists() and (tmp_path / "a.png").exists()
    assert "no plot nix" in viaduct("bench", "report", a, "--png", tmp_path / "b.png", "--plot", "nix").stderr
    assert viaduct("bench", "compare", b, a).returncode == 0
    done = viaduct("bench", "compare", a, b, "--every")
    assert done.returncode == 1 and "WORSE" in done.stdout and "back to back 64" in done.stdout and done.stderr == ""
    done = viaduct("--json", "bench", "compare", a, b)
    assert done.returncode == 1 and json.loads(done.stdout)["figures"] and json.loads(done.stdout)["drift"] is None
    # A second run of A that lies where B does: nothing has changed.
    done = viaduct("--json", "bench", "compare", a, b, "--again", b)
    assert done.returncode == 0 and json.loads(done.stdout)["drift"]["within"] > 1.1
    assert "/nonexistent" in viaduct("bench", "compare", a, b, "--again", "/nonexistent").stderr
    (tmp_path / "--html").write_text("{}")
    done = subprocess.run([program("viaduct"), "bench", "report", "--", "--html"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "--html: the result: has no format" in done.stderr


def test_every_file_of_the_report_is_installed():
    listed = (BENCH / "report/meson.build").read_text()
    assert [path.name for path in sorted((BENCH / "report").glob("*.py")) if f"'{path.name}'" not in listed] == []


class Balanced(html.parser.HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


NASTY = (None, True, 0, -1, 1, 0.5, 1e18, 1e-18, 5e-324, 1e999, float("nan"), 2 ** 70, 10 ** 401, "", "x", "</svg>", "\ud800", "\x1b[2J",
         "9" * 60, [], {}, [[]], [None], {"median": 1}, {"median": 5, "low": 5, "high": 5, "rounds": [5] * 9, "outliers": [0, 0]})


def places(value, way=()):
    """Every place in a result, as keys from its root."""
    yield way
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*way, key))


def mutated(result, generator):
    """A copy with some places changed, taken from elsewhere, doubled or gone."""
    out = json.loads(result)
    for _ in range(generator.randint(1, 6)):
        all_places = list(places(out))
        way, other = generator.choice(all_places), generator.choice(all_places)
        if not way:
            continue
        holder, taken = out, out
        for key in way[:-1]:
            holder = holder[key]
        for key in other:
            taken = taken[key]
        how = generator.randrange(4)
        if how == 0:
            holder[way[-1]] = generator.choice(NASTY)
        elif how == 1:
            holder[way[-1]] = json.loads(json.dumps(taken))
        elif how == 2:
            del holder[way[-1]]
        elif isinstance(holder, list):
            holder += json.loads(json.dumps(holder[:20]))
    return json.dumps(out).encode()


def small():
    """A result of which most places matter."""
    out = bench_result.result()
    for scenario in out["scenarios"]:
        for key, rows in scenario.items():
            if isinstance(rows, list):
                scenario[key] = rows[:3]
        for row in scenario.get("latency", []):
            row["histogram"] = row["histogram"][::8]
    return json.dumps(out)


def test_mutated_results_are_refused_or_shown_and_never_a_traceback():
    generator = random.Random(os.environ.get("VIADUCT_REPORT_SEED", "1"))
    text, whole = small(), report.parse(small().encode())
    end, shown, refused = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end or not (shown and refused):
        raw = mutated(text, generator)
        if generator.random() < 0.1:
            at = generator.randrange(len(raw))
            raw = raw[:at] + bytes([generator.randrange(256)]) + raw[at + 1:]
        try:
            result = report.parse(raw)
        except report.ReportError as e:
            assert len(str(e)) < 400 and str(e).isprintable()
            refused += 1
            continue
        shown += 1
        assert report.text(result, 80)
        assert report.compare(whole, result) and report.compare(result, whole, again=whole) and report.compare(whole, whole, again=result)
        page = Balanced()
        page.feed(report.html(result))
        assert page.open == []
        json.dumps(differ.compared(whole, result), allow_nan=False)
        try:
            ElementTree.fromstring(picture.sheet(result)[0])
        except report.ReportError as e:
            assert "nothing was measured" in str(e)
    assert shown > 5 and refused > 5

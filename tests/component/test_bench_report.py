# SPDX-License-Identifier: BSD-3-Clause
"""The report of viaduct bench: results that are refused, and what is said of those that are not."""

import json

import bench_result
import pytest

from bench import report
from bench.report import palette


def checked(**options):
    return report.check(json.loads(json.dumps(bench_result.result(**options))))


def put(result, path, value):
    """Sets what a path like "scenarios.0.name" names."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        result = result[step]
    result[last] = value


REFUSED = {
    "format": ("viaduct", "format: none of viaduct-bench: 'viaduct'"),
    "version": (2, "version: this viaduct reads version 1: 2"),
    "emulated": (1, "emulated: neither true nor false: 1"),
    "profile": ("<b>", "profile: not a word"),
    "ended": (["done"], "ended: none of done, interrupted, failed"),
    "scenarios": ({}, "scenarios: not a list"),
    "scenarios.1.name": ("host-vf", "the result: two scenarios of one name"),
    "scenarios.0.title": ("x" * 2001, "scenarios[0].title: a text of 2001 characters, more than 2000"),
    "scenarios.0.throughput.0.pps.median": (-1, "scenarios[0].throughput[0].pps.median: neither 0 nor between"),
    "scenarios.0.throughput.0.pps.high": (10 ** 401, "scenarios[0].throughput[0].pps.high: neither 0 nor between"),
    "scenarios.0.throughput.0.pps.low": (1e17, "scenarios[0].throughput[0].pps: low, median and high are not in order"),
    "scenarios.0.throughput.1.pps.high": (None, "scenarios[0].throughput[1].pps: one end of an interval"),
    "scenarios.0.throughput.0.pps.outliers": ([9], "scenarios[0].throughput[0].pps: an outlier that is no round"),
    "scenarios.0.throughput.1.pps.rounds": ([1] * 1001, "scenarios[0].throughput[1].pps.rounds: a list of 1001, more than 1000"),
    "scenarios.0.throughput.0.pps.rounds": ([True], "scenarios[0].throughput[0].pps.rounds[0]: not a number: True"),
    "scenarios.0.latency.0.histogram": ([[2, 1], [2, 1]], "scenarios[0].latency[0].histogram: its upper bounds do not rise"),
    "scenarios.0.latency.0.histogram.3": ([1], "scenarios[0].latency[0].histogram[3]: not a pair"),
    "scenarios.5.scale.0.vms": (1.5, "scenarios[5].scale[0].vms: not a whole number"),
    "host": ([], "host: not an object"),
    "host.governor": (-10 ** 401, "host.governor: neither 0 nor between"),
    "host.cpu": ([[[[[[[1]]]]]]], "nested deeper than 5"),
    "host.kernel": ([0] * 2001, "host: more than 2000 values"),
    "warnings": ([{"text": "x"}], "warnings[0]: has no code"),
}


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_no_result_is_refused_by_one_clear_error(path):
    value, why = REFUSED[path]
    result = bench_result.result()
    put(result, path, value)
    with pytest.raises(report.ReportError) as refused:
        report.parse(json.dumps(result).encode())
    assert why in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"[" * 100000, b"NaN", b'{"version": 1e999}', b"9" * 5000, b"null",
                                 b" " * ((16 << 20) + 1)])
def test_what_is_no_json_is_refused(raw, tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(raw)
    with pytest.raises(report.ReportError, match="result.json: "):
        report.read(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(report.ReportError, match="absent.json: No such file"):
        report.read(tmp_path / "absent.json")


def test_control_characters_are_not_passed_to_a_terminal():
    result = bench_result.result()
    result["scenarios"][0]["notes"] = ["a\x1b[2Jb\u202ec\ud800d"]
    result["host"]["\x07bell"] = "\x9b31m"
    shown = report.text(report.check(result))
    assert "a�[2Jb�c�d" in shown and "�bell: �31m" in shown
    assert all(c == "\n" or c.isprintable() for c in shown)


def test_empty_and_unknown_lists_are_no_error():
    least = {"format": "viaduct-bench", "version": 1, "profile": "smoke", "emulated": False, "ended": "interrupted", "later": 1}
    shown = report.text(report.check(least))
    assert "INTERRUPTED" in shown and "Nothing was measured." in shown


def lines_of(shown, title):
    """The cells of a table's rows; the first cell of a row that repeats is empty on a terminal."""
    block = shown.split(title)[1].split("\n\n")[0]
    return [line.split() for line in block.splitlines()[1:]]


def test_an_emulated_hosts_report_leads_with_counts():
    shown = report.text(checked())
    assert shown.index("This host is emulated") < shown.index("Exits per packet, in deterministic time") \
        < shown.index("guest-vf/viaduct over host-vf/bare") < shown.index("Throughput")
    real = bench_result.result()
    real["emulated"] = False
    shown = report.text(report.check(real))
    assert shown.index("guest-vf/viaduct over host-vf/bare") < shown.index("Throughput") < shown.index("Exits per packet") and "is emulated" not in shown


def test_figures_are_shown_with_intervals_and_outliers():
    result = bench_result.result()
    result["scenarios"][0]["throughput"][0]["pps"] = {"median": 14880952, "low": 14.0e6, "high": 14.9e6,
                                                     "rounds": [14e6, 14880952, 14.9e6, 2e6], "outliers": [3]}
    rows = lines_of(report.text(report.check(result)), "Throughput by frame size")
    assert "zero-loss 64 host-vf/bare 14.9 M 14 M to 14.9 M 4, 1 far off 21.5".split() in rows


def test_a_bound_that_only_a_median_keeps_is_no_proof():
    assert "holds" in report.text(checked()) and "without an interval" not in report.text(checked())
    few = report.text(checked(rounds=3))
    assert "1.030 holds without an interval" in few and "1.030 DOES NOT HOLD without an interval" in few


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_text_keeps_to_the_width_of_the_terminal(width):
    result = bench_result.result()
    result["scenarios"][0]["variants"][0]["title"] = "網" * 100
    result["scenarios"][0]["notes"] = ["網" * 300, "word " * 90 + "x" * 300]
    shown = report.text(report.check(result), width)
    from bench.report.terminal import cells
    assert max(cells(line) for line in shown.splitlines()) <= width
    assert ("no room for" in shown) == (width < 100)


# Linear RGB as seen by who lacks a kind of cone (Machado, Oliveira, Fernandes 2009, severity 1), and by who does not.
EYES = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no long": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no middle": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no short": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
XYZ = ((0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505), (0.2126, 0.7152, 0.0722), (0.0193 / 1.089, 0.1192 / 1.089, 0.9505 / 1.089))


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def lab(colour, eye):
    """CIELAB of a colour as an eye sees it."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    seen = [min(1, max(0, c)) for c in times(eye, light)]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in times(XYZ, seen))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_colours_of_series_are_told_apart_by_every_eye(colours, eye):
    seen = [lab(colour, EYES[eye]) for colour in colours["series"]]
    apart = [sum((p - q) ** 2 for p, q in zip(a, b)) ** 0.5 for n, a in enumerate(seen) for b in seen[n + 1:]]
    assert min(apart) > 18  # some 2 can just be told apart, side by side

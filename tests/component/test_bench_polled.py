# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of polled ports: its statistics, what it reads from each backend, its JSON, and one short real run."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from daemonkit import eventually

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench/polled"))

import cases  # noqa: E402
import figures  # noqa: E402

TESTPMD = """
  ---------------------- Forward statistics for port 0  ----------------------
  RX-packets: 1024           RX-dropped: 0             RX-total: 1024
  +++++++++++++++ Accumulated forward statistics for all ports+++++++++++++++
  RX-packets: 1024           RX-dropped: 0             RX-total: 1024
  TX-packets: 1024           TX-dropped: 0             TX-total: 1024
  ++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++

  CPU cycles/packet=310.00 (total cycles=317440 / total io packets=1024) at 2445 MHz Clock
testpmd>"""

OVS = """pmd thread numa_id 0 core_id 1:
  packets received: 1000
  packet recirculations: 0
  emc hits: 990
  idle cycles: 900000 (90.00%)
  processing cycles: 100000 (10.00%)
  avg cycles per packet: 1000.00 (1000000/1000)
  avg processing cycles per packet: 100.00 (100000/1000)
main thread:
  packets received: 0
  processing cycles: 77 (1.00%)
"""


def test_median_interval_is_that_of_the_binomial():
    assert figures.median_ranks(5) is None  # min and max hold the median with 93.75%
    assert figures.median_ranks(6) == (1, 6)
    assert figures.median_ranks(9) == (2, 8)
    assert figures.median_ranks(20) == (6, 15)
    for n in range(6, 60):
        low, high = figures.median_ranks(n)
        outside = 2 * sum(math.comb(n, k) for k in range(low)) / 2 ** n
        tighter = 2 * sum(math.comb(n, k) for k in range(low + 1)) / 2 ** n
        assert high == n + 1 - low and outside <= 0.05 < tighter
    assert figures.median_interval([9, 1, 8, 2, 7, 3, 6, 4, 5]) == [2, 8]
    assert figures.median_interval([1, 2, 3]) is None


def rounds(viaduct, testpmd, ceiling=None):
    def one(cycles):
        return {"cycles": cycles, "mpps": 1000 / cycles, "delivered": 9, "lost": 1, "sent": 10}

    out = [{"viaduct": one(v), "testpmd": one(t)} for v, t in zip(viaduct, testpmd)]
    for r in out:
        if ceiling:
            r["loop"] = {**one(1), "cycles": None, "mpps": ceiling}
    return out


def test_ratio_is_paired_by_round():
    # Every round is twice as slow as the one before, and the peer three times as slow as viaduct, but once.
    viaduct = [100 * 2 ** i for i in range(9)]
    testpmd = [3 * v for v in viaduct]
    testpmd[4] = viaduct[4]
    out = figures.case_summary(cases.Case("x"), rounds(viaduct, testpmd))
    assert out["ratio_testpmd"] == 3 and out["ratio_testpmd_interval"] == [3, 3]
    assert out["viaduct_cycles"] == 1600 and out["viaduct_cycles_interval"] == [200, 12800]
    assert out["rate_ratio_testpmd"] == 3
    assert out["ovs_cycles"] is None and out["ratio_ovs"] is None
    assert out["viaduct_lost"] == 0.1


def test_rate_is_said_only_where_the_generator_has_room():
    def summary(ceiling):
        return figures.case_summary(cases.Case("x"), rounds([100] * 9, [400] * 9, ceiling))  # 10 and 2.5 Mpps

    none, some, both = summary(None), summary(12.9), summary(13)
    assert none["viaduct_mpps"] is None and none["testpmd_mpps"] is None and none["ceiling_mpps"] is None
    assert some["viaduct_mpps"] is None and some["testpmd_mpps"] == 2.5
    assert both["viaduct_mpps"] == 10 and both["viaduct_mpps_interval"] == [10, 10]


def test_json_has_the_promised_fields():
    out = figures.case_summary(cases.Case("vm2vm-x", size="1500", ring="packed"), rounds([100] * 9, [300] * 9))
    assert {"case": "vm2vm-x", "name": "vm2vm", "size": 1500, "ring": "packed"}.items() <= out.items()
    assert {"viaduct_cycles", "testpmd_cycles", "ovs_cycles", "ratio_testpmd", "ratio_ovs", "viaduct_mpps", "testpmd_mpps",
            "viaduct_cycles_interval", "ratio_testpmd_interval", "ratio_ovs_interval"} <= out.keys()


def test_figures_of_the_backends_are_read():
    assert figures.viaduct_cycles({"lcores": [{"lcore": 1, "busy_cycles": 5, "idle_cycles": 9, "packets": 1},
                                              {"lcore": 2, "busy_cycles": 7, "idle_cycles": 0, "packets": 0}]}) == 12
    assert figures.testpmd_cycles(TESTPMD) == 317440
    assert figures.testpmd_cycles("testpmd> ") is None
    assert figures.cycles_between(2 ** 64 - 500, 99500) == 100000
    assert figures.cycles_between(500, 1000) == 500 and figures.cycles_between(None, None) is None
    assert figures.ovs_cycles(OVS) == 100000
    with pytest.raises(figures.FigureError):
        figures.ovs_cycles("pmd thread numa_id 0 core_id 1:\n")


def test_rate_is_held_against_the_ceiling_of_its_own_round():
    """A machine that is twice as fast in half of the rounds, for all: the rate is never near the ceiling."""
    out = figures.case_summary(cases.Case("x"), [
        {"viaduct": {"cycles": 1, "mpps": speed, "delivered": 1, "lost": 0, "sent": 1},
         "loop": {"cycles": None, "mpps": 1.5 * speed}} for speed in (1, 2, 1, 2, 2, 1, 2)])
    assert out["viaduct_mpps"] == 2 and out["ceiling_mpps"] == 3


def test_latency_is_paired_at_each_percentile():
    late = {"p50": 100.0, "p99": 200.0, "p999": 400.0}
    out = figures.case_summary(cases.Case("x", latency=True), [
        {"viaduct": late, "testpmd": {k: v * 2 for k, v in late.items()}} for _ in range(9)])
    assert [out[f"viaduct_{key}"] for key in ("p50", "p99", "p999")] == [100, 200, 400]
    assert out["ratio_testpmd_p99"] == 2 and out["ratio_testpmd_p999_interval"] == [2, 2]
    assert "viaduct_cycles" not in out


def test_table_names_every_case_and_what_is_missing():
    out = {"rounds": 9, "slice_ms": 400, "machine": {"cpu": "x", "cpus": 2, "virtual": True}, "missing": ["ovs was not measured: why"],
           "cases": [figures.case_summary(cases.Case("vm2vm-x"), rounds([100] * 9, [300] * 9)),
                     figures.case_summary(cases.Case("vm2vm-late", latency=True),
                                          [{"viaduct": {"p50": 1.0, "p99": 2.0, "p999": 3.0}}] * 9)]}
    for case in out["cases"]:
        case["tsc_hz"] = 2.4e9
    lines = figures.text(out).splitlines()
    row = next(line for line in lines if line.startswith("vm2vm-x "))
    assert row.split()[1:4] == ["100", "300", "-"] and "3.00 [3.00 3.00]" in row
    assert [line.split()[:3] for line in lines if line.startswith("vm2vm-late")] == [
        ["vm2vm-late", "p50", "1"], ["vm2vm-late", "p99", "2"], ["vm2vm-late", "p999", "3"]]
    assert "ovs was not measured: why" in lines
    assert any("dropped" in line and "vm2vm-x viaduct 10.0%" in line for line in lines)


def test_cases_cover_what_was_promised():
    names = [case.case for case in cases.CASES]
    assert len(set(names)) == len(names) == 27
    assert {(case.size, case.ring) for case in cases.CASES} >= {
        (size, ring) for size in ("64", "512", "1500", "imix") for ring in ("split", "packed")}
    by_name = {case.case: case for case in cases.CASES}
    assert by_name["vm2vm-64-split"].flows() == [(0, 1)]
    assert by_name["vm2vm-64-split-both"].flows() == [(0, 1), (1, 0)]
    assert by_name["vm2vm-64-split-4ports"].flows() == [(0, 1), (2, 3)]
    assert by_name["guest2host-null"].flows() == [(0, None)]
    assert by_name["host2guest-afxdp"].flows() == [(1, 0)]


def children(parent, name=""):
    """Process numbers of its children, or of those of that name."""
    text = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [pid for pid in map(int, text.split())
            if name in pathlib.Path(f"/proc/{pid}/comm").read_text()]


def bench(*words, folder="/tmp", build="", seconds=120):
    """folder: where it works, and looks whether it is alone."""
    env = {**os.environ, "VIADUCT_BUILD": str(build), "TMPDIR": str(folder), "VIADUCT_RUN_DIR": f"{folder}/run"}
    return subprocess.run([TOP / "bench/polled.bench", *map(str, words)], capture_output=True, text=True, check=False,
                          timeout=seconds, env=env)


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--slice-ms", "0"], ["--case", "no-such"], ["--what"]])
def test_bad_options_are_refused(words):
    done = bench(*words)
    assert done.returncode == 2 and "usage" in done.stderr


def test_a_build_that_is_none_is_told(short_tmp):
    done = bench("--small-pages", "--case", "vm2vm-64-split", "--only", "viaduct", folder=short_tmp, build=short_tmp)
    assert done.returncode == 1 and "scripts/test --build-only release" in done.stderr and "Traceback" not in done.stderr


def test_what_was_measured_before_an_error_is_kept(build_dir, short_tmp):
    """The second case finds a viaduct-pmd that does not start."""
    (short_tmp / "pmd-backends").mkdir()
    pmd = short_tmp / "pmd-backends/viaduct-pmd"
    pmd.write_text(f'#!/bin/sh\n[ ! -e {short_tmp}/used ] || exit 9\ntouch {short_tmp}/used\n'
                   f'exec {build_dir}/pmd-backends/viaduct-pmd "$@"\n')
    pmd.chmod(0o755)
    (short_tmp / "bench").symlink_to(build_dir / "bench")
    done = bench("--small-pages", "--rounds", 1, "--slice-ms", 400, "--case", "vm2vm-64-split", "--case", "vm2vm-64-packed",
                 "--only", "viaduct", "--json", short_tmp / "out.json", folder=short_tmp, build=short_tmp)
    assert done.returncode == 1 and done.stderr.count("once more") == 2 and "ended with 9" in done.stderr
    assert [case["case"] for case in json.loads((short_tmp / "out.json").read_text())["cases"]] == ["vm2vm-64-split"]


@pytest.mark.parametrize("case", ["vm2vm-64-split", "vm2vm-imix-packed", "vm2vm-1500-split-dirty"])
def test_a_short_run_delivers_what_was_sent(case, build_dir, short_tmp):
    """Two guests, a real viaduct-pmd between: every packet that came was checked by content and order."""
    done = bench("--small-pages", "--rounds", 1, "--slice-ms", 400, "--case", case, "--only", "viaduct", "--json",
                 short_tmp / "out.json", folder=short_tmp, build=build_dir)
    assert done.returncode == 0, done.stderr
    out = json.loads((short_tmp / "out.json").read_text())
    result = out["cases"][0]
    sample = result["samples"][0]["viaduct"]
    assert result["viaduct_cycles"] == sample["cycles"] > 0
    assert sample["delivered"] > 0 and sample["delivered"] + sample["lost"] == sample["sent"]
    assert case in done.stdout and "no intervals" in done.stdout


@pytest.mark.parametrize("case", ["vm2vm-64-split", "vm2vm-64-packed"])
def test_the_ceiling_is_measured_in_the_same_rounds(case, build_dir, short_tmp):
    done = bench("--small-pages", "--rounds", 2, "--slice-ms", 400, "--case", case, "--only", "viaduct", "--only", "loop",
                 "--json", short_tmp / "out.json", folder=short_tmp, build=build_dir)
    assert done.returncode == 0, done.stderr
    result = json.loads((short_tmp / "out.json").read_text())["cases"][0]
    assert len(result["samples"]) == 2 and all(r["loop"]["delivered"] > 0 for r in result["samples"])
    assert result["ceiling_mpps"] > 0


def test_an_end_by_a_signal_leaves_nothing(build_dir, short_tmp):
    """No process, no socket, no folder."""
    env = {**os.environ, "VIADUCT_BUILD": str(build_dir), "TMPDIR": str(short_tmp), "VIADUCT_RUN_DIR": f"{short_tmp}/run"}
    with subprocess.Popen([TOP / "bench/polled.bench", "--small-pages", "--rounds", "1000", "--slice-ms", "50", "--case",
                           "vm2vm-64-split", "--only", "viaduct"], env=env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as run:
        try:
            eventually(lambda: children(run.pid, "viaduct-pmd") and children(run.pid, "polled-gen"), 60)
            started = children(run.pid)
            run.send_signal(signal.SIGINT)
            assert run.wait(60) == 130, run.stderr.read().decode()
        finally:
            run.kill()
    eventually(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in started), 5)
    assert [path.name for path in short_tmp.iterdir()] == ["run.bench"]

# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of polled ports: its statistics, what it reads from each backend, its JSON, and one short real run."""

import json
import math
import os
import pathlib
import subprocess
import sys

import pytest

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
    assert figures.ovs_cycles(OVS) == 100000
    with pytest.raises(figures.FigureError):
        figures.ovs_cycles("pmd thread numa_id 0 core_id 1:\n")


def test_cases_have_names_of_their_own():
    names = [case.case for case in cases.CASES]
    assert len(set(names)) == len(names)
    assert cases.chosen(["vm2vm-64-split"])[0].flows() == [(0, 1)]


def bench(*words, build=None, seconds=120):
    env = {**os.environ, **({"VIADUCT_BUILD": str(build)} if build else {})}
    return subprocess.run([TOP / "bench/polled.bench", *map(str, words)], capture_output=True, text=True, check=False,
                          timeout=seconds, env=env)


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--slice-ms", "0"], ["--case", "no-such"], ["--what"]])
def test_bad_options_are_refused(words):
    done = bench(*words)
    assert done.returncode == 2 and "usage" in done.stderr


def test_a_short_run_delivers_what_was_sent(build_dir, tmp_path):
    """Two guests, a real viaduct-pmd between: every packet that came was checked by content and order."""
    done = bench("--small-pages", "--rounds", 1, "--slice-ms", 50, "--case", "vm2vm-64-split", "--only", "viaduct", "--json",
                 tmp_path / "out.json", build=build_dir)
    assert done.returncode == 0, done.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    case = out["cases"][0]
    sample = case["samples"][0]["viaduct"]
    assert case["viaduct_cycles"] == sample["cycles"] > 0
    assert sample["delivered"] > 0 and sample["delivered"] + sample["lost"] == sample["sent"]
    assert "vm2vm-64-split" in done.stdout and "no intervals" in done.stdout

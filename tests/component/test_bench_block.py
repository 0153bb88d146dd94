# SPDX-License-Identifier: BSD-3-Clause
"""`scripts/bench block`: a short run of the real processes, and its figures."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
BENCH = TREE / "bench" / "block.bench"


def bench(build_dir, *words):
    return subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=200, check=False,
                          env={**os.environ, "VIADUCT_BUILD": str(build_dir)})


@pytest.mark.timeout(250)
def test_a_short_run_measures_both_and_finds_every_block(build_dir, tmp_path):
    out = tmp_path / "out.json"
    done = bench(build_dir, "--rounds", "2", "--slice-ms", "30", "--image-mib", "2", "--folder", str(tmp_path), "--json", str(out),
                 "--case", "disk-read-1", "--case", "disk-write-32", "--case", "tmpfs-write-32")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert [case["case"] for case in result["cases"]] == ["tmpfs-write-32", "disk-read-1", "disk-write-32"]
    for case in result["cases"]:
        assert case["viaduct_iops"] > 0 and case["qemu_iops"] > 0 and case["ratio"] > 0, case
        assert len(case["samples"]) == 2
    assert "viaduct/qemu" in done.stdout and "no intervals" in done.stdout


def test_the_cases_are_listed_and_others_refused(build_dir):
    listed = bench(build_dir, "--list").stdout.split()
    assert "tmpfs-read-1" in listed and "disk-write-32" in listed and len(listed) == 8
    done = bench(build_dir, "--case", "tape")
    assert done.returncode == 2 and "no case 'tape'" in done.stderr


def test_ratios_are_those_of_one_round(monkeypatch):
    """Rounds that are slow for both are no one's fault."""
    for folder in ("polled", "block"):
        monkeypatch.syspath_prepend(str(TREE / "bench" / folder))
    for name in ("figures", "disk_figures"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    report = importlib.import_module("disk_figures")
    rounds = [{"viaduct": {"iops": 110.0 * k, "p50": 5}, "qemu": {"iops": 100.0 * k, "p50": 6}} for k in range(1, 8)]
    case = type("Case", (), {"name": "tmpfs-read-1", "place": "tmpfs", "write": False, "depth": 1})
    out = report.case_summary(case, rounds)
    assert out["ratio"] == pytest.approx(1.1) and out["ratio_interval"] == pytest.approx([1.1, 1.1])
    assert "1.100 [1.100 1.100]" in report.line(out)

# SPDX-License-Identifier: BSD-3-Clause
"""The start benchmark's figures: medians and ratios of starts that are known, and its refusals."""

import json
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench/start"))

import report  # noqa: E402


def starts(row, **seconds):
    """Starts of one row: monitor -> seconds to init, round by round."""
    return [{"round": number, "row": row, "monitor": monitor.replace("_", "-"), "init": init, "ready": init + 1,
             "private_kib": 400 + number, "run": init + 0.5, "steps": {"spawn": 0.1 * (number + 1), "ram": 0.01}}
            for monitor, times in seconds.items() for number, init in enumerate(times)]


def summary(icount=None):
    wall = starts("plain", viaduct=[2, 4, 3], qemu_q35=[10, 5, 6]) + starts("vf", viaduct=[5, 5, 6], qemu_q35=[10, 20, 8])
    return report.summary({"host": {"qemu": "QEMU 1", "kernel": "6"}, "starts": wall}, icount)


def test_ratio_is_that_of_the_medians():
    out = summary()
    assert out["rounds"] == 3
    assert out["ratio"] == out["ratios"]["qemu-q35"] == 3 / 6
    assert out["paired"]["qemu-q35"] == [0.2, 0.5, 0.8]
    assert out["vf"]["ratio"] == 5 / 10
    assert out["medians"]["viaduct"] == {"init": 3, "ready": 4, "private_kib": 401}
    assert out["breakdown"] == {"spawn": 0.2, "ram": 0.01}
    assert out["private_kib"] == 402 and out["run"] == 3.5
    assert "icount" not in out


def test_deterministic_time_is_reported_beside_it():
    icount = {"host": {}, "starts": starts("vf", viaduct=[3, 3], qemu_q35=[4, 4], qemu_microvm=[6, 6])}
    out = summary(icount)
    assert out["icount"]["ratio"] == 3 / 4
    assert out["icount"]["ratios"] == {"qemu-q35": 3 / 4, "qemu-microvm": 1 / 2}
    text = report.text(out)
    assert "0.75 of it" in text and "deterministic" in text and "0.50 of it" in text
    json.dumps(out)


def test_starts_by_firmware_are_compared_by_the_kernels_entry():
    known = starts("firmware", viaduct=[8, 8], qemu_q35=[16, 10]) + starts("firmware-vf", viaduct=[9, 9], qemu_q35=[9, 9])
    for number, start in enumerate(known):
        start["entry"] = start["init"] / 2 + (4 if number >= 4 else 0)
    out = report.firmware_summary({"host": {"qemu": "QEMU 1", "kernel": "6"}, "starts": known})
    assert out["firmware"]["ratio"] == 4 / 6.5 and out["firmware"]["paired"] == [0.5, 0.65, 0.8]
    assert out["firmware-vf"]["ratio"] == 1 and out["firmware"]["medians"]["qemu-q35"]["entry"] == 6.5
    text = report.firmware_text(out)
    assert "0.62 of q35's time" in text and "with a VF: viaduct takes 1.00" in text


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--rounds", "many"], ["--what"]])
def test_bad_options_are_refused(words):
    done = subprocess.run([TOP / "bench/start.bench", *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "rounds" in done.stderr


def test_inner_part_runs_in_the_virtual_host_only():
    done = subprocess.run([TOP / "bench/start/inside.py", "--rounds", "1", "--rows", "plain"], capture_output=True,
                          text=True, check=False, timeout=60, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1 and "scripts/bench start" in done.stderr

# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/quickstart shows, as the README promises it."""

import json
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.host("quickstart")
def test_main_job(scratch):
    report = scratch / "report.json"
    done = subprocess.run([TOP / "scripts/mainjob", "--json", report], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    said = json.loads(report.read_text())
    assert said["pf"] == "pf0" and said["pf_address"] == "0000:01:00.0"
    assert re.fullmatch(r"0000:01:1\d\.\d", said["vf"]) and said["vf_id"].startswith("pf0#")
    assert said["iommu_group"] > 0
    assert said["dma_remapping"] is True and said["interrupt_remapping"] is True
    assert said["guest_driver"] == "igbvf" and said["guest_mac"].startswith("02:")
    assert said["ping_loss_percent"] == 0 and said["vf_interrupts"] > 0 and said["start_seconds"] > 0
    for key in ("guest_mac", "vf", "iommu_group"):
        assert str(said[key]) in done.stdout


@pytest.mark.host("quickstart")
def test_main_job_says_where_it_runs(scratch):
    """On a machine that is no virtual host it does nothing but say so."""
    env = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([TOP / "scripts/mainjob"], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 1 and "lab/run" in done.stderr

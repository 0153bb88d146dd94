# SPDX-License-Identifier: BSD-3-Clause
"""What every lab case relies on: where it runs, what it may write, and which host it got."""

import os
import pathlib

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_scratch_is_writable(scratch):
    (scratch / "note").write_text("kept")
    assert (scratch / "note").read_text() == "kept"


def test_programs_are_the_built_ones(build_dir):
    assert (build_dir / "build.ninja").exists()


def test_units_remap():
    assert any(pathlib.Path("/sys/kernel/iommu_groups").iterdir())


@pytest.mark.host("no-iommu")
def test_host_without_iommu_has_no_groups():
    groups = pathlib.Path("/sys/kernel/iommu_groups")
    assert not groups.exists() or not any(groups.iterdir())


@pytest.mark.outside
def test_outside_is_not_in_the_lab():
    assert "VIADUCT_LAB" not in os.environ

# SPDX-License-Identifier: BSD-3-Clause
"""The unit and component suites run most of vmm/ and iommu/; HACKING.md has the figure."""

import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.outside
@pytest.mark.timeout(3600)
def test_most_lines_are_run():
    done = subprocess.run([TOP / "scripts/coverage", "--check", "iommu", "vmm"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(done.stdout)
    assert done.returncode == 0

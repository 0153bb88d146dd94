# SPDX-License-Identifier: BSD-3-Clause
"""scripts/coverage: what it reads out of clang's report, and when --check fails."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from runner import builds, coverage  # noqa: E402
from runner.coverage import Lines  # noqa: E402


def lcov(name, *counts):
    rows = "".join(f"DA:{number},{count}\n" for number, count in counts)
    return f"SF:{name}\nFN:1,f\nFNDA:3,f\n{rows}LF:9\nend_of_record\n"


def test_lines_of_the_tree_are_read_and_those_of_others_are_not():
    text = (lcov(f"{builds.TOP}/build/coverage/../../vmm/a.c", (1, 0), (2, 3))
            + lcov("/usr/include/x.h", (1, 1)) + lcov(f"{builds.TOP}/vmm/b.h"))
    assert coverage.read_lcov(text) == {"vmm/a.c": {1: 0, 2: 3}}


def test_a_line_that_several_programs_have_counts_once():
    name = f"{builds.TOP}/vmm/a.c"
    lines = coverage.read_lcov(lcov(name, (1, 0), (2, 0)) + lcov(name, (1, 5), (2, 0)))
    assert coverage.sums(lines) == {"vmm/a.c": Lines(2, 1)}


def test_table_has_a_row_a_file_and_the_sum_of_each_folder():
    rows = list(coverage.table({"vmm/a.c": Lines(100, 50)},
                               {"vmm/a.c": Lines(100, 60), "vmm/b.c": Lines(100, 0), "cli/c.c": Lines(1, 1)},
                               ["vmm"]))
    assert [row.split() for row in rows[1:]] == [
        ["vmm/a.c", "100", "50.0%", "60.0%"], ["vmm/b.c", "0", "100.0%", "0.0%"],
        ["vmm/", "100", "50.0%", "30.0%"], []]


@pytest.mark.parametrize("vmm, iommu, low", [
    (85, 100, []), (84, 100, ["vmm/"]), (84, 84, ["iommu/", "vmm/"]), (100, None, ["iommu/"]),
])
def test_check_names_the_folders_that_are_too_low(vmm, iommu, low):
    files = {"vmm/a.c": Lines(100, vmm), **({"iommu/a.c": Lines(100, iommu)} if iommu else {})}
    assert [line.split(":")[0] for line in coverage.too_low(files)] == low


def test_missed_lines_are_shown_with_their_text():
    shown = coverage.missed("vmm/bus.c", {1: 0, 2: 1})
    assert shown == ["    1 // SPDX-License-Identifier: BSD-3-Clause"]

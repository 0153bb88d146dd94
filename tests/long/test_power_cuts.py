# SPDX-License-Identifier: BSD-3-Clause
"""The power is cut in every step of a VF's life, on one disk: at an acknowledgement and in the midst of the work."""

import pytest
from test_power_cut import cuts

CUTS = (["create"], ["create", "write", "3"], ["alloc", "pwrite64", "5"], ["alloc"], ["set", "sendto", "5"],
        ["set", "pwrite64", "5"], ["start"], ["start", "clone", "1"], ["stop", "write", "4"], ["stop"],
        ["release", "write", "2"], ["release"], ["destroy", "pwrite64", "7"], ["destroy"])


@pytest.mark.outside
@pytest.mark.timeout(1800)
def test_power_is_cut_in_every_step(tmp_path):
    cuts(tmp_path, CUTS, swap=range(0, len(CUTS), 3))

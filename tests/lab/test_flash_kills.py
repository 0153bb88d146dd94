# SPDX-License-Identifier: BSD-3-Clause
"""Firmware variables outlive a VMM that is killed while it stores them; 200 kills in tests/long."""

import pytest
from flashkit import storm


@pytest.mark.timeout(300)
def test_variables_outlive_6_kills(build_dir):
    storm(build_dir, 6)

# SPDX-License-Identifier: BSD-3-Clause
"""Firmware variables outlive 200 kills of the VMM that stores them, at each of its writes."""

import pytest
from flashkit import storm


@pytest.mark.timeout(3000)
def test_variables_outlive_200_kills(build_dir):
    storm(build_dir, 200)

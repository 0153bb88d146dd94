# SPDX-License-Identifier: BSD-3-Clause
"""viaductd killed in the midst of its work on real VFs, at more points of each step than tests/lab has time for."""

import pytest
from stormkit import storm


@pytest.mark.timeout(3000)
def test_killed_at_many_points_of_real_operations(daemon, ports, folder):
    storm(daemon, ports[0], folder, 12)

# SPDX-License-Identifier: BSD-3-Clause
"""A backend that is killed again and again under a transfer of two guests: each of its successors serves them on; more often in tests/long."""

import pytest
from polledkills import storm


@pytest.mark.host("polled")
@pytest.mark.timeout(600)
def test_a_backend_killed_five_times_under_a_transfer(folder):
    storm(folder, 1, 5)

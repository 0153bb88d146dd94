# SPDX-License-Identifier: BSD-3-Clause
"""viaductd is killed again and again in the midst of its work on real VFs; the next one makes ledger and
machine agree, and what was acknowledged is still there. tests/unit/vf-manager/test_crash.c kills at every
step, with fakes; here are the real files, sockets, devices and processes."""

import pytest
from stormkit import storm


@pytest.mark.timeout(400)
def test_killed_in_the_midst_of_real_operations(daemon, ports, folder):
    """Each step at one of its points; tests/long has more."""
    storm(daemon, ports[0], folder, 1)

# SPDX-License-Identifier: BSD-3-Clause
"""A machine that nobody here made: the release's own kernel. Stock Debian from its disk: tests/long/test_debian_long.py."""

import pytest
from labkit import Guest
from machinekit import debian_kernel, kernel_facts


@pytest.mark.timeout(300)
def test_the_releases_own_kernel_boots_directly(daemon, folder):
    """One row of the matrix of tests/long/test_kernels.py."""
    kernel, release = debian_kernel()
    with Guest(folder, "stock", cpus=2, memory="512M", kernel=kernel) as guest:
        facts = kernel_facts(guest)
        assert facts["release"] == release and facts["cpus"] == 2 and 430 < facts["mib"] <= 512
        assert facts["above_4g"] == 0 and not facts["complaints"]

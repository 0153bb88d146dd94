# SPDX-License-Identifier: BSD-3-Clause
"""Stock kernels of two Debians, with few and more vCPUs and RAM on one side or both sides of the PCI hole.

One row of it is run every day: tests/lab/test_debian.py."""

import pytest
from machinekit import debian_kernel, kernel_facts
from labkit import Guest
from operate.host import guest_kernel

MEMORY = {"256M": 256, "1G": 1024, "3G": 3072, "6G": 6144}


@pytest.mark.host("large")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_kernel_boots(daemon, folder, kernel, cpus, memory):
    file, release = debian_kernel() if kernel == "6.1" else (guest_kernel(), kernel)
    with Guest(folder, "matrix", cpus=cpus, memory=memory, kernel=file) as guest:
        facts = kernel_facts(guest)
        assert facts["release"].startswith(release) and facts["cpus"] == cpus
        # What the kernel keeps for itself: its image and tables (51 MiB of 256), and some percent of much memory.
        assert MEMORY[memory] - max(60, MEMORY[memory] // 10) < facts["mib"] <= MEMORY[memory]
        assert (facts["above_4g"] > 0) == (MEMORY[memory] > 2816)
        assert not facts["complaints"]

# SPDX-License-Identifier: BSD-3-Clause
"""The virtual hosts that lab cases run in: name -> options of lab/run.

A case says @pytest.mark.host("no-iommu"); without a mark it runs in "default". All cases of one
host share one boot, so each must leave the host as it found it.
"""

HOSTS = {
    "default": [],
    "no-iommu": ["--no-iommu"],
    "no-intremap": ["--no-intremap"],
    # The administrator's override, which viaduct must refuse all the same.
    "unsafe-interrupts": [
        "--no-intremap", "--boot-arg", "vfio_iommu_type1.allow_unsafe_interrupts=1",
    ],
    # What an audit of the remapping tables takes, and what forbids it.
    "iomem-relaxed": ["--boot-arg", "iomem=relaxed"],
    "locked-down": ["--boot-arg", "lockdown=confidentiality"],
    "numa": ["--numa", "2"],
    # A fresh host for the whole story of scripts/quickstart.
    "quickstart": [],
    # Its daemon has uplinks, for which it takes the 82574Ls.
    "polled": ["--second-nic"],
    # systemd is PID 1 there, for what its units promise.
    "systemd": ["--systemd"],
    # Guests that do everything wrong meet the emulator's own faults, and then their host is gone:
    # nobody else's cases go with it.
    "hostile": [],
    # Debian's kernels have no iommufd. Its first boot builds one: for cases of the long suite.
    "iommufd": ["--kernel", "iommufd", "--boot-arg", "iomem=relaxed"],
    # For guests with RAM on both sides of the PCI hole; its VFs may be dead (lab/README.md).
    "large": ["--mem", "9G"],
    # Deterministic time: for figures that must not depend on the machine's mood.
    "icount": ["--icount"],
    # The same with a processor that has nothing to do but what is pinned to it: for what polls.
    "polling": ["--icount", "--cpus", "2", "--boot-arg", "isolcpus=1", "--boot-arg", "nohz_full=1", "--boot-arg", "rcu_nocbs=1",
                "--boot-arg", "irqaffinity=0"],
}

DEFAULT = "default"

# Hosts that nothing runs beside: all of their processors are busy all the time, and an emulator that waits for processors dies more
# often (HACKING.md, Traps).
ALONE = {"polled", "hostile"}

# How often a host is booted that ends with this status of lab/run before its cases have, when that happens more often than
# elsewhere. In deterministic time a host could stand until its time-out (124): what it stood for is mended in the emulator
# (lab/emulator/mend.c), but a machine whose emulator the mend does not fit still has it.
BOOTS = {"hostile": {125: 6}, "icount": {124: 2, 125: 3}}

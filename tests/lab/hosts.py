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
    "numa": ["--numa", "2"],
    # A fresh host for the whole story of scripts/quickstart.
    "quickstart": [],
    # systemd is PID 1 there, for what its units promise.
    "systemd": ["--systemd"],
    # Deterministic time: for figures that must not depend on the machine's mood.
    "icount": ["--icount"],
}

DEFAULT = "default"

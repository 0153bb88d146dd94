# SPDX-License-Identifier: BSD-3-Clause
"""Machines that nobody here made: the release's own kernel, and stock Debian from a disk. By firmware: tests/long/test_debian_long.py."""

import time

import pytest
from labkit import Guest, mac_of
from machinekit import Machine, debian_kernel, kernel_facts, uses_network

COMPLAINTS = "EXT4-fs.*(error|recovery)|I/O error|BIOS bug|ACPI.*error|lockup"


def has_its_disk(vm):
    disk = vm.show()["disks"][0]
    assert disk["name"] == "root" and disk["vmm"]["backend"] == "connected" and disk["vmm"]["reconnects"] == 0
    assert not vm.run("systemctl --failed --no-legend").strip()
    assert not vm.run(f"dmesg | grep -iE '{COMPLAINTS}' || true").strip()


@pytest.mark.timeout(900)
def test_debian_from_its_disk_with_a_vf(pf, far, folder):
    """To login, on the network, through a reboot and a power off; what was written stays."""
    begin = time.monotonic()
    with Machine("debian", cpus=2, ports=[f'name: wan, pf: "{pf}", mac: "{mac_of(9)}"'], by_firmware=False) as vm:
        vm.start()
        vm.login()
        print(f"login after {time.monotonic() - begin:.1f} s")
        assert vm.run("nproc").strip() == "2" and vm.run("uname -r").strip() == debian_kernel()[1]
        uses_network(vm, 9)
        vm.run("echo kept >/var/tmp/mark; sync")
        begin = time.monotonic()
        vm.send("reboot")
        vm.login()
        print(f"login again {time.monotonic() - begin:.1f} s after `reboot`")
        assert vm.run("cat /var/tmp/mark") == "kept\n"
        has_its_disk(vm)
        assert vm.power_off()["reason"] == "poweroff"


@pytest.mark.timeout(300)
def test_the_releases_own_kernel_boots_directly(daemon, folder):
    """One row of the matrix of tests/long/test_kernels.py."""
    kernel, release = debian_kernel()
    with Guest(folder, "stock", cpus=2, memory="512M", kernel=kernel) as guest:
        facts = kernel_facts(guest)
        assert facts["release"] == release and facts["cpus"] == 2 and 430 < facts["mib"] <= 512
        assert facts["above_4g"] == 0 and not facts["complaints"]

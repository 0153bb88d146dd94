# SPDX-License-Identifier: BSD-3-Clause
"""Stock Debian from its disk: its kernel started directly, and by the firmware of two releases and GRUB, whose menu answers on the serial port."""

import time

import pytest
from labkit import mac_of
from machinekit import Machine, debian_kernel, set_firmware, stock_debian, uses_network

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


@pytest.mark.host("icount")
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("release", ("this", "next"))
def test_debian_by_firmware(daemon, pf, far, release):
    with set_firmware(daemon, release):
        stock_debian(pf, 11 if release == "this" else 12)

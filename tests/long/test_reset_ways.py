# SPDX-License-Identifier: BSD-3-Clause
"""A guest resets itself by every way that Linux knows: eighteen boots of one VM."""

import pathlib

import pytest
from labkit import Guest, cli
from test_vm_life import BOOT_S, send

RUN = pathlib.Path("/run/viaduct/vm")
# How a guest of Linux resets itself, and by what the VMM notices. By the reset vector (bios, and efi, which falls
# through to it) it comes to a few instructions that the VMM has put there: port 0x92.
BY_TYPE = {"acpi": "port-cf9", "kbd": "port-64", "triple": "triple-fault", "pci": "port-cf9",
           "efi": "port-92", "bios": "port-92"}
WAYS = [(f"echo {word} >/sys/kernel/reboot/type; reboot -f", cause) for word, cause in BY_TYPE.items()]
WAYS += [
    ("echo b >/proc/sysrq-trigger", "port-cf9"),
    ("echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger", "port-cf9"),
    (r"printf '\001' | dd of=/dev/port bs=1 seek=146", "port-92"),
]


@pytest.mark.timeout(900)
def test_reset_by_every_way_twice(daemon, folder):
    """Two resets in a row by each, with two vCPUs; what was counted and said is right."""
    with Guest(folder, "again", cpus=2, memory="256M", extra=["on_panic: keep"]) as guest:
        expected = {}
        for command, cause in WAYS:
            for _ in range(2):
                send(guest, command)
                guest.console.wait_ready(BOOT_S)
                expected[cause] = expected.get(cause, 0) + 1
                assert guest.show()["life"]["resets"] == expected, command
        assert guest.run("grep -c ^processor /proc/cpuinfo").strip() == "2"
        life = guest.show()["life"]
        assert life["panics"] == 2 and life["panicked_at"] <= life["reset_at"]
        text = cli("vm", "show", "again")
        assert "18 (8 port 0xCF9, 2 port 0x64, 6 port 0x92, 2 triple fault), last at 20" in text, text
        log = (RUN / "again/vmm.log").read_text()
        assert log.count("the guest is reset: ") == 18 and log.count("kernel panicked") == 2

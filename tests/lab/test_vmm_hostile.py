# SPDX-License-Identifier: BSD-3-Clause
"""Guests that work against their VMM: it goes on answering, and a reset puts the board in order again."""

from test_vmm import CMDLINE, boot, end_of, images, vmm  # noqa: F401

CONFIG = "/sys/bus/pci/devices/0000:00:{}/config"


def config_write(device, off, value):
    """A shell command of the guest that writes one dword of configuration space."""
    text = "".join(f"\\{byte:03o}" for byte in value.to_bytes(4, "little"))
    return f"printf '{text}' | dd of={CONFIG.format(device)} bs=4 seek={off // 4} conv=notrunc 2>/dev/null"


def test_guest_that_moves_its_board_about(vmm, images):  # noqa: F811
    """Power management onto COM1's ports, ECAM onto RAM: nothing of it decodes, and the guest resets."""
    _, console = boot(vmm, images, cpus=2, cmdline=f"{CMDLINE} reboot=triple")
    for turn in range(2):
        begin = len(console.seen)
        console.write(f"{config_write('1f.0', 0x40, 0x381)}; {config_write('00.0', 0x60, 1)}; echo moved $((1 + 1))\n")
        assert console.wait("moved 2", 60, begin), console.seen[begin:]
        assert vmm.request("status")["state"] == "running"
        begin = len(console.seen)
        console.write("reboot -f\n")
        assert console.wait("script runs", 150, begin), console.seen[begin:]
        assert vmm.request("status")["guest_resets"] == turn + 1
    console.write("poweroff -f\n")
    assert end_of(vmm)["reason"] == "poweroff"


def test_guest_that_does_nothing_but_exits(vmm, images):  # noqa: F811
    """Each vCPU reads ports without end, the clock's among them; requests are answered all the same."""
    _, console = boot(vmm, images, cpus=2)
    begin = len(console.seen)
    console.write("[ -c /dev/port ] || mknod /dev/port c 1 4\n")
    for first in (0x70, 0x1000):
        console.write(f"(while :; do dd if=/dev/port of=/dev/null bs=2 skip={first // 2} count=1 2>/dev/null;"
                      " dd if=/dev/port of=/dev/null bs=4096 skip=1 count=8 2>/dev/null; done) &\n")
    console.write("echo storm $((2 + 3))\n")
    assert console.wait("storm 5", 60, begin), console.seen[begin:]
    before = vmm.request("status")["exits"]["io"]
    for _ in range(20):
        assert vmm.request("pause")["state"] == "paused"
        assert vmm.request("resume")["state"] == "running"
    assert vmm.request("status")["exits"]["io"] > before
    assert vmm.request("kill") == {}
    assert end_of(vmm)["reason"] == "killed"

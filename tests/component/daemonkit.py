# SPDX-License-Identifier: BSD-3-Clause
"""What the daemon's cases share: a host made of files, and a VM file for it."""

import pathlib

HERE = pathlib.Path(__file__).resolve().parent
FAKE_VMM = HERE / "fake_vmm.py"
MACHINE = "0000:01:00.0"


def kernel_make(path):
    """A file that looks like a bzImage to who only looks at its head."""
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    path.write_bytes(head)
    return path


def pf_make(sysfs, address=MACHINE, total=4):
    """A PF without a network device: its VFs have no attributes to set."""
    fn = sysfs / "bus/pci/devices" / address
    fn.mkdir(parents=True)
    for name, text in {
        "vendor": "0x8086", "device": "0x10c9", "subsystem_vendor": "0x0000",
        "subsystem_device": "0x0000", "class": "0xff0000", "revision": "0x01",
        "numa_node": "-1", "sriov_totalvfs": str(total), "sriov_numvfs": "0",
        "sriov_drivers_autoprobe": "1", "resource": "", "driver_override": "(null)",
    }.items():
        (fn / name).write_text(text + "\n")
    (fn / "config").write_bytes(bytes(256))
    return fn


def setup(daemon, folder):
    """Points a stopped daemon at a fake host; returns the folder of the fake /sys."""
    sysfs, dev = folder / "host/sys", folder / "dev"
    (sysfs / "bus/pci/devices").mkdir(parents=True)
    (sysfs / "bus/pci/drivers/vfio-pci").mkdir(parents=True)
    dev.mkdir()
    (dev / "kvm").touch()
    daemon.args = ["--sysfs", str(sysfs), "--dev", str(dev), "--vmm-path", str(FAKE_VMM)]
    kernel_make(folder / "kernel")
    return sysfs


def vm_yaml(folder, name="vm1", cmdline="", extra=""):
    return (f"name: {name}\nmemory: {{size: 64M}}\n"
            f"boot: {{kernel: {folder}/kernel, cmdline: \"{cmdline}\"}}\n{extra}")

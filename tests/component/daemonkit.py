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


def cpus_make(sysfs):
    """Eight CPUs on two nodes, two threads a core (0-1, 2-3, ...); node 1 has little memory."""
    system = sysfs / "devices/system"
    files = {"cpu/online": "0-7", "cpu/isolated": "2-3,6-7", "node/online": "0-1"}
    for cpu in range(8):
        files[f"cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu & ~1}-{cpu | 1}"
    for node, free_kib, pages in ((0, 1 << 20, 64), (1, 16 << 10, 8)):
        base = f"node/node{node}"
        files[f"{base}/cpulist"] = f"{4 * node}-{4 * node + 3}"
        files[f"{base}/meminfo"] = (
            f"Node {node} MemTotal: 8388608 kB\nNode {node} MemFree: {free_kib} kB\n"
            f"Node {node} Active(file): 8192 kB\nNode {node} Inactive(file): 4096 kB\n"
            f"Node {node} SReclaimable: 4096 kB")
        files[f"{base}/hugepages/hugepages-2048kB/free_hugepages"] = str(pages)
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text + "\n")


def setup(daemon, folder):
    """Points a stopped daemon at a fake host; returns the folder of the fake /sys."""
    sysfs, dev = folder / "host/sys", folder / "dev"
    (sysfs / "bus/pci/devices").mkdir(parents=True)
    (sysfs / "bus/pci/drivers/vfio-pci").mkdir(parents=True)
    dev.mkdir()
    cpus_make(sysfs)
    (dev / "kvm").touch()
    daemon.args = ["--sysfs", str(sysfs), "--dev", str(dev), "--vmm-path", str(FAKE_VMM)]
    kernel_make(folder / "kernel")
    return sysfs


def vm_yaml(folder, name="vm1", cmdline="", extra=""):
    return (f"name: {name}\nmemory: {{size: 64M}}\n"
            f"boot: {{kernel: {folder}/kernel, cmdline: \"{cmdline}\"}}\n{extra}")

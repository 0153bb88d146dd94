# SPDX-License-Identifier: BSD-3-Clause
"""Facts of the host, read without viaduct: the second source that its own words are held against."""

import functools
import os
import pathlib
import re
import subprocess

from operate import OperateError
from operate.viaduct import TOP

NET = pathlib.Path("/sys/class/net")


def igb_ports():
    """Network devices of the 82576 PFs, by PCI address: pf0, pf1 of lab/ctl."""
    found = []
    for dev in NET.iterdir():
        pci = dev / "device"
        if (pci / "sriov_totalvfs").exists() and (pci / "driver").resolve().name == "igb":
            found.append((pci.resolve().name, dev.name))
    return [name for _, name in sorted(found)]


def kvm_holders():
    """{pid: program} of the processes that hold a KVM virtual machine's fd."""
    found = {}
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            for fd in (proc / "fd").iterdir():
                if os.readlink(fd) == "anon_inode:kvm-vm":
                    found[int(proc.name)] = os.path.basename(os.readlink(proc / "exe"))
        except OSError:
            continue  # The process ended meanwhile.
    return found


def vf_facts(vf):
    """What sysfs says of a VF: its PF, driver, IOMMU group, and whether a remapping unit serves it."""
    path = pathlib.Path("/sys/bus/pci/devices") / vf
    return {"pf": (path / "physfn").resolve().name, "driver": (path / "driver").resolve().name,
            "group": int((path / "iommu_group").resolve().name),
            "remapped": any(pathlib.Path("/sys/class/iommu").glob(f"*/devices/{vf}"))}


def holds_group(pid, group):
    """True if the process has the VFIO group's file open."""
    return any(os.readlink(fd) == f"/dev/vfio/{group}" for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())


def host_irqs(vf):
    """(sum of the host's counts, chip) of the vfio-msix interrupts of a VF."""
    total, chip, lines = 0, "", 0
    for line in pathlib.Path("/proc/interrupts").read_text().splitlines():
        if re.search(rf"vfio-msix\[\d+\]\({re.escape(vf)}\)", line):
            words = line.split()[1:]
            counts = [w for w in words if w.isdigit()]
            total += sum(int(w) for w in counts[:os.cpu_count()])
            chip = next(w for w in words if not w.isdigit())
            lines += 1
    if not lines:
        raise OperateError(f"/proc/interrupts has no vfio-msix line of {vf}")
    return total, chip


@functools.cache  # a start of Python takes a second there
def guest_kernel(kind="bzimage"):
    """A guest's kernel, "bzimage" or "vmlinux", as lab/setup-cache made it; no symbolic link."""
    done = subprocess.run([str(TOP / "lab/setup-cache"), "--print", kind], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise OperateError(f"no guest kernel: {done.stderr.strip()}")
    return pathlib.Path(done.stdout.strip()).resolve()

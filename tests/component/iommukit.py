# SPDX-License-Identifier: BSD-3-Clause
"""An IOMMU for the host made of files: a unit, groups, bridges with ACS, a DMAR table of the test's own."""

import struct

UNIT = "dmar0"
REGISTERS = 0xFED90000
CAP, ECAP = 0x8D2078C106F0466, 0xF020DF
PORT = "0000:00:1c.0"
ACS_ALL = 0x1D  # SrcValid, ReqRedir, CmpltRedir, UpstreamFwd


def scope(kind, bus, *path):
    flat = bytes(b for hop in path for b in hop)
    return struct.pack("<BBBBBB", kind, 6 + len(flat), 0, 0, 0, bus) + flat


def drhd(base=REGISTERS, flags=1, scopes=b""):
    return struct.pack("<HHBBHQ", 0, 16 + len(scopes), flags, 0, 0, base) + scopes


def rmrr(first, last, scopes):
    return struct.pack("<HHHHQQ", 1, 24 + len(scopes), 0, 0, first, last) + scopes


def dmar(*structures):
    body = b"".join(structures)
    table = bytearray(b"DMAR" + struct.pack("<I", 48 + len(body)) + b"\1\0VIADCTHANDMADE" + bytes(12) + bytes([38, 1])
                      + bytes(10) + body)
    table[9] = -sum(table) & 255
    return bytes(table)


def port_config(acs=ACS_ALL):
    """Configuration space of a root port; acs None: it has none."""
    space = bytearray(4096)
    space[0:4] = b"\x86\x80\x34\x12"
    space[0x06] = 0x10
    space[0x0E] = 1
    space[0x34] = 0x40
    space[0x40:0x44] = bytes([0x10, 0, 0x42, 0])
    if acs is not None:
        struct.pack_into("<IHH", space, 0x100, 0x0001000D, 0x7F, acs)
    return bytes(space)


def msi_config():
    """Of an endpoint that has MSI and nothing else."""
    space = bytearray(256)
    space[0x06] = 0x10
    space[0x34] = 0x40
    space[0x40] = 5
    return bytes(space)


def bridge_make(sysfs, address=PORT, buses=(1, 1), acs=ACS_ALL):
    fn = sysfs / "bus/pci/devices" / address
    fn.mkdir()
    for name, text in {"vendor": "0x8086", "device": "0x1234", "subsystem_vendor": "0", "subsystem_device": "0",
                       "class": "0x060400", "revision": "0x01", "numa_node": "-1", "resource": "",
                       "secondary_bus_number": buses[0], "subordinate_bus_number": buses[1]}.items():
        (fn / name).write_text(f"{text}\n")
    (fn / "config").write_bytes(port_config(acs))
    return fn


def group_set(sysfs, address, number, regions="0xfee00000 0xfeefffff msi\n"):
    fn, group = sysfs / "bus/pci/devices" / address, sysfs / "kernel/iommu_groups" / str(number)
    (group / "devices").mkdir(parents=True, exist_ok=True)
    (group / "devices" / address).symlink_to(fn)
    (group / "reserved_regions").write_text(regions)
    (fn / "iommu_group").symlink_to(group)
    (fn / "iommu").symlink_to(sysfs / "class/iommu" / UNIT)
    (sysfs / "class/iommu" / UNIT / "devices" / address).symlink_to(fn)


def interrupts_set(sysfs, remapped=True):
    proc = sysfs.parent / "proc"
    proc.mkdir(exist_ok=True)
    (proc / "interrupts").write_text(f"  1:  9  {'IR-' if remapped else ''}IO-APIC  1-edge  i8042\n")


def unsafe_set(sysfs, text="Y"):
    folder = sysfs / "module/vfio_iommu_type1/parameters"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "allow_unsafe_interrupts").write_text(text + "\n")


def dmar_set(sysfs, table):
    folder = sysfs / "firmware/acpi/tables"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "DMAR").write_bytes(table)


def setup(sysfs, pf=None):
    """One unit in charge of everything; the PF behind a root port, in a group of its own (VFs then need one, too)."""
    unit = sysfs / "class/iommu" / UNIT
    (unit / "intel-iommu").mkdir(parents=True)
    (unit / "devices").mkdir()
    for name, text in {"address": f"{REGISTERS:x}", "cap": f"{CAP:x}", "ecap": f"{ECAP:x}", "version": "1:0",
                       "domains_supported": "65536", "domains_used": "3"}.items():
        (unit / "intel-iommu" / name).write_text(text + "\n")
    bridge_make(sysfs)
    group_set(sysfs, PORT, 1)
    if pf is not None:
        group_set(sysfs, pf, 7)
    interrupts_set(sysfs)
    (sysfs.parent / "proc/cpuinfo").write_text("flags\t\t: fpu vmx ept vpid\nvmx flags\t: posted_intr\n")
    dmar_set(sysfs, dmar(drhd()))

# SPDX-License-Identifier: BSD-3-Clause
"""A host made of files: PFs with their VFs, as /sys shows them. No driver stands behind it, so a change of
the VF count shows or hides VFs that are there all the time."""

import pathlib

COMMAND = 0x04  # of configuration space
PF_CONFIG = bytes(256)


def _function(folder, files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    (folder / "config").write_bytes(PF_CONFIG)


def _ids(device, numa):
    return {"vendor": "0x8086", "device": device, "subsystem_vendor": "0x0000", "subsystem_device": "0x0000",
            "class": "0xff0000", "revision": "0x01", "numa_node": str(numa), "resource": "",
            "driver_override": "(null)"}


def _address(pf, vf=None):
    """PF n is function 0 of bus n + 1; its VFs follow on the same bus, from device 16 on."""
    at = 0 if vf is None else 128 + vf
    return f"0000:{pf + 1:02x}:{at >> 3:02x}.{at & 7}"


def build(sysfs, pfs, vfs, numa_nodes=1):
    """Below `sysfs`: that many PFs with up to that many VFs each (at most 64 of 64). Returns the PFs' addresses."""
    assert pfs <= 64 and vfs <= 64
    devices = pathlib.Path(sysfs) / "bus/pci/devices"
    (sysfs / "bus/pci/drivers/vfio-pci").mkdir(parents=True)
    (sysfs / "bus/pci/drivers_probe").touch()
    addresses = []
    for p in range(pfs):
        pf = devices / _address(p)
        node = p * numa_nodes // pfs if numa_nodes > 1 else -1
        _function(pf, {**_ids("0x10c9", node), "sriov_totalvfs": str(vfs), "sriov_numvfs": "0",
                       "sriov_drivers_autoprobe": "1"})
        for v in range(vfs):
            vf = devices / _address(p, v)
            _function(vf, {**_ids("0x10ca", node), "reset": "", "reset_method": "flr"})
            (vf / "physfn").symlink_to(f"../{pf.name}")
            (pf / f"virtfn{v}").symlink_to(f"../{vf.name}")
        addresses.append(pf.name)
    return addresses

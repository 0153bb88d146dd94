# SPDX-License-Identifier: BSD-3-Clause
"""Builds the initramfs of the virtual host and the base initramfs of its guests."""

import os
import subprocess

from vlab import LabError
from vlab.cpio import Archive

BUSYBOX = "/bin/busybox"

# What the host needs before its root file system is there, and what it loads beside that.
HOST_ROOT_MODULES = ["9pnet_virtio", "9p", "overlay"]
HOST_MODULES = ["igb", "igbvf", "e1000e", "nvme", "vfio_pci", "vfio_iommu_type1", "kvm_amd",
                "kvm_intel", "virtio_net", "vhost_net", "vhost_vsock", "tun"]
# guest/init knows which device wants which.
GUEST_MODULES = ["button", "evdev", "igbvf", "virtio_net", "virtio_blk", "virtio_console", "virtio_rng",
                 "vmw_vsock_virtio_transport", "nvme", "e1000e",
                 "pvpanic_mmio", "lpc_ich", "iTCO_wdt", "8021q"]


def _add_busybox(archive):
    try:
        with open(BUSYBOX, "rb") as f:
            data = f.read()
        applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise LabError(f"{BUSYBOX}: {e}; run: apt-get install busybox-static") from e
    archive.add_file("bin/busybox", data, 0o755)
    for applet in applets.stdout.split():
        if applet != "busybox":
            archive.add_symlink(f"bin/{applet}", "busybox")


def _add_modules(archive, kernel, names, folder, loaded=()):
    listed = []
    for name, data in kernel.modules(names):
        if name in loaded:
            continue
        archive.add_file(f"{folder}/{name}.ko", data)
        listed.append(name)
    archive.add_file(f"{folder}/order", "".join(n + "\n" for n in listed).encode())
    return listed


def _add_base(archive):
    for path in ("proc", "sys", "dev", "run", "tmp", "root", "etc"):
        archive.add_dir(path)
    archive.add_symlink("sbin", "bin")
    archive.add_chardev("dev/console", 5, 1)
    _add_busybox(archive)


def _add_text(archive, path, source, mode):
    with open(source, "rb") as f:
        archive.add_file(path, f.read(), mode)


def host_initramfs(kernel, lab_dir):
    archive = Archive()
    _add_base(archive)
    root = _add_modules(archive, kernel, HOST_ROOT_MODULES, "modules/root")
    _add_modules(archive, kernel, HOST_MODULES, "modules/host", root)
    _add_text(archive, "init", os.path.join(lab_dir, "host", "init"), 0o755)
    for name in ("agent", "systemd"):
        _add_text(archive, f"viaduct-lab/{name}", os.path.join(lab_dir, "host", name), 0o755)
    return archive.to_bytes()


def guest_initramfs(kernel, lab_dir):
    archive = Archive()
    _add_base(archive)
    for module in GUEST_MODULES:
        order = kernel.modules([module])
        for name, data in order:
            archive.add_file(f"modules/{name}.ko", data)
        archive.add_file(f"modules/{module}.order", "".join(n + "\n" for n, _ in order).encode())
    _add_text(archive, "init", os.path.join(lab_dir, "guest", "init"), 0o755)
    return archive.to_bytes()

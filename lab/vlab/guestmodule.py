# SPDX-License-Identifier: BSD-3-Clause
"""igb_uio for the guests' kernel: DPDK's drivers of VFs want it in a guest, where vfio-pci finds no IOMMU.

Built from Debian's source package against the headers of just that kernel, both unpacked for it and thrown away."""

import glob
import os
import shutil
import subprocess
import tempfile

from vlab import LabError

SOURCE = "dpdk-kmods-dkms"


def path(cache):
    """Where it is, or will be; cache: with a kernel."""
    return os.path.join(cache.dir, f"igb_uio-{cache.kernel().release}.ko")


def ensure(cache, say):
    """Fetches and builds, once for each kernel."""
    target = path(cache)
    if os.path.exists(target):
        return
    release = cache.kernel().release
    say(f"building igb_uio for kernel {release}")
    with tempfile.TemporaryDirectory(dir=cache.dir) as work:
        version = release.rpartition("-")[0]
        for package in (SOURCE, f"linux-headers-{release}", f"linux-headers-{version}-common", f"linux-kbuild-{version}"):
            _unpack(package, work)
        headers = os.path.join(work, f"usr/src/linux-headers-{release}")
        _settle(headers, os.path.join(work, f"usr/src/linux-headers-{version}-common"))
        source = glob.glob(os.path.join(work, "usr/src/dpdk-kmods-*"))[0]
        _command(["make", "-s", "-C", headers, f"M={source}", "modules"])
        module = os.path.join(source, "igb_uio.ko")
        _command(["strip", "-g", module])
        shutil.copy(module, target + ".new")
        os.replace(target + ".new", target)


def _unpack(package, work):
    _command(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], work)
    debs = glob.glob(os.path.join(work, "*.deb"))
    if len(debs) != 1:
        raise LabError(f"apt-get download {package} left {len(debs)} packages, expected 1")
    _command(["dpkg-deb", "-x", debs[0], work])
    os.unlink(debs[0])


def _settle(headers, common):
    """They are not where they were built for. Without the vmlinux no BTF is made, for which another program would be needed."""
    with open(os.path.join(headers, "Makefile"), "w", encoding="utf-8") as f:
        f.write(f"include {common}/Makefile\n")
    if os.path.exists(os.path.join(headers, "vmlinux")):
        os.unlink(os.path.join(headers, "vmlinux"))


def _command(argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()[-2000:] or done.returncode}")

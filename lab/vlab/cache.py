# SPDX-License-Identifier: BSD-3-Clause
"""The cache folder: an unpacked Debian kernel and the images made from it.

Nothing of it is installed on the machine. Layout, below VIADUCT_CACHE_DIR (/var/cache/viaduct)/lab:
  kernel/            the versioned linux-image package, unpacked, with modules.dep
  kernel/vmlinux     its ELF kernel
  images-HASH/       what was made from the kernel and from sources with that hash, so that several
                     checkouts on one machine do not rebuild each other's:
    host.cpio        initramfs of the virtual host (lab/run appends the job to a copy)
    guest.cpio       base initramfs of guests (lab/guest-image appends a script to a copy)
Below lab-NAME, for a host with the kernel of lab/kernels/NAME.config: kernel/ and images-HASH/host.cpio.
"""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess

from vlab import LabError, images, kernelbuild
from vlab.kernel import Kernel

LAB_DIR = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
KERNEL_PACKAGE = re.compile(r"linux-image-6\.12\.[0-9.]+\+deb[0-9.]+-amd64$")
SOURCES = ["vlab/cpio.py", "vlab/kernel.py", "vlab/images.py", "vlab/cache.py", "host/init",
           "host/agent", "host/systemd", "guest/init"]


KEEP_IMAGES = 4  # of other checkouts, or of older sources


class Cache:
    def __init__(self, kernel_name=None):
        """kernel_name: of lab/kernels, built from source; None: Debian's."""
        base = os.environ.get("VIADUCT_CACHE_DIR", "/var/cache/viaduct")
        self.kernel_name = kernel_name
        self.dir = os.path.join(os.path.realpath(base), f"lab-{kernel_name}" if kernel_name else "lab")
        self.kernel_root = self.path("kernel")
        self.vmlinux = self.path("kernel/vmlinux")

    def path(self, name):
        return os.path.join(self.dir, name)

    def kernel(self):
        return Kernel(self.kernel_root)

    # Only once ensure() has returned.
    @property
    def bzimage(self):
        return self.kernel().bzimage

    @property
    def host_cpio(self):
        return os.path.join(self._images(), "host.cpio")

    @property
    def guest_cpio(self):
        return os.path.join(self._images(), "guest.cpio")

    def is_current(self):
        try:
            return self._has_kernel() and os.path.exists(self.vmlinux) and os.path.isdir(self._images())
        except OSError:
            return False

    def _has_kernel(self):
        """One that was built from another configuration is none."""
        if not os.path.exists(self.path("kernel/complete")):
            return False
        return not self.kernel_name or _read(self.path("kernel/complete")) == self._recipe()

    def _recipe(self):
        return kernelbuild.PACKAGE.encode() + b"\n" + _read(kernelbuild.config_path(self.kernel_name))

    def ensure(self, refresh=False, say=lambda text: None):
        """Build what is missing or stale. Safe to call from several processes at once."""
        if not refresh and self.is_current():
            return
        try:
            os.makedirs(self.dir, exist_ok=True)
            lock = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise LabError(f"lab cache {self.dir}: {e.strerror}; run as root: lab/setup-cache, "
                           "or set VIADUCT_CACHE_DIR to a folder of your own") from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if refresh or not self.is_current():
                self._build(refresh, say)
        finally:
            os.close(lock)

    def _build(self, refresh, say):
        if refresh or not self._has_kernel():
            self._take_kernel(say)
        kernel = self.kernel()
        if not os.path.exists(self.vmlinux):
            kernel.extract_vmlinux(self.vmlinux + ".new")
            os.replace(self.vmlinux + ".new", self.vmlinux)
        images_dir = self._images()
        if os.path.isdir(images_dir):
            return
        say(f"building images for kernel {kernel.release}")
        new = self.path("images.new")
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        _write(os.path.join(new, "host.cpio"), images.host_initramfs(kernel, LAB_DIR))
        if not self.kernel_name:
            _write(os.path.join(new, "guest.cpio"), images.guest_initramfs(kernel, LAB_DIR))
        os.rename(new, images_dir)
        self._drop_old(images_dir)

    def _drop_old(self, keep):
        """An image that a host boots from may go: it is read once, at the start."""
        others = [d for d in glob.glob(self.path("images-*")) if d != keep]
        for path in sorted(others, key=os.path.getmtime)[:-KEEP_IMAGES]:
            shutil.rmtree(path, ignore_errors=True)

    def _take_kernel(self, say):
        work = self.path("kernel.new")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        if self.kernel_name:
            kernelbuild.build(self.kernel_name, work, _command, say)
            complete = self._recipe()
        else:
            complete = _fetch_kernel(work, say).encode()
        _write(os.path.join(work, "complete"), complete)
        shutil.rmtree(self.kernel_root, ignore_errors=True)
        os.rename(work, self.kernel_root)

    def _images(self):
        """Folder of the images of these sources and this kernel. OSError without a kernel."""
        digest = hashlib.sha256()
        files = [os.path.join(LAB_DIR, name) for name in SOURCES]
        for path in files + [self.path("kernel/complete")]:
            with open(path, "rb") as f:
                digest.update(f.read() + b"\0")
        info = os.stat(images.BUSYBOX)
        digest.update(f"{info.st_size} {info.st_mtime_ns}".encode())
        return self.path(f"images-{digest.hexdigest()[:16]}")


def _fetch_kernel(work, say):
    """Debian's kernel package, unpacked; returns its name."""
    package = os.environ.get("VIADUCT_LAB_KERNEL") or _newest_kernel_package()
    say(f"fetching {package}")
    _command(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], work)
    debs = glob.glob(os.path.join(work, "*.deb"))
    if len(debs) != 1:
        raise LabError(f"apt-get download {package} left {len(debs)} packages, expected 1")
    _command(["dpkg-deb", "-x", debs[0], work])
    os.unlink(debs[0])
    kernel = Kernel(work)
    if not os.path.isdir(os.path.join(work, "lib")):
        os.symlink("usr/lib", os.path.join(work, "lib"))
    _command(["/sbin/depmod", "-b", work, kernel.release])
    return package


def _newest_kernel_package():
    names = subprocess.run(["apt-cache", "pkgnames", "linux-image-6.12."], stdout=subprocess.PIPE,
                           check=True, text=True).stdout.split()
    names = [n for n in names if KERNEL_PACKAGE.match(n) and _has_candidate(n)]
    if not names:
        raise LabError("apt knows no linux-image-6.12.*-amd64 package; add the release's backports "
                       "to the apt sources (scripts/setup does) and run: apt-get update")
    return max(names, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])


def _has_candidate(package):
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", package],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return b"\nFilename: " in shown.stdout


def _command(argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          check=False, text=True)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()[-2000:] or done.returncode}")


def _read(path):
    with open(path, "rb") as f:
        return f.read()


def _write(path, data):
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.replace(path + ".new", path)

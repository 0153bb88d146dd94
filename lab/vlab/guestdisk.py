# SPDX-License-Identifier: BSD-3-Clause
"""A Debian disk for guests, from this machine's own release: GPT, an ESP with GRUB, systemd-boot and memtest86+,
a root file system with systemd and the stock kernel, a login on the serial port (root, viaduct).

Made without loop devices and without starting anything of it: mmdebstrap, mkfs.ext4 -d, mtools, sfdisk. In the cache,
below lab/disk-HASH (of the recipe): disk.raw (sparse), vmlinuz, initrd (of the disk's kernel, for direct boots), release.
"""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess

from vlab import LabError, pool

LAB_DIR = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
RECIPE = ["vlab/guestdisk.py", "disk/grub.cfg", "disk/hook"]
PACKAGES = ["systemd-sysv", "udev", "kmod", "iproute2", "iputils-ping", "linux-image-amd64", "initramfs-tools", "lz4",
            "systemd-boot-efi"]
# Debian 13's: it is the first that runs where no screen is.
MEMTEST = "main/m/memtest86+/memtest86+_7.20-1_amd64.deb"
MEMTEST_SHA256 = "d16e6caa9e5708bf9fc4950d1746f317985cf0ce12bea14b96182480ca451d95"
# The stock kernel's modules without those that no virtual machine has a device or a use for.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/boot/System.map*",
            *(f"/lib/modules/*/kernel/{part}/*" for part in (
                "sound", "net/wireless", "net/mac80211", "net/bluetooth", "fs/ocfs2", "fs/gfs2", "fs/ceph", "fs/smb",
                "fs/nfs", "fs/nfsd", "fs/xfs", "fs/btrfs", "fs/f2fs", "fs/jfs", "fs/ubifs", "fs/reiserfs",
                *(f"drivers/{name}" for name in (
                    "gpu", "media", "infiniband", "iio", "usb", "staging", "hwmon", "md", "mtd", "bluetooth", "comedi",
                    "isdn", "mmc", "target", "video", "net/wireless", "net/can", "net/usb", "scsi", "ata", "hid"))))]
INITRAMFS_CONF = "MODULES=list\nCOMPRESS=lz4\n"
INITRAMFS_MODULES = "virtio_pci\nvirtio_blk\next4\nigbvf\n"
GRUB_MODULES = ["part_gpt", "fat", "ext2", "normal", "configfile", "linux", "chain", "search", "search_label", "search_fs_file",
                "test", "echo", "ls", "cat", "halt", "reboot", "minicmd", "terminal"]
GRUB_START = "search --no-floppy --set=root --file /viaduct-lab\nset prefix=($root)/EFI/grub\n"
CMDLINE = "root=LABEL=viaduct-root ro console=ttyS0 quiet"
LOADER_CONF = "default debian.conf\ntimeout 5\nconsole-mode keep\n"
LOADER_ENTRIES = {
    "debian": f"title Debian by systemd-boot\nlinux /vmlinuz\ninitrd /initrd\noptions {CMDLINE} lab.loader=systemd-boot\n",
    "second": f"title Debian, second\nlinux /vmlinuz\ninitrd /initrd\noptions {CMDLINE} lab.loader=systemd-boot-second\n",
}
ENTRIES = ("debian", "second", "systemd-boot", "memtest")  # of GRUB's menu, in its order
MIB = 1 << 20
ESP_START, ESP_BYTES = MIB, 64 * MIB
ROOT_START = ESP_START + ESP_BYTES
SPARE_BYTES = 64 * MIB  # free in the root file system
KEEP = 2


def folder(cache_dir):
    """Where the disk is, or will be."""
    digest = hashlib.sha256()
    for name in RECIPE:
        with open(os.path.join(LAB_DIR, name), "rb") as f:
            digest.update(f.read() + b"\0")
    return os.path.join(cache_dir, f"disk-{digest.hexdigest()[:16]}")


def ensure(cache_dir, say):
    """Builds what is missing: two minutes, 120 MiB from the machine's own mirrors. As root."""
    target = folder(cache_dir)
    if os.path.isdir(target):
        return
    with open(os.path.join(cache_dir, "disk.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(target):
            return
        say("building the Debian disk of guests: two minutes, once")
        new = os.path.join(cache_dir, "disk.new")
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        try:
            _build(new)
            os.chmod(new, 0o755)
            os.rename(new, target)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    others = [d for d in glob.glob(os.path.join(cache_dir, "disk-*")) if d != target]
    for path in sorted(others, key=os.path.getmtime)[:-KEEP]:
        shutil.rmtree(path, ignore_errors=True)


def write_choice(image, default, timeout_s):
    """What the menu of GRUB in the disk file `image` starts, and after how long; -1: waits for a key."""
    _mtools(image, {"EFI/grub/choice.cfg": f"set default={default}\nset timeout={timeout_s}\n".encode()})


def _build(new):
    root = os.path.join(new, "root")
    _make_root(root)
    disk = os.path.join(new, "disk.raw")
    memtest = os.path.join(new, "memtest")
    os.mkdir(memtest)
    pool.unpack(MEMTEST, MEMTEST_SHA256, memtest)
    kernel, = glob.glob(os.path.join(root, "boot/vmlinuz-*"))
    shutil.copy(kernel, os.path.join(new, "vmlinuz"))
    shutil.copy(glob.glob(os.path.join(root, "boot/initrd.img-*"))[0], os.path.join(new, "initrd"))
    with open(os.path.join(new, "release"), "w", encoding="utf-8") as f:
        f.write(os.path.basename(kernel).removeprefix("vmlinuz-") + "\n")
    root_bytes = _allocated(root) * 11 // 10 + SPARE_BYTES
    root_bytes -= root_bytes % MIB
    with open(disk, "wb") as f:
        f.truncate(ROOT_START + root_bytes + MIB)
    table = (f"label: gpt\nstart={ESP_START // 512}, size={ESP_BYTES // 512}, type=U\n"
             f"start={ROOT_START // 512}, size={root_bytes // 512}, type=L\n")
    _command(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk], table)
    _command(["mkfs.ext4", "-q", "-d", root, "-L", "viaduct-root", "-m", "0",
              "-E", f"offset={ROOT_START},lazy_itable_init=0,lazy_journal_init=0", disk, f"{root_bytes // 1024}k"])
    _command(["mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", "--offset", str(ESP_START // 512), disk, str(ESP_BYTES // 1024)])
    _mtools(disk, _esp(new, root))
    shutil.rmtree(root)
    shutil.rmtree(memtest)


def _make_root(root):
    release, sources = _own_release()
    files = {"conf.d/viaduct": INITRAMFS_CONF, "modules": INITRAMFS_MODULES}
    write = "".join(f"mkdir -p \"$(dirname \"$1/etc/initramfs-tools/{name}\")\"\n"
                    f"printf '%s' '{text}' >\"$1/etc/initramfs-tools/{name}\"\n" for name, text in files.items())
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--format=directory",
            '--aptopt=APT::Sandbox::User "root"', *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            "--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}", f"--setup-hook={write}",
            f"--customize-hook={os.path.join(LAB_DIR, 'disk/hook')}", release, root, "-"]
    _command(argv, sources)


def _own_release():
    """The code name of this machine's Debian, and its apt sources for that without backports."""
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages",
                            "Origin: Debian", "Component: main"], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split() for line in dict.fromkeys(shown.splitlines())]
    rows = [row for row in rows if re.fullmatch(r"[a-z]+(-security|-updates)?", row[1])]
    if not rows:
        raise LabError("apt knows no Debian mirror")
    return rows[0][1].partition("-")[0], "".join(f"deb {' '.join(row)}\n" for row in rows)


def _esp(new, root):
    """Path -> content of the EFI system partition's files."""
    grub = os.path.join(new, "grub.efi")
    start = os.path.join(new, "grub.start")
    with open(start, "w", encoding="utf-8") as f:
        f.write(GRUB_START)
    _command(["grub-mkimage", "-O", "x86_64-efi", "-p", "/EFI/grub", "-c", start, "-o", grub, *GRUB_MODULES])
    menu = _read(os.path.join(LAB_DIR, "disk/grub.cfg")).replace(b"@CMDLINE@", CMDLINE.encode())
    files = {"viaduct-lab": b"", "EFI/BOOT/BOOTX64.EFI": _read(grub), "EFI/grub/grub.cfg": menu,
             "EFI/systemd/systemd-bootx64.efi": _read(os.path.join(root, "usr/lib/systemd/boot/efi/systemd-bootx64.efi")),
             "EFI/memtest/memtestx64.efi": _read(os.path.join(new, "memtest/boot/memtest86+x64.efi")),
             "vmlinuz": _read(os.path.join(new, "vmlinuz")), "initrd": _read(os.path.join(new, "initrd")),
             "loader/loader.conf": LOADER_CONF.encode()}
    files.update({f"loader/entries/{name}.conf": text.encode() for name, text in LOADER_ENTRIES.items()})
    os.unlink(grub)
    os.unlink(start)
    return files


def _mtools(image, files):
    """Writes files into the ESP of a disk; folders are made as needed, files replaced."""
    drive = f"{image}@@{ESP_START}"
    have = set()
    for path, data in files.items():
        for end in [m.start() for m in re.finditer("/", path)]:
            if path[:end] not in have:
                have.add(path[:end])
                if subprocess.run(["mdir", "-i", drive, f"::/{path[:end]}"], capture_output=True, check=False).returncode != 0:
                    _command(["mmd", "-i", drive, f"::/{path[:end]}"])
        _command(["mcopy", "-o", "-i", drive, "-", f"::/{path}"], data)


def _allocated(root):
    return sum(os.lstat(os.path.join(top, name)).st_blocks * 512
               for top, folders, files in os.walk(root) for name in folders + files)


def _command(argv, given=None):
    data = given.encode() if isinstance(given, str) else given
    try:
        done = subprocess.run(argv, input=data if data is not None else b"", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError as e:
        raise LabError(f"{argv[0]} is not installed; run: scripts/setup") from e
    if done.returncode != 0:
        raise LabError(f"{argv[0]}: {done.stdout.decode(errors='replace').strip()[-2000:] or done.returncode}")


def _read(path):
    with open(path, "rb") as f:
        return f.read()

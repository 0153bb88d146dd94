#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""The start benchmark's part in the virtual host: every monitor in turn, round by round. Writes what was
measured to starts.json in the scratch folder after each round, so that an interrupted run keeps it."""

import argparse
import dataclasses
import json
import mmap
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / "lab"), str(pathlib.Path(__file__).parent)]

from operate import OperateError, peer  # noqa: E402
from operate.host import guest_kernel, igb_ports  # noqa: E402
from operate.viaduct import TOP, Daemon, build_dir, cli  # noqa: E402
from monitors import MONITORS, OVMF_CODE, OVMF_VARS, QEMU, Guest, StartError  # noqa: E402

LIBRARY = re.compile(r"(/\S+) \(0x")  # of ldd's lines
QEMU_DATA = ("/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu", "/usr/lib/x86_64-linux-gnu/qemu")
VIADUCT_PROGRAMS = ("cli/viaduct", "vf-manager/viaductd", "vmm/viaduct-vmm")
SPARE_KIB = 128 << 10  # left free while all other memory is touched
PCI = pathlib.Path("/sys/bus/pci")
# Row: name, kernel, with a VF, with firmware, monitors.
ROWS = (
    ("plain", "bzimage", False, False, ("viaduct", "qemu-q35", "qemu-microvm")),
    ("vf", "bzimage", True, False, ("viaduct", "qemu-q35", "qemu-microvm")),
    ("vmlinux", "vmlinux", False, False, ("viaduct", "qemu-microvm")),
    ("firmware", "bzimage", False, True, ("viaduct", "qemu-q35")),
    ("firmware-vf", "bzimage", True, True, ("viaduct", "qemu-q35")),
)


def bind(vf):
    """To vfio-pci, for QEMU; viaduct sees a VF in other hands and leaves it alone."""
    (PCI / "devices" / vf / "driver_override").write_text("vfio-pci")
    (PCI / "drivers_probe").write_text(vf)
    if (PCI / "devices" / vf / "driver").resolve().name != "vfio-pci":
        raise OperateError(f"{vf} is not bound to vfio-pci")


def into_memory(programs, folders, files):
    """The virtual host's root is a tmpfs over a file server: a new mtime copies a file up into the tmpfs. While
    a program waits for the server, the clock of an idle --icount host runs ahead; that time is nobody's."""
    found = {str(p) for p in (*programs, *files)} | {str(f) for d in folders for f in pathlib.Path(d).rglob("*") if f.is_file()}
    for program in programs:
        found |= set(LIBRARY.findall(subprocess.run(["ldd", program], capture_output=True, text=True,
                                                    check=True).stdout))
    for path in {os.path.realpath(f) for f in found}:
        os.utime(path)
        pathlib.Path(path).read_bytes()


def touch_ram():
    """Before each start, so that free memory costs nobody anything that real RAM does not: an emulator gets its
    RAM from the machine below at the first touch, 5 ms for 2 MiB, and where a guest's code lay it throws its
    translations away at the next write, up to a second after a Linux. Both fell upon whoever took much memory."""
    info = dict(line.split()[:2] for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    size = (int(info["MemFree:"]) - SPARE_KIB) * 1024
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
        pass


def prepare(folder):
    """Everything that is read at a start lies in memory: no file server's time is measured."""
    files = {kind: folder / kind for kind in ("bzimage", "vmlinux", "initrd")}
    for kind in ("bzimage", "vmlinux"):
        shutil.copy(guest_kernel(kind), files[kind])
    subprocess.run([TOP / "lab/guest-image", "-o", files["initrd"]], check=True, stdout=subprocess.DEVNULL)
    pf = igb_ports()[0]
    peer.ip("link", "set", pf, "up")
    peer.wait_carrier(pf)
    cli("pf", "apply", pf, "--vfs", "2")
    vf = (pathlib.Path("/sys/class/net") / pf / "device/virtfn1").resolve().name
    bind(vf)
    return files, pf, vf


def rounds(args, folder, out):
    files, pf, vf = prepare(folder)
    wanted = [row for row in ROWS if row[0] in args.rows.split(",")]
    for number in range(-1, args.rounds):  # the first one fills caches and does not count
        for name, kernel, has_vf, has_firmware, monitors in wanted:
            # Whoever goes first in a pair must not always be the same.
            for monitor in monitors if number % 2 else reversed(monitors):
                guest = Guest(files[kernel], files["initrd"], folder, pf, vf, has_vf, has_firmware)
                touch_ram()
                start = MONITORS[monitor](guest)
                print(f"{'warm-up' if number < 0 else f'round {number + 1}'}: {name:8} {monitor:13}"
                      f" kernel {start.entry:7.3f} s  init {start.init:7.3f} s  ready {start.ready:7.3f} s", flush=True)
                if number >= 0:
                    out["starts"].append({"round": number, "row": name, "monitor": monitor,
                                          **dataclasses.asdict(start)})
        (pathlib.Path(os.environ["VIADUCT_LAB_SCRATCH"]) / "starts.json").write_text(json.dumps(out))


def host_facts():
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "qemu": qemu.stdout.splitlines()[0]}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, required=True)
    options.add_argument("--rows", required=True, help="of " + ", ".join(row[0] for row in ROWS))
    args = options.parse_args()
    if not os.environ.get("VIADUCT_LAB"):
        sys.exit("bench start: this part runs inside the virtual host; use scripts/bench start")
    folder = pathlib.Path("/dev/shm/bench-start")
    folder.mkdir()
    firmware = [OVMF_CODE, OVMF_VARS] if "firmware" in args.rows else []
    into_memory([shutil.which(QEMU), *(build_dir() / p for p in VIADUCT_PROGRAMS)], QEMU_DATA, firmware)
    daemon = Daemon()
    daemon.start(timeout=120)
    try:
        rounds(args, folder, {"host": host_facts(), "starts": []})
    except (OperateError, StartError) as e:
        sys.exit(f"bench start: {e}\nviaductd's log ends with:\n{daemon.log_tail()}")
    finally:
        daemon.stop()


main()

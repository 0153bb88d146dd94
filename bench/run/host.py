# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark borrows of the host, and how it gives it back: drivers of PCI functions, hugepages, link states."""

import contextlib
import os
import pathlib
import re
import subprocess
import time

from . import BenchError
from .signals import held

PCI = pathlib.Path("/sys/bus/pci")
POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
ADDRESS = re.compile(r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
PAGE_MIB = 2
BIND_SECONDS = 10


class Borrowed:
    """A pile of what must be given back. Everything is tried, whatever fails; what failed is in `left`."""

    def __init__(self):
        self.pile, self.left = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.give_back()

    def callback(self, what, function, *args):
        self.pile.append((what, function, args))

    def enter(self, what, thing):
        """A thing with stop()."""
        self.callback(what, thing.stop)
        return thing

    def give_back(self):
        with held():
            while self.pile:
                what, function, args = self.pile.pop()
                try:
                    function(*args)
                except (BenchError, OSError, subprocess.SubprocessError) as e:
                    self.left.append(f"{what}: {e}")


def read(path, fallback=""):
    try:
        return pathlib.Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return fallback


def write(path, text):
    try:
        pathlib.Path(path).write_text(text, encoding="ascii")
    except PermissionError as e:
        raise BenchError(f"{path}: this takes root") from e
    except OSError as e:
        raise BenchError(f"{path}: {e.strerror}") from e


def driver_of(address):
    link = PCI / "devices" / address / "driver"
    return link.resolve().name if link.exists() else ""


def interfaces_of(address):
    folder = PCI / "devices" / address / "net"
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def interface_pci(name):
    """Address of an interface's PCI function, or ""."""
    device = pathlib.Path("/sys/class/net") / name / "device"
    found = device.resolve().name if device.exists() else ""
    return found if ADDRESS.match(found) else ""


def bind(address, driver):
    """driver "": none. Returns the driver that it had, for the way back."""
    if not ADDRESS.match(address) or not (PCI / "devices" / address).is_dir():
        raise BenchError(f"there is no PCI function {address}")
    had = driver_of(address)
    if had == driver:
        return had
    if had:
        write(PCI / "drivers" / had / "unbind", address)
    if not driver:
        return had
    if not (PCI / "drivers" / driver).is_dir():
        subprocess.run(["modprobe", driver], check=False, stdin=subprocess.DEVNULL, capture_output=True)
    write(PCI / "devices" / address / "driver_override", driver)
    try:
        write(PCI / "drivers_probe", address)
    finally:
        write(PCI / "devices" / address / "driver_override", "\n")
    deadline = time.monotonic() + BIND_SECONDS
    while driver_of(address) != driver:
        if time.monotonic() > deadline:
            raise BenchError(f"{address} does not go to the driver {driver}; dmesg says why")
        time.sleep(0.05)
    return had


def take(borrowed, address, driver="vfio-pci"):
    """For a program of ours; it goes back to the driver that it has now, its interface to its name and state."""
    had = driver_of(address)
    names = interfaces_of(address)
    busy = [name for name in names if is_way_out(name)]
    if busy:
        raise BenchError(f"{address} ({busy[0]}) has an address: it may be the host's way out. ip addr flush dev {busy[0]} if it is not")
    up = any(int(read(f"/sys/class/net/{name}/flags", "0"), 16) & 1 for name in names)
    borrowed.callback(f"driver of {address}", restore, address, had, names[:1], up)
    bind(address, driver)


def restore(address, driver, names, up):
    bind(address, driver)
    for name in names:
        deadline = time.monotonic() + BIND_SECONDS
        while not interfaces_of(address):
            if time.monotonic() > deadline:
                raise BenchError(f"{name} does not come back")
            time.sleep(0.05)
        now = interfaces_of(address)[0]
        if now != name:  # where nobody gives it the name that it had
            link(now, "down")
            link(now, "name", name)
        if up:
            link(name, "up")


def is_way_out(name):
    done = subprocess.run(["ip", "-o", "addr", "show", "dev", name, "scope", "global"], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip())


def link(name, *words):
    done = subprocess.run(["ip", "link", "set", name, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip link set {name} {' '.join(words)}: {done.stderr.strip()}")


def address_add(borrowed, name, address):
    done = subprocess.run(["ip", "addr", "add", address, "dev", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip addr add {address} dev {name}: {done.stderr.strip()}")
    borrowed.callback(f"address of {name}", subprocess.run, ["ip", "addr", "del", address, "dev", name])


def carrier_wait(name, seconds=30):
    deadline = time.monotonic() + seconds
    while read(f"/sys/class/net/{name}/carrier", "0") != "1":
        if time.monotonic() > deadline:
            raise BenchError(f"{name} has no carrier after {seconds} s: is its cable in?")
        time.sleep(0.1)


def pages():
    return int(read(POOL / "nr_hugepages", "0") or 0), int(read(POOL / "free_hugepages", "0") or 0)


def hugepages(borrowed, mib):
    """So much free; as many as were added are taken back. True: they are there."""
    missing = max(0, mib // PAGE_MIB - pages()[1])
    if not missing:
        return True
    before = pages()[0]
    borrowed.callback("hugepages", pool_shrink, missing)
    with contextlib.suppress(BenchError):
        write(POOL / "nr_hugepages", str(before + missing))
    return pages()[1] >= mib // PAGE_MIB


def pool_shrink(count):
    """Others may have changed the pool meanwhile."""
    write(POOL / "nr_hugepages", str(max(0, pages()[0] - count)))


def cpus():
    """CPUs that we may have: isolated ones first, the first one last: it does the host's own work."""
    mine = sorted(os.sched_getaffinity(0))
    isolated = cpu_list(read("/sys/devices/system/cpu/isolated"))
    spare = [cpu for cpu in isolated if (pathlib.Path("/sys/devices/system/cpu") / f"cpu{cpu}").exists()]
    return spare + [cpu for cpu in mine[1:] + mine[:1] if cpu not in spare]


def cpu_list(text):
    """"1-3,7" as numbers; what is no such list is empty."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if match:
            found += range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1)
    return found

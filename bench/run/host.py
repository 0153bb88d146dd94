# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark borrows of the host, and how it gives it back: drivers of PCI functions, hugepages, link states."""

import contextlib
import os
import pathlib
import re
import subprocess
import time

from . import BenchError
from .journal import Journal
from .operator import viaduct
from .signals import held

PCI = pathlib.Path("/sys/bus/pci")
POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
ADDRESS = re.compile(r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
PAGE_MIB = 2
BIND_SECONDS = 10
CLASS_NETWORK = 0x02
# Drivers that make nothing of a function that the host could use.
HOLDERS = ("", "vfio-pci", "uio_pci_generic", "igb_uio", "pci-stub")


class Borrowed:
    """A pile of what must be given back. Everything is tried, whatever fails; what failed is in `left`."""

    def __init__(self, journal=None):
        self.pile, self.left, self.journal = [], [], journal or Journal()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.give_back()

    def callback(self, what, function, *args):
        self.pile.append((what, function, args, self.journal.note(what, getattr(function, "__name__", ""), args)))

    def enter(self, what, thing):
        """A thing with stop()."""
        self.callback(what, thing.stop)
        return thing

    @contextlib.contextmanager
    def noted(self, what, undo, *args):
        """In the journal alone, as long as it lasts: it ends by itself unless we are killed."""
        number = self.journal.note(what, undo, args)
        yield
        self.journal.done(number)

    def vm(self, name, make):
        """A VM of the daemon that make() starts; noted before it is there."""
        number = self.journal.note(f"VM {name}", "vm_delete", [name])
        guest = make()
        self.pile.append((f"VM {name}", guest.stop, (), number))
        return guest

    def give_back(self):
        with held("everything is given back"):
            while self.pile:
                what, function, args, number = self.pile.pop()
                try:
                    function(*args)
                    self.journal.done(number)
                except Exception as e:  # whatever it is, the others must go back
                    self.left.append(f"{what}: {e}" if isinstance(e, BenchError) else f"{what}: {type(e).__name__}: {e}")


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
    override = read(PCI / "devices" / address / "driver_override")
    write(PCI / "devices" / address / "driver_override", driver)
    try:
        write(PCI / "drivers_probe", address)
    finally:
        write(PCI / "devices" / address / "driver_override", "\n" if override in ("", "(null)") else override)
    deadline = time.monotonic() + BIND_SECONDS
    while driver_of(address) != driver:
        if time.monotonic() > deadline:
            raise BenchError(f"{address} does not go to the driver {driver}; dmesg says why")
        time.sleep(0.05)
    return had


def net_of(address, name):
    return PCI / "devices" / address / "net" / name


def refuse_used(address):
    """BenchError: somebody uses it, or may, as far as the kernel says."""
    device = PCI / "devices" / address
    if not ADDRESS.match(address) or not device.is_dir():
        raise BenchError(f"there is no PCI function {address}")
    if int(read(device / "class", "0") or "0", 16) >> 16 != CLASS_NETWORK:
        raise BenchError(f"{address} is no network function; --wire takes the one at the other end of the PF's cable")
    if (device / "physfn").exists():
        raise BenchError(f"{address} is a VF, which viaductd gives away; --wire takes a whole function")
    if read(device / "sriov_numvfs", "0") != "0":
        raise BenchError(f"{address} has VFs, which would be lost; viaduct pf apply {address} --vfs 0 if nobody has them")
    names = interfaces_of(address)
    if not names and driver_of(address) not in HOLDERS:
        raise BenchError(f"{address} has the driver {driver_of(address)} and no interface here: another network namespace may have it")
    for name in names:
        uses = sorted(p.name for p in net_of(address, name).iterdir() if p.name == "master" or p.name.startswith("upper_"))
        if uses:
            raise BenchError(f"{address} ({name}) is in use by another interface ({', '.join(uses)}); ip link show {name}")
        if is_way_out(name):
            raise BenchError(f"{address} ({name}) has an address: it may be the host's way out. ip addr flush dev {name} if it is not")


def refuse_given(address, names):
    """BenchError: viaductd has it, or gave it to somebody."""
    for row in viaduct("function", "list")["functions"]:
        if row["address"] == address and row["state"] != "host":
            raise BenchError(f"{address} is {row['state']}: {row.get('owner') or 'somebody'} has it; viaduct function show {address}")
    for row in viaduct("uplink", "list")["uplinks"]:
        if address in (row["device"], row.get("address")) or row["device"] in names:
            raise BenchError(f"{address} is the uplink {row['name']} of viaductd; take it out of `uplinks` of viaductd.yaml first")


def take(borrowed, address, driver="vfio-pci"):
    """For a program of ours; it goes back to the driver that it has now, its interfaces to their names, MTUs and states."""
    refuse_used(address)
    names = interfaces_of(address)
    refuse_given(address, names)
    had = driver_of(address)
    before = [(name, read(net_of(address, name) / "mtu", "1500"), is_up(address, name)) for name in by_port(address, names)]
    borrowed.callback(f"driver of {address}", restore, address, had, before)
    bind(address, driver)


def by_port(address, names):
    return sorted(names, key=lambda name: (int(read(net_of(address, name) / "dev_port", "0") or 0), name))


def is_up(address, name):
    return bool(int(read(net_of(address, name) / "flags", "0") or "0", 16) & 1)


def restore(address, driver, before):
    """before: (name, MTU, up) of each interface, in the order of its ports."""
    bind(address, driver)
    deadline = time.monotonic() + BIND_SECONDS
    while len(interfaces_of(address)) < len(before):
        if time.monotonic() > deadline:
            raise BenchError(f"{before[-1][0]} does not come back")
        time.sleep(0.05)
    for now, (name, mtu, up) in zip(by_port(address, interfaces_of(address)), before):
        if now != name:  # where nobody gives it the name that it had
            link(now, "down")
            link(now, "name", name)
        if read(net_of(address, name) / "mtu", mtu) != mtu:
            link(name, "mtu", mtu)
        if up:
            link(name, "up")


def is_way_out(name):
    done = subprocess.run(["ip", "-o", "addr", "show", "dev", name, "scope", "global"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip addr show dev {name}: {done.stderr.strip() or 'it failed'}")
    return bool(done.stdout.strip())


def link(name, *words):
    done = subprocess.run(["ip", "link", "set", name, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip link set {name} {' '.join(words)}: {done.stderr.strip()}")


def link_up(borrowed, name):
    """Down again when all is given back, if it was."""
    if not int(read(f"/sys/class/net/{name}/flags", "0") or "0", 16) & 1:
        borrowed.callback(f"link of {name}", link, name, "down")
    link(name, "up")


def address_add(borrowed, name, address):
    done = subprocess.run(["ip", "addr", "add", address, "dev", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip addr add {address} dev {name}: {done.stderr.strip()}")
    borrowed.callback(f"address of {name}", address_del, name, address)


def address_del(name, address):
    done = subprocess.run(["ip", "addr", "del", address, "dev", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip addr del {address} dev {name}: {done.stderr.strip()}")


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
    with contextlib.suppress(BenchError):
        write(POOL / "nr_hugepages", str(before + missing))
    added = pages()[0] - before  # the kernel may not have had all of them
    if added > 0:
        borrowed.callback("hugepages", pool_shrink, added)
    return pages()[1] >= mib // PAGE_MIB


def pool_shrink(count):
    """Others may have changed the pool meanwhile."""
    write(POOL / "nr_hugepages", str(max(0, pages()[0] - count)))


def taken_cpus():
    """CPU -> who polls or runs there, as viaductd says: the vCPUs of its VMs that are pinned, and its backend. Empty: there is no daemon."""
    taken = {}
    with contextlib.suppress(BenchError, KeyError, TypeError, AttributeError):
        for vm in viaduct("vm", "list")["vms"]:
            if vm["state"] not in ("stopped", "failed"):
                taken.update({cpu: f"VM {vm['name']}" for cpu in (vm.get("cpus") or {}).get("pin", [])})
        for lcore in (viaduct("uplink", "list").get("backend") or {}).get("lcores", []):
            taken[lcore["cpu"]] = "viaduct-pmd"
    return taken


def cpus():
    """CPUs that we may have and nobody else has: isolated ones first, the first one last: it does the host's own work."""
    mine = sorted(os.sched_getaffinity(0))
    isolated = cpu_list(read("/sys/devices/system/cpu/isolated"))
    spare = [cpu for cpu in isolated if (pathlib.Path("/sys/devices/system/cpu") / f"cpu{cpu}").exists()]
    wanted = spare + [cpu for cpu in mine[1:] + mine[:1] if cpu not in spare]
    taken = taken_cpus()
    free = [cpu for cpu in wanted if cpu not in taken]
    if not free:
        raise BenchError("no CPU is left to measure with: " + ", ".join(f"{cpu}: {taken[cpu]}" for cpu in wanted))
    return free


def cpu_list(text):
    """"1-3,7" as numbers; what is no such list is empty."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if match:
            found += range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1)
    return found

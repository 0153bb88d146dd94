# SPDX-License-Identifier: BSD-3-Clause
"""Rigs: the generator, and what it measures. A rig is on, and then answers trials, or off, and then costs nothing; so the rigs of
one group stand side by side and are measured in turn."""

import dataclasses
import os
import pathlib
import signal
import tempfile

from . import BenchError, LinkError, TrialError, host
from .guests import Qemu, VmmAlone, VmRun
from .lines import Child
from .operator import Lease, lease_release, ours
from .vmm import PMD_MIB, Pmd, program
from .signals import held

GEN_MIB, REFLECT_MIB = 256, 128
FLOWS = 16
TRIAL_SECONDS = 60  # beyond the trial itself
BURST_SLOWER = 2  # than the rate that it is about
BURST_SECONDS = 3600  # the longest that the generator takes
MAC = "02:76:62:00:00:{:02x}"


def eal(name, mib, lcores, huge):
    """Options of DPDK; the programs add those that are always right, and take no function but those that they are told."""
    return ["--lcores", lcores, "--file-prefix", f"bench-{name}-{os.getpid()}", "--log-level", "lib.eal:error", "-m", str(mib),
            *([] if huge else ["--no-huge"])]


def tool(name, folder):
    """Ours, as installed beside the folder of this benchmark, or as built."""
    here = pathlib.Path(program("viaduct", "cli")).resolve().parent
    for path in (pathlib.Path(__file__).resolve().parents[2] / name, here.parent / "bench" / folder / name):
        if os.access(path, os.X_OK):
            return path
    raise BenchError(f"{name} is neither installed nor built: scripts/test --build-only release")


class Bench:
    """What a run has: options, a folder, what is borrowed, CPUs."""

    def __init__(self, options, borrowed):
        self.options, self.borrowed = options, borrowed
        folder = tempfile.TemporaryDirectory(prefix="viaduct-bench-")
        borrowed.callback("folder", folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)  # a VMM is somebody else
        self.image = None
        spare = host.cpus()
        # generator, reflector or guest, backend; with fewer CPUs they share
        self.cpus = [spare[i % len(spare)] for i in range(3)]
        self.house = spare[-1]  # of guests whose polling vCPU has one of these
        self.huge = False
        self.ring = 0  # of VFs' reflectors; 0: as usual

    def pinned(self):
        """The guest's image where one guest at a time works: its polling vCPU is where the bare host's reflector is, and all else that
        it does on the CPU that has the host's own work."""
        alone = len({*self.cpus, self.house}) > len(self.cpus)
        return self.image.polling(self.house, self.cpus[1]) if alone else self.image

    def single(self):
        """The same with one vCPU, for a guest that sleeps."""
        return dataclasses.replace(self.image, pin=(self.cpus[1],)) if self.pinned().pin else self.image

    def pages(self, mib):
        with held():
            self.huge = host.hugepages(self.borrowed, mib)

    def generator(self, name="gen"):
        command = [tool("viaduct-gen", "gen"), *eal(name, GEN_MIB, f"0@{self.cpus[0]}", self.huge),
                   *(["--in-memory", "--single-file-segments"] if self.huge else []), "--"]
        with held():
            return self.borrowed.enter(name, Child("viaduct-gen", command, self.folder / f"{name}.log"))


class Rig:
    """One variant. The generator's ports are tx and rx (the same for a reflector). mac: to whom it sends; a list: to each in turn."""

    flows = FLOWS
    drain_ms = 200  # what is under way has so long to come back

    def __init__(self, gen, tx, rx, mac, src_mac):
        self.gen, self.tx, self.rx, self.mac, self.src_mac = gen, tx, rx, mac, src_mac

    def members(self, size, more):
        return {"tx": self.tx, "rx": self.rx, "sizes": str(size), "flows": self.flows, "drain_ms": self.drain_ms, "dst_mac": self.mac,
                "src_mac": self.src_mac, "window": 0, **more}

    def trial(self, size, rate_pps, ms, **more):
        rate = max(1, int(rate_pps)) if rate_pps else 0  # what is below 1 is not "as fast as it goes"
        return self.ask("trial", size, ms, rate_pps=rate, **more)

    def burst(self, size, frames, pps):
        """pps: about as fast as it goes."""
        seconds = min(BURST_SECONDS, BURST_SLOWER * frames / max(1, pps) + TRIAL_SECONDS)
        answer = self.ask("burst", size, 1000 * seconds, frames=int(frames))
        if answer["sent"] != frames:
            raise TrialError(f"viaduct-gen sent {answer['sent']} of a burst of {frames} frames")
        return answer

    def ask(self, op, size, ms, **more):
        answer = self.gen.ask(op, TRIAL_SECONDS + ms / 1000, ms=int(ms), **self.members(size, more))
        if answer.get("interrupted"):
            raise TrialError("viaduct-gen was interrupted")
        if not answer.get("link_up", True):
            raise LinkError(f"viaduct-gen: the link was down at the end of a trial ({answer['received']} of {answer['sent']} frames had come "
                            "back): is the cable of --wire in, and the PF up?")
        return answer

    def on(self):
        """Its reflector polls."""

    def off(self):
        """It waits for words, and leaves the processor to others."""

    def exits(self):
        return None

    def reflected(self):
        """Frames that its reflector has had; None: nobody knows."""
        return None


@dataclasses.dataclass(frozen=True)
class Reflector:
    """viaduct-reflect that is told by these lines. guest: where it runs, for its exits; None: on the host. ring: descriptors of a queue;
    0: as usual."""
    lines: object
    device: str
    guest: object = None
    idle: str = "poll"
    ring: int = 0


class Reflected(Rig):
    """A reflector at the generator's port, on the host or in a guest."""

    def __init__(self, gen, port, src_mac, made):
        self.reflect, self.guest, self.idle = made.lines, made.guest, made.idle
        opened = self.reflect.ask("port", 120, name="a", device=made.device, ring=made.ring)
        super().__init__(gen, port, port, opened["mac"], src_mac)
        self.driver = opened.get("driver", "unknown")

    def on(self):
        self.reflect.ask("start", mode="reflect", **{"from": "a", "idle": self.idle})

    def off(self):
        self.reflect.ask("stop")

    def exits(self):
        return self.guest.exits() if self.guest else None

    def reflected(self):
        return self.reflect.ask("stats")["received"]


class Still(Reflected):
    """One whose guest stands still while others are measured: what an idle neighbour does is no part of a comparison. Not for minutes
    of a clock that goes on."""

    def __init__(self, *args):
        super().__init__(*args)
        self.guest.process.send_signal(signal.SIGSTOP)

    def on(self):
        self.guest.process.send_signal(signal.SIGCONT)
        super().on()

    def off(self):
        super().off()
        self.guest.process.send_signal(signal.SIGSTOP)


class Together(Rig):
    """Reflectors at one port of the generator that all poll: it sends to them in turn, and counts what comes back of any."""

    def __init__(self, each):
        first, self.each, self.flows = each[0], each, FLOWS * len(each)
        super().__init__(first.gen, first.tx, first.rx, [rig.mac for rig in each], first.src_mac)

    def on(self):
        for rig in self.each:
            rig.on()

    def off(self):
        for rig in self.each:
            rig.off()

    def trial(self, size, rate_pps, ms, **more):
        """TrialError: one had no frame of it, and the sum would be of the others alone."""
        had = [rig.reflected() for rig in self.each]
        answer = super().trial(size, rate_pps, ms, **more)
        for number, (rig, before) in enumerate(zip(self.each, had), 1):
            if rig.reflected() <= before:
                raise TrialError(f"no. {number} of {len(had)} guests had no frame of a trial that went to all of them")
        return answer


def wire_open(bench):
    """The generator on the far end of the PF's cable: (generator, its own MAC, Mbit/s or 0)."""
    wire = bench.options.wire
    if not wire:
        raise BenchError("which port is at the other end of the PF's cable? --wire PCI-ADDRESS, or --wire af-packet:INTERFACE")
    if host.ADDRESS.match(wire):
        with held():
            host.take(bench.borrowed, wire)
    elif wire.partition(":")[0] in ("af-packet", "af-xdp"):
        with held():
            host.link_up(bench.borrowed, wire.partition(":")[2])
        host.carrier_wait(wire.partition(":")[2])
    gen = bench.generator()
    opened = gen.ask("port", 120, name="wire", device=wire)
    if host.ADDRESS.match(wire) and not opened.get("link_up", True):
        raise BenchError(f"{wire} has no link: is it the other end of the PF's cable (--wire, --pf), and is the cable in?")
    return gen, opened["mac"], opened.get("link_mbps", 0)


def host_rig(bench, gen, src_mac):
    """The bare host's VF: the same program, with the same driver, as in the guest."""
    with held():
        name = ours("bench")
        with bench.borrowed.noted(f"lease {name}", "lease_release", name):
            lease = Lease(bench.options.pf, name)
            bench.borrowed.callback(f"lease {name}", lease_release, name)
        bench.borrowed.callback(f"driver of {lease.address}", host.bind, lease.address, host.driver_of(lease.address))
        host.bind(lease.address, "vfio-pci")
    lcores = f"0@{bench.cpus[1]},1@{bench.cpus[1]}"  # the one that hears the lines sleeps
    command = [tool("viaduct-reflect", "reflect"), *eal("reflect", REFLECT_MIB, lcores, bench.huge), "--"]
    with held():
        reflect = bench.borrowed.enter("reflector", Child("viaduct-reflect", command, bench.folder / "reflect.log"))
    rig = Reflected(gen, "wire", src_mac, Reflector(reflect, lease.address, ring=bench.ring))
    rig.address = lease.address
    return rig


def guest_port(pf):
    return f"name: wan, pf: {pf}" if pf else "name: wan"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A guest with a VF. image: None: the bench's, pinned as what it does wants."""
    name: str = "bench-vf"
    kernel_driver: bool = False
    image: object = None


def guest_vf_rig(bench, gen, src_mac, wanted=Wanted()):
    name = ours(wanted.name)
    image = wanted.image or (bench.single() if wanted.kernel_driver else bench.pinned())
    with held():
        guest = bench.borrowed.vm(name, lambda: VmRun(bench.folder, name, image, [guest_port(bench.options.pf)]))
    rig = Reflected(gen, "wire", src_mac, Reflector(guest.lines, functions(guest.lines, wanted.kernel_driver)[0], guest,
                                                    "interrupt" if wanted.kernel_driver else "poll", bench.ring))
    rig.address = guest.shown["ports"][0].get("vf") or ""
    return rig


def functions(lines, kernel_driver=False):
    """The guest's network functions in order: their PCI addresses, or their devices with the kernel's driver."""
    found = sorted(lines.ask("devices", 120)["devices"], key=lambda device: device["device"])
    names = [f"af-packet:{net}" for device in found for net in device["net"]] if kernel_driver else [d["device"] for d in found]
    if not names:
        raise TrialError(f"{lines.name} has no network function that fits: {found}")
    return names


class Chain(Rig):
    """Guests that forward, each from its first port to its second."""

    def __init__(self, gen, mac, src_mac, guests):
        super().__init__(gen, "wire", "far", mac, src_mac)
        self.guests = guests

    def on(self):
        for guest in self.guests:
            guest.lines.ask("start", mode="forward", to="b", idle="poll", **{"from": "a"})

    def off(self):
        for guest in self.guests:
            guest.lines.ask("stop")

    def exits(self):
        total = {}
        for guest in self.guests:
            for name, count in guest.exits().items():
                total[name] = total.get(name, 0) + count
        return total

    def reflected(self):
        return self.guests[-1].lines.ask("stats")["received"]


class Polled:
    """One viaduct-pmd, and the generator at a port of each end."""

    def __init__(self, bench, networks=1):
        bench.pages(GEN_MIB + 2 * bench.image.memory_mib + PMD_MIB)
        with held():
            self.pmd = bench.borrowed.enter("viaduct-pmd", Pmd(bench.folder, bench.cpus[2], bench.huge, networks))
        self.bench, self.gen = bench, bench.generator()
        self.src_mac = MAC.format(1)
        self.port_open("wire", self.src_mac, 0)

    def port_open(self, name, mac, network):
        """viaduct-pmd connects to where the generator listens, as soon as it does."""
        path = self.bench.folder / f"{name}.vhost"
        self.pmd.port_add(name, path, mac, network)
        self.gen.ask("port", 120, name=name, device=f"vhost-user:{path}", server=True)

    def guest(self, monitor, name, ports, image):
        make = {"viaduct": VmmAlone, "qemu": Qemu}[monitor]
        with held():
            return self.bench.borrowed.enter(f"guest {name}", make(self.bench.folder, name, image, self.pmd, ports))

    def rig(self, monitor, index, kind=Reflected):
        guest = self.guest(monitor, f"bench-{monitor}", [(0, MAC.format(0x10 + index))], self.bench.pinned())
        return kind(self.gen, "wire", self.src_mac, Reflector(guest.lines, functions(guest.lines)[0], guest))

    def chain(self, count):
        """The networks must be one more than the guests."""
        guests = []
        self.port_open("far", MAC.format(2), count)
        for i in range(count):
            ports = [(i, MAC.format(0x20 + 2 * i)), (i + 1, MAC.format(0x21 + 2 * i))]
            guest = self.guest("viaduct", f"bench-chain{i}", ports, self.bench.image)
            for name, device in zip("ab", functions(guest.lines)):
                guest.lines.ask("port", 120, name=name, device=device)
            guests.append(guest)
        return Chain(self.gen, MAC.format(2), self.src_mac, guests)

# SPDX-License-Identifier: BSD-3-Clause
"""What does not depend on the machine's speed: exits and instructions per packet of a polling reflector, exits per interrupt of one
that is woken. Runs beside it, at the other end of its wire.

A reflector is anything with ask(op, **members) -> answer (bench/reflect/request.h has the words). In deterministic time (lab/run
--icount) a nanosecond is an instruction, so that the cycles which the reflector counts are instructions: its own, the guest's
kernel's, the monitor's and the host's, whoever interrupted it."""

import dataclasses
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import time

from .kvmtrace import KvmTrace

ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
FRAME_FCS = 4
HEADER = struct.Struct("!6s6sHI")
SINK_MAC = "02:76:62:ff:ff:fe"  # of nobody: what goes or comes back there is dropped by filters, without an interrupt
SETTLE_S = 0.05


def raw(mac):
    return bytes.fromhex(mac.replace(":", ""))


class Wire:
    """A network device of the kernel at the far end of the reflector's wire."""

    def __init__(self, device):
        self.device = device
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        self.sock.bind((device, ETHERTYPE))
        self.mac = ":".join(f"{byte:02x}" for byte in self.sock.getsockname()[4])

    def close(self):
        self.sock.close()

    def singly(self, dst_mac, frames, gap_s):
        """One frame every gap_s seconds; what comes back is not looked at."""
        frame = HEADER.pack(raw(dst_mac), raw(self.mac), ETHERTYPE, 0) + bytes(64 - FRAME_FCS - HEADER.size)
        for _ in range(frames):
            self.sock.send(frame)
            time.sleep(gap_s)

    def flood(self, dst_mac, flood):
        """How many frames the kernel's own generator sent. It costs about as much a frame as a reflector does: with a sender that
        costs more a reflector looks in vain, and guests tick, most of the time. What comes back is dropped by the device's filter."""
        with Pktgen(self.device) as pktgen:
            return pktgen.send(dst_mac, SINK_MAC, flood)

    def echoes(self, dst_mac, count, size=64, timeout_s=2):
        """How many of `count` frames, one at a time, came back whole, with their addresses swapped."""
        self.sock.settimeout(timeout_s)
        good = 0
        for number in range(count):
            frame = HEADER.pack(raw(dst_mac), raw(self.mac), ETHERTYPE, number)
            frame += os.urandom(max(0, size - FRAME_FCS - len(frame)))
            self.sock.send(frame)
            try:
                while True:
                    got = self.sock.recv(65536)
                    if got[:len(frame)] == frame[6:12] + frame[:6] + frame[12:]:
                        good += 1
                        break
            except socket.timeout:
                pass
        return good


@dataclasses.dataclass(frozen=True)
class Flood:
    """size: bytes of a frame with its FCS. A burst is full polls of the reflector, and what its processor does in much less than
    pause_ns: none is lost while the reflector's ring ("ring" of its port) holds some bursts."""
    size: int = 64
    frames: int = 150_000
    burst: int = 192
    pause_ns: int = 400_000


class Pktgen:
    """The kernel's packet generator at a device, on the first processor (Documentation/networking/pktgen.rst)."""

    ROOT = pathlib.Path("/proc/net/pktgen")
    THREAD = ROOT / "kpktgend_0"

    def __init__(self, device):
        self.device = device

    def __enter__(self):
        subprocess.run(["modprobe", "pktgen"], check=True)
        self.THREAD.write_text("rem_device_all\n")
        self.THREAD.write_text(f"add_device {self.device}\n")
        return self

    def __exit__(self, *_):
        self.THREAD.write_text("rem_device_all\n")

    def send(self, dst_mac, src_mac, flood):
        """How many were sent: the last burst is a whole one, too."""
        words = {"count": flood.frames, "pkt_size": flood.size - FRAME_FCS, "burst": flood.burst, "clone_skb": flood.frames,
                 "delay": flood.pause_ns, "dst_mac": dst_mac, "src_mac": src_mac}
        device = self.ROOT / self.device
        for word, value in words.items():
            device.write_text(f"{word} {value}\n")
        (self.ROOT / "pgctrl").write_text("start\n")  # until all are sent
        said = device.read_text()
        sent = int(re.search(r"pkts-sofar: (\d+)", said).group(1))
        if sent < flood.frames:
            raise OSError(f"{device}: {sent} of {flood.frames} frames were sent: {said.splitlines()[-1]}")
        return sent


RING = 4096  # what a flood's bursts want
BURST = 32  # frames of a full poll


def spent(reflect, work):
    """(what `work` adds to each of the reflector's counts, its last answer)"""
    before = reflect.ask("stats")
    work()
    time.sleep(SETTLE_S)
    after = reflect.ask("stats")
    return {key: after[key] - before[key] for key in ("received", "sent", "dropped", "bursts", "sleeps")}, after


def instructions(reflect, hz):
    """Of a frame: the lower quartile of the last full polls, from their start to the end of their sending. The processors take turns in
    deterministic time, and up to half of the polls have another one's turn in them."""
    full = [cycles / frames for frames, cycles in reflect.ask("looks")["looks"] if frames == BURST]
    return statistics.quantiles(full, n=4)[0] * 1e9 / hz if len(full) > 1 else None


def polled(reflect, wire, dst_mac, flood, exits=None):
    """One round of a polling reflector that runs. exits(): {name: exits so far} of the vCPU that polls; None: it has no guest.

    Returns {"packets", "sent", "offered", "instructions": per packet as far as a cycle is one, else nanoseconds,
    "exits": {name: per packet}}."""
    counted = exits or dict
    before = counted()
    offered = []
    got, stats = spent(reflect, lambda: offered.append(wire.flood(dst_mac, flood)))
    after = counted()
    packets = got["received"]
    return {"packets": packets, "sent": got["sent"], "offered": offered[0], "instructions": instructions(reflect, stats["hz"]),
            "exits": {kind: (after[kind] - before[kind]) / packets for kind in after} if packets else {}}


def woken(reflect, wire, dst_mac, count, gap_s=0.02):
    """One round of a reflector that sleeps until a frame comes, on the kernel's driver (af-packet, "idle": "interrupt"), and that
    runs in the only VM of this host: a frame each gap_s seconds.

    Returns {"packets", "interrupts": as the guest counts them, "exits": {kind: per interrupt}}; what the guest does beside that,
    its timer's ticks above all, is in it."""
    def work():
        with KvmTrace() as trace:
            trace.mark()
            wire.singly(dst_mac, count, gap_s)
            trace.mark()
        traces.append(trace)

    traces = []
    before = reflect.ask("stats")["interrupts"]
    got, stats = spent(reflect, work)
    interrupts = stats["interrupts"] - before
    return {"packets": got["received"], "interrupts": interrupts,
            "exits": {kind: number / interrupts for kind, number in traces[0].kinds().items()} if interrupts else {}}

# SPDX-License-Identifier: BSD-3-Clause
"""What does not depend on the machine's speed: exits and instructions per packet of a polling reflector, exits per interrupt of one
that is woken. Runs beside it, at the other end of its wire.

A reflector is anything with ask(op, **members) -> answer (bench/reflect/request.h has the words). In deterministic time (lab/run
--icount) a nanosecond is an instruction, so that the cycles which the reflector counts are instructions: its own, the guest's
kernel's, the monitor's and the host's, whoever interrupted it."""

import dataclasses
import os
import pathlib
import socket
import statistics
import struct
import subprocess
import time

from .kvmtrace import KvmTrace

ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
FIFO_PRIORITY = 10
FRAME_FCS = 4
HEADER = struct.Struct("!6s6sHI")
SINK_MAC = "02:76:62:ff:ff:fe"  # of nobody: what goes or comes back there is dropped by filters, without an interrupt
SETTLE_S = 0.05


def raw(mac):
    return bytes.fromhex(mac.replace(":", ""))


class Wire:
    """A network device of the kernel at the far end of the reflector's wire. Sends trains: all frames of one are there before a
    reflector that shares the processor sees the first, since the sender goes before it and then sleeps."""

    def __init__(self, device):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        self.sock.bind((device, ETHERTYPE))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.mac = ":".join(f"{byte:02x}" for byte in self.sock.getsockname()[4])

    def close(self):
        self.sock.close()

    def trains(self, dst_mac, train, src_mac=SINK_MAC):
        """Sends train.count trains; what comes back is not looked at."""
        head = HEADER.pack(raw(dst_mac), raw(src_mac), ETHERTYPE, 0)
        frame = head + bytes(max(0, train.size - FRAME_FCS - len(head)))
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
        try:
            for _ in range(train.count):
                for _ in range(train.frames):
                    self.sock.send(frame)
                time.sleep(train.pause_s)
        finally:
            os.sched_setscheduler(0, *before)

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
class Train:
    """size: bytes of a frame with its FCS. frames: no more than the reflector's ring ("ring" of its port) holds. While the sender
    sends, a reflector on the same processor stands still; pause_s is what it has for all of them."""
    count: int = 10
    frames: int = 3500
    size: int = 64
    pause_s: float = 0.002


RING = 4096  # what Train's frames want
BURST = 32  # frames of a full poll


def spent(reflect, work):
    """(what `work` adds to each of the reflector's counts, its last answer)"""
    before = reflect.ask("stats")
    work()
    time.sleep(SETTLE_S)
    after = reflect.ask("stats")
    return {key: after[key] - before[key] for key in ("received", "sent", "dropped", "bursts", "sleeps")}, after


def instructions(reflect, hz):
    """Of a frame: the median of the last full polls, from their start to the end of their sending. What interrupts a poll now and
    then is not in it; the mean would have the sender in it, which takes the processor away in the middle of some."""
    full = [cycles / frames for frames, cycles in reflect.ask("looks")["looks"] if frames == BURST]
    return statistics.median(full) * 1e9 / hz if full else None


class KvmExits:
    """A guest's exits so far by KVM's debugfs, which costs the host next to nothing to read: {name of KVM's: number}."""

    ROOT = pathlib.Path("/sys/kernel/debug/kvm")
    NAMES = ("exits", "halt_exits", "irq_exits", "irq_window_exits", "io_exits", "mmio_exits")

    def __init__(self, pid):
        """pid: of the monitor."""
        if not self.ROOT.exists():
            subprocess.run(["mount", "-t", "debugfs", "debugfs", self.ROOT.parent], check=True)
        [folder] = self.ROOT.glob(f"{pid}-*")
        self.files = {name: folder / name for name in self.NAMES}

    def __call__(self):
        return {name: int(file.read_text(encoding="ascii")) for name, file in self.files.items()}


def between(exits, work):
    first = exits() if exits else {}
    work()
    last = exits() if exits else {}
    return {kind: last[kind] - first[kind] for kind in last}


def polled(reflect, wire, dst_mac, train, exits=None):
    """One round of a polling reflector that runs. exits: KvmExits of its guest; None: it has no guest.

    Returns {"packets", "sent", "offered", "instructions": per packet as far as a cycle is one, else nanoseconds,
    "exits": {name: per packet, of all that happened}, "added": {name: per packet, less those of as many frames for somebody
    else}}: timer ticks of guest and host, and the sender's turns at a processor that both share, are in the first alone."""
    other = between(exits, lambda: wire.trains(SINK_MAC, train))
    mine = {}
    got, stats = spent(reflect, lambda: mine.update(between(exits, lambda: wire.trains(dst_mac, train))))
    packets = got["received"]
    return {"packets": packets, "sent": got["sent"], "offered": train.count * train.frames,
            "instructions": instructions(reflect, stats["hz"]),
            "exits": {kind: mine[kind] / packets for kind in mine} if packets else {},
            "added": {kind: (mine[kind] - other[kind]) / packets for kind in mine} if packets else {}}


def woken(reflect, wire, dst_mac, count, gap_s=0.02):
    """One round of a reflector that sleeps until a frame comes, on the kernel's driver (af-packet, "idle": "interrupt"), and that
    runs in the only VM of this host: a frame each gap_s seconds.

    Returns {"packets", "interrupts": as the guest counts them, "exits": {kind: per interrupt}}; what the guest does beside that,
    its timer's ticks above all, is in it."""
    def work():
        with KvmTrace() as trace:
            trace.mark()
            wire.trains(dst_mac, Train(count, 1, 64, gap_s), wire.mac)
            trace.mark()
        traces.append(trace)

    traces = []
    before = reflect.ask("stats")["interrupts"]
    got, stats = spent(reflect, work)
    interrupts = stats["interrupts"] - before
    return {"packets": got["received"], "interrupts": interrupts,
            "exits": {kind: number / interrupts for kind, number in traces[0].kinds().items()} if interrupts else {}}

# SPDX-License-Identifier: BSD-3-Clause
"""What does not depend on the machine's speed: exits and instructions per packet of a polling reflector, exits per interrupt of one
that is woken. Runs beside it, at the other end of its wire.

A reflector is anything with ask(op, **members) -> answer (bench/reflect/request.h has the words). In deterministic time (lab/run
--icount) a nanosecond is an instruction, so that the cycles which the reflector counts are instructions: its own, the guest's
kernel's, the monitor's and the host's, whoever interrupted it."""

import dataclasses
import os
import socket
import struct
import time

ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
FIFO_PRIORITY = 10
FRAME_FCS = 4
HEADER = struct.Struct("!6s6sHI")
SINK_MAC = "02:76:62:ff:ff:fe"  # of nobody: the far end's filter drops what comes back, without an interrupt
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
    """size: bytes of a frame with its FCS. A reflector's ring holds 512."""
    count: int = 20
    frames: int = 256
    size: int = 64
    pause_s: float = 0.02


def spent(reflect, work):
    """(what `work` adds to each of the reflector's counts, its last answer)"""
    before = reflect.ask("stats")
    work()
    time.sleep(SETTLE_S)
    after = reflect.ask("stats")
    return {key: after[key] - before[key] for key in ("received", "sent", "dropped", "bursts", "polls", "cycles", "sleeps")}, after


def polled(reflect, wire, dst_mac, train, exits=None):
    """One round of a polling reflector that runs. exits(): its guest's exits so far by kind, None: it has none.

    Returns {"packets", "bursts", "instructions": per packet as far as a cycle is one, "exits": {kind: per packet, of all that
    happened}, "added": {kind: per packet, without those of as long a time with no packet}}."""
    idle_s = train.count * train.pause_s
    first = exits() if exits else {}
    begin = time.monotonic_ns()
    spent(reflect, lambda: time.sleep(idle_s))
    idle_ns = time.monotonic_ns() - begin
    second = exits() if exits else {}
    begin = time.monotonic_ns()
    got, stats = spent(reflect, lambda: wire.trains(dst_mac, train))
    busy_ns = time.monotonic_ns() - begin
    third = exits() if exits else {}
    packets = got["received"]
    return {
        "packets": packets, "sent": got["sent"], "offered": train.count * train.frames, "bursts": got["bursts"],
        "instructions": got["cycles"] * 1e9 / stats["hz"] / packets if packets else None,
        "exits": {kind: (third[kind] - second[kind]) / packets for kind in third} if packets else {},
        "added": {kind: (third[kind] - second[kind] - (second[kind] - first[kind]) * busy_ns / idle_ns) / packets
                  for kind in third} if packets else {},
    }

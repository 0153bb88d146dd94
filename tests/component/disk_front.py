# SPDX-License-Identifier: BSD-3-Clause
"""A guest with a virtio-blk disk and its VMM in one: requests as a guest's driver makes them, or worse ones."""

import os
import struct
import time

from daemonkit import PATIENCE_S
from vhost_front import (DESC_NEXT, DESC_WRITE, F_PROTOCOL, F_VERSION_1, GET_FEATURES, P_BACKEND_REQ, P_CONFIG,
                         P_INFLIGHT, P_MQ, P_REPLY_ACK, SET_VRING_ENABLE, Front)

T_IN, T_OUT, T_FLUSH, T_ID, T_DISCARD, T_ZEROES = 0, 1, 4, 8, 11, 13
F_RO, F_BLK_SIZE, F_FLUSH, F_MQ, F_DISCARD, F_ZEROES = 5, 6, 9, 12, 13, 14
S_OK, S_IOERR, S_UNSUPP = 0, 1, 2
GET_CONFIG, SET_BACKEND_REQ_FD = 24, 21
SECTOR = 512
SLOT = 64 << 10  # bytes of guest memory for a request: header, data, status
DATA = 4096  # where data begins in a slot


class DiskError(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class DiskFront(Front):
    """Each request has a slot of memory and three descriptors of its own, so that several are under way at once."""

    WANTED = (F_VERSION_1, F_PROTOCOL, F_FLUSH, F_BLK_SIZE, F_DISCARD, F_ZEROES, F_MQ, F_RO)
    PROTOCOL = (P_MQ, P_REPLY_ACK, P_INFLIGHT, P_CONFIG, P_BACKEND_REQ)
    BYTES = 32 << 20

    def __init__(self, path, features=WANTED, queues=1, size=128, slots=32):
        super().__init__(path, features=features, rings=queues, size=size)
        self.slots = min(slots, size // 3)
        self.memory_slots = self.spare
        assert self.spare + queues * self.slots * SLOT <= self.bytes, "guest memory"
        self.pending = [{} for _ in range(queues)]  # slot -> what it is for
        self.done = {}

    def connect(self, timeout=PATIENCE_S):
        self.accept(timeout)
        self.negotiate()
        self.memory_tell()
        self.inflight_tell()
        for index in range(len(self.rings)):
            self.ring_tell(index)
        for index in range(len(self.rings)):
            self.tell(SET_VRING_ENABLE, struct.pack("<II", index, 1))
        self.ask(GET_FEATURES)
        for index in range(len(self.rings)):
            self.kick(index)

    def config(self):
        """virtio_blk_config, as the backend has it."""
        return self.ask(GET_CONFIG, struct.pack("<III", 0, 60, 0) + bytes(60))[12:]

    def capacity(self):
        return struct.unpack_from("<Q", self.config())[0] * SECTOR

    def slot_at(self, queue, slot):
        return self.memory_slots + (queue * self.slots + slot) * SLOT

    def free_slot(self, queue):
        return next((i for i in range(self.slots) if i not in self.pending[queue]), None)

    def begin(self, kind, sector=0, data=b"", length=0, queue=0, shift=0):
        """One request, available; its slot. data: to the disk; length: bytes from it; shift: of the data in memory."""
        slot = self.free_slot(queue)
        assert slot is not None and max(len(data), length) + shift <= SLOT - DATA - 64
        ring, base = self.rings[queue], self.slot_at(queue, slot)
        at, status = base + DATA + shift, base + 64
        self.memory[base:base + 16] = struct.pack("<IIQ", kind, 0, sector)
        self.memory[status] = 0xff
        if data:
            self.memory[at:at + len(data)] = data
        head = 3 * slot
        parts = [(base, 16, 0)]
        if data or length:
            parts.append((at, len(data) or length, 0 if data else DESC_WRITE))
        parts.append((status, 1, DESC_WRITE))
        for i, (addr, size, flags) in enumerate(parts):
            last = i == len(parts) - 1
            ring.set_desc(head + i, addr, size, flags | (0 if last else DESC_NEXT), 0 if last else head + i + 1)
        self.pending[queue][slot] = (kind, sector, at, length, status)
        ring.offer(head)
        return slot

    def take_as_backend(self, *slots):
        """As a backend that has taken these requests of the first queue, in this order, and died with all of them under way."""
        _, fd = self.inflight
        os.pwrite(fd, struct.pack("<QHHHH", 0, 1, self.rings[0].size, 0, self.rings[0].used_index()), 0)
        for order, slot in enumerate(slots):
            os.pwrite(fd, struct.pack("<B5xHQ", 1, 0, order), 16 + 16 * 3 * slot)

    def reap(self, queue=0):
        """What has come back: list of (slot, status, data, used length)."""
        out = []
        while (entry := self.rings[queue].take_used()) is not None:
            slot = entry[0] // 3
            _, _, at, length, status = self.pending[queue].pop(slot)
            out.append((slot, self.memory[status], bytes(self.memory[at:at + length]), entry[1]))
        return out

    def wait(self, slot, queue=0, timeout=PATIENCE_S):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for done in self.reap(queue):
                self.done[queue, done[0]] = done
            if (queue, slot) in self.done:
                return self.done.pop((queue, slot))
            time.sleep(0.0005)
        raise TimeoutError(f"request in slot {slot} of queue {queue} is not answered")

    def do(self, kind, queue=0, **members):
        """One request and its data; DiskError if it is answered with another status than OK."""
        slot = self.begin(kind, queue=queue, **members)
        self.kick(queue)
        _, status, data, _ = self.wait(slot, queue)
        if status != S_OK:
            raise DiskError(status)
        return data

    def read(self, sector, length, **more):
        return self.do(T_IN, sector=sector, length=length, **more)

    def write(self, sector, data, **more):
        self.do(T_OUT, sector=sector, data=data, **more)

    def flush(self, **more):
        self.do(T_FLUSH, **more)

    def ranges(self, kind, *ranges):
        """ranges: (sector, sectors, flags)"""
        self.do(kind, data=b"".join(struct.pack("<QII", *r) for r in ranges))


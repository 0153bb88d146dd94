# SPDX-License-Identifier: BSD-3-Clause
"""A guest and its VMM in one: the front end of vhost-user with rings, split or packed, in memory of its own, which a
backend maps. It sends and receives frames as a guest's driver would, and can put anything else into its rings and
messages."""

import array
import contextlib
import fcntl
import mmap
import os
import socket
import struct
import time

from daemonkit import PATIENCE_S

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD = 1, 2, 3, 5, 6, 7
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL = 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18
SEND_RARP, NET_SET_MTU, GET_INFLIGHT_FD, SET_INFLIGHT_FD, SET_STATUS, GET_STATUS = 19, 20, 31, 32, 39, 40

F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC = 0, 1, 3, 5
F_GUEST_TSO4, F_GUEST_TSO6, F_HOST_TSO4, F_HOST_TSO6 = 7, 8, 11, 12
F_MRG_RXBUF, F_STATUS, F_MQ = 15, 16, 22
F_LOG_ALL, F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_VERSION_1, F_PACKED = 26, 28, 29, 30, 32, 34
P_MQ, P_LOG_SHMFD, P_RARP, P_REPLY_ACK, P_MTU, P_BACKEND_REQ, P_CONFIG, P_INFLIGHT, P_STATUS = 0, 1, 2, 3, 4, 5, 9, 12, 16
RING_LOG = 1  # a flag of SET_VRING_ADDR
PAGE = 4096  # of a log of written pages

DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4
DESC_AVAIL, DESC_USED = 1 << 7, 1 << 15  # of packed rings
PACKED_START = 1 << 15 | 1 << 31  # SET_VRING_BASE: the first descriptor, both wrap counters 1
NEED_REPLY = 8
HEADER = 12  # of a frame: virtio_net_hdr with num_buffers
BUFFER = 2048
RX, TX = 0, 1


class Ring:
    """One split ring (virtio 1.2, 2.7): descriptors, available, used; and a buffer for each descriptor."""

    is_packed = False

    def __init__(self, memory, base, size):
        self.memory, self.size = memory, size
        # Stores of one go: struct.pack_into writes zeros first, and the backend sees them.
        self.words = memoryview(memory).cast("H")
        self.desc, self.avail = base, base + 16 * size
        self.used = (self.avail + 6 + 2 * size + 63) // 64 * 64
        self.buffers = (self.used + 6 + 8 * size + 4095) // 4096 * 4096
        self.end = self.buffers + BUFFER * size
        self.next_avail = self.last_used = 0

    def u16(self, at):
        return self.words[at // 2]

    def set_desc(self, index, addr, length, flags=0, following=0):
        struct.pack_into("<QIHH", self.memory, self.desc + 16 * index, addr & (1 << 64) - 1, length, flags, following)

    def offer(self, head):
        """Makes the chain that begins there available."""
        self.words[self.avail // 2 + 2 + self.next_avail % self.size] = head
        self.next_avail = (self.next_avail + 1) & 0xffff
        self.words[self.avail // 2 + 1] = self.next_avail

    def used_index(self):
        return self.u16(self.used + 2)

    def take_used(self):
        """(head, length) of the next used buffer, or None."""
        if self.last_used == self.used_index():
            return None
        entry = struct.unpack_from("<II", self.memory, self.used + 4 + 8 * (self.last_used % self.size))
        self.last_used = (self.last_used + 1) & 0xffff
        return entry

    def buffer(self, index):
        return self.buffers + BUFFER * index

    def put(self, index, addr, length, flags=0):
        """One buffer, available."""
        self.set_desc(index, addr, length, flags)
        self.offer(index)

    def base(self):
        """What a backend that died had taken and not used is offered again."""
        return self.used_index()

    def areas(self):
        """As SET_VRING_ADDR has them."""
        return self.desc, self.used, self.avail


class PackedRing:
    """One packed ring (virtio 1.2, 2.8): descriptors, the driver's and the device's events; a buffer for each."""

    is_packed = True

    def __init__(self, memory, base, size):
        self.memory, self.size = memory, size
        self.words = memoryview(memory).cast("H")
        self.desc, self.driver, self.device = base, base + 16 * size, base + 16 * size + 4
        self.buffers = (self.device + 4 + 4095) // 4096 * 4096
        self.end = self.buffers + BUFFER * size
        self.next_avail = self.next_used = 0
        self.avail_wrap = self.used_wrap = 1

    def set_desc(self, at, addr, length, index, flags):
        """flags without the two of the wrap counter; the store of them makes it available."""
        struct.pack_into("<QIH", self.memory, self.desc + 16 * at, addr & (1 << 64) - 1, length, index)
        wrap = self.avail_wrap ^ (at < self.next_avail)
        self.words[(self.desc + 16 * at + 14) // 2] = flags | (DESC_AVAIL if wrap else DESC_USED)

    def step(self, count=1):
        self.next_avail += count
        if self.next_avail >= self.size:
            self.next_avail -= self.size
            self.avail_wrap ^= 1

    def put(self, index, addr, length, flags=0):
        self.set_desc(self.next_avail, addr, length, index, flags)
        self.step()

    def take_used(self):
        """(id, length) of the next used buffer, of one descriptor each, or None."""
        at = self.desc + 16 * self.next_used
        flags = self.words[(at + 14) // 2]
        is_avail, is_used = bool(flags & DESC_AVAIL), bool(flags & DESC_USED)
        if is_avail != is_used or is_used != bool(self.used_wrap):
            return None
        _, length, index = struct.unpack_from("<QIH", self.memory, at)
        self.next_used += 1
        if self.next_used == self.size:
            self.next_used, self.used_wrap = 0, self.used_wrap ^ 1
        return index, length

    def buffer(self, index):
        return self.buffers + BUFFER * index

    def base(self):
        """A backend that comes after another learns from the in-flight region where that one was."""
        return PACKED_START

    def areas(self):
        return self.desc, self.device, self.driver


class Log:
    """Bits of pages that a backend has written."""

    def __init__(self, guest_bytes):
        self.bytes = guest_bytes // PAGE // 8
        self.fd = os.memfd_create("log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self.bytes)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.bits = mmap.mmap(self.fd, self.bytes)

    def pages(self):
        return {8 * at + bit for at, byte in enumerate(self.bits[:]) for bit in range(8) if byte >> bit & 1}

    def clear(self):
        """While nobody marks."""
        self.bits[:] = bytes(self.bytes)

    def close(self):
        self.bits.close()
        os.close(self.fd)


class Front:
    """Listens at path; `connect` waits for a backend and sets it up. Features: numbers of bits."""

    WANTED = (F_VERSION_1, F_MRG_RXBUF, F_PROTOCOL)
    PROTOCOL = (P_MQ, P_LOG_SHMFD, P_RARP, P_REPLY_ACK, P_MTU, P_INFLIGHT, P_STATUS)
    BYTES = 8 << 20

    def __init__(self, path, features=WANTED, pairs=1, size=256, rings=None, memory=None):
        self.path, self.wanted, self.pairs = str(path), features, pairs
        self.fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.bytes = memory or self.BYTES
        os.ftruncate(self.fd, self.bytes)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.memory = mmap.mmap(self.fd, self.bytes)
        self.rings, at = [], 0x1000
        for _ in range(rings or 2 * pairs):
            self.rings.append((PackedRing if F_PACKED in features else Ring)(self.memory, at, size))
            at = (self.rings[-1].end + 4095) // 4096 * 4096
        self.spare = at  # memory that no ring uses
        self.kicks = [os.eventfd(0, os.EFD_NONBLOCK) for _ in self.rings]
        self.calls = [os.eventfd(0, os.EFD_NONBLOCK) for _ in self.rings]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.sock, self.features, self.free_tx = None, 0, list(range(size))
        self.is_first = True
        self.inflight = None  # what the first backend made: (SET_INFLIGHT_FD's payload, fd)

    def close(self):
        self.hang_up()
        self.listener.close()
        if self.inflight:
            os.close(self.inflight[1])
        for fd in (self.fd, *self.kicks, *self.calls):
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def hang_up(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    # Messages

    def tell(self, request, payload=b"", fds=(), flags=1):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([struct.pack("<III", request, flags, len(payload)) + payload], control)

    def hear_fd(self, request):
        """An answer with an fd: (payload, fd)."""
        head, fds, _, _ = socket.recv_fds(self.sock, 12, 1)
        kind, flags, size = struct.unpack("<III", head)
        assert kind == request and flags & 7 == 5 and len(fds) == 1, (kind, flags, fds)
        return self._exactly(size), fds[0]

    def hear(self, request):
        head = self._exactly(12)
        kind, flags, size = struct.unpack("<III", head)
        assert kind == request and flags & 7 == 5, (kind, flags)
        return self._exactly(size)

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the backend has hung up")
            data += more
        return data

    def ask(self, request, payload=b""):
        self.tell(request, payload)
        return self.hear(request)

    def order(self, request, payload=b"", fds=()):
        """A message whose answer is waited for, as REPLY_ACK has it; 0 is success."""
        self.tell(request, payload, fds, 1 | NEED_REPLY)
        return struct.unpack("<Q", self.hear(request))[0]

    # Setting up

    def accept(self, timeout=PATIENCE_S):
        self.hang_up()
        self.listener.settimeout(timeout)
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(timeout)

    def connect(self, timeout=PATIENCE_S):
        self.accept(timeout)
        self.negotiate()
        self.memory_tell()
        self.inflight_tell()
        for index in range(len(self.rings)):
            self.ring_tell(index)
        for index in range(len(self.rings)):
            self.tell(SET_VRING_ENABLE, struct.pack("<II", index, 1))
        # An answer to something that comes last: all before it was taken in.
        self.ask(GET_FEATURES)
        if self.is_first:
            for index in range(self.rings[RX].size):
                for ring in self.rings[RX::2]:
                    self.offer_rx(ring, index)
        self.is_first = False
        self.kick()

    def negotiate(self):
        offered = struct.unpack("<Q", self.ask(GET_FEATURES))[0]
        self.features = offered & sum(1 << bit for bit in self.wanted)
        assert self.features >> F_VERSION_1 & 1 and self.features >> F_PROTOCOL & 1
        protocol = struct.unpack("<Q", self.ask(GET_PROTOCOL_FEATURES))[0]
        self.protocol = protocol & sum(1 << bit for bit in self.PROTOCOL)
        self.tell(SET_PROTOCOL_FEATURES, struct.pack("<Q", self.protocol))
        self.tell(SET_OWNER)
        self.tell(SET_FEATURES, struct.pack("<Q", self.features))

    def memory_tell(self):
        """Guest addresses are offsets in the memfd; so are those of the front end here."""
        region = struct.pack("<QQQQ", 0, self.bytes, 0x10000000, 0)
        assert self.order(SET_MEM_TABLE, struct.pack("<II", 1, 0) + region, (self.fd,)) == 0

    def inflight_tell(self):
        if not self.protocol >> P_INFLIGHT & 1:
            return
        if self.inflight is None:
            self.tell(GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, len(self.rings), self.rings[0].size, 0))
            self.inflight = self.hear_fd(GET_INFLIGHT_FD)
        payload, fd = self.inflight
        assert self.order(SET_INFLIGHT_FD, payload, (fd,)) == 0

    def ring_tell(self, index):
        ring = self.rings[index]
        self.tell(SET_VRING_NUM, struct.pack("<II", index, ring.size))
        self.tell(SET_VRING_BASE, struct.pack("<II", index, ring.base()))
        self.areas_tell(index, 0)
        self.tell(SET_VRING_KICK, struct.pack("<Q", index), (self.kicks[index],))
        self.tell(SET_VRING_CALL, struct.pack("<Q", index), (self.calls[index],))

    def areas_tell(self, index, flags):
        """RING_LOG: what is used is marked where it lies."""
        areas = self.rings[index].areas()
        at = [0x10000000 + offset for offset in areas]
        self.tell(SET_VRING_ADDR, struct.pack("<IIQQQQ", index, flags, *at, areas[1]))

    def marks_tell(self, on):
        """Whether written pages are marked, as QEMU says it when a migration begins and ends."""
        self.tell(SET_FEATURES, struct.pack("<Q", self.features | on << F_LOG_ALL))
        for index in range(len(self.rings)):
            self.areas_tell(index, RING_LOG if on else 0)
        self.ask(GET_FEATURES)

    def log_tell(self):
        """A new log for marks; when this returns, the one before is complete."""
        log = Log(self.bytes)
        self.tell(SET_LOG_BASE, struct.pack("<QQ", log.bytes, 0), (log.fd,))
        assert self.hear(SET_LOG_BASE) == b""
        return log

    def kick(self, index=None):
        for fd in self.kicks if index is None else (self.kicks[index],):
            os.eventfd_write(fd, 1)

    # Frames

    def offer_rx(self, ring, index):
        ring.put(index, ring.buffer(index), BUFFER, DESC_WRITE)

    def tx_reap(self):
        ring = self.rings[TX]
        while entry := ring.take_used():
            assert entry[0] < ring.size and entry[0] not in self.free_tx, entry
            self.free_tx.append(entry[0])

    def send(self, frame, header=bytes(HEADER), timeout=PATIENCE_S):
        ring, deadline = self.rings[TX], time.monotonic() + timeout
        self.tx_reap()
        while not self.free_tx:
            assert time.monotonic() < deadline, "the backend takes nothing out of the ring"
            time.sleep(0.001)
            self.tx_reap()
        index = self.free_tx.pop(0)
        data = header + frame
        at = ring.buffer(index)
        self.memory[at:at + len(data)] = data
        ring.put(index, at, len(data))
        os.eventfd_write(self.kicks[TX], 1)

    def is_sent(self, timeout=PATIENCE_S):
        """All that was offered for sending came back."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.tx_reap()
            if len(self.free_tx) == self.rings[TX].size:
                return True
            time.sleep(0.001)
        return False

    def receive(self, timeout=PATIENCE_S):
        """(header, frame), merged from its buffers; None if none comes."""
        ring, deadline = self.rings[RX], time.monotonic() + timeout
        while (entry := ring.take_used()) is None:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.0005)
        data, heads = self._rx_bytes(ring, entry), [entry[0]]
        count = struct.unpack_from("<H", data, 10)[0]
        for _ in range(count - 1):
            more = ring.take_used()
            assert more is not None, "a merged frame is published whole"
            data += self._rx_bytes(ring, more)
            heads.append(more[0])
        for head in heads:
            self.offer_rx(ring, head)
        return data[:HEADER], data[HEADER:]

    def _rx_bytes(self, ring, entry):
        index, length = entry
        assert index < ring.size and length <= BUFFER, entry
        return self.memory[ring.buffer(index):ring.buffer(index) + length]

    def drain(self, quiet=0.2, least=0):
        """All frames until none comes for a while; `least` of them are waited for however long it takes."""
        frames = []
        while (got := self.receive(quiet if len(frames) >= least else PATIENCE_S)) is not None:
            frames.append(got[1])
        return frames


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(to, source, payload, kind=0x88b5, tags=()):
    """An Ethernet frame; kind 88B5: for experiments. tags: (protocol, id) from the outside in."""
    tagged = b"".join(struct.pack(">HH", protocol, vid) for protocol, vid in tags)
    return (mac(to) + mac(source) + tagged + struct.pack(">H", kind) + payload).ljust(60, b"\0")

# SPDX-License-Identifier: BSD-3-Clause
"""The state disk of lab/run --disk: a file behind a volatile write cache, as disks have it.

What the host writes is on the medium once the host has flushed it. Until then it may be there or not: each
write goes to the medium at once or waits for the flush, by lot, so that a power cut loses some writes and
keeps later ones. Who ends lab/run pulls the plug. QEMU is the client of the NBD protocol's transmission
phase (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md)."""

import os
import random
import socket
import struct
import threading

from vlab import LabError

BYTES = 64 << 20  # of a disk that is made
SECTOR = 512
GREETING = struct.Struct(">8sQQI124x")
OLD_STYLE = 0x00420281861253
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
REQUEST = struct.Struct(">IHHQQI")
REQUEST_MAGIC = 0x25609513
READ, WRITE, DISCONNECT, FLUSH = range(4)
FUA = 1
REPLY = struct.Struct(">IIQ")
REPLY_MAGIC = 0x67446698
EINVAL, EIO = 22, 5
MAX_LENGTH = 64 << 20


class Disk:
    def __init__(self, path, seed=None):
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self.fd).st_size == 0:
                os.ftruncate(self.fd, BYTES)
        except OSError as e:
            raise LabError(f"--disk {path}: {e.strerror}; give a file that can be written") from e
        self.bytes = os.fstat(self.fd).st_size // SECTOR * SECTOR
        self.cached = {}  # sector -> bytes that are not on the medium
        self.lot = random.Random(seed)

    def read(self, at, length):
        data = bytearray(os.pread(self.fd, length, at))
        for place in range(0, length, SECTOR):
            sector = self.cached.get((at + place) // SECTOR)
            if sector is not None:
                data[place:place + SECTOR] = sector
        return bytes(data)

    def write(self, at, data, is_durable):
        if is_durable or self.lot.getrandbits(1):
            os.pwrite(self.fd, data, at)
            for place in range(0, len(data), SECTOR):
                self.cached.pop((at + place) // SECTOR, None)
            return
        for place in range(0, len(data), SECTOR):
            self.cached[(at + place) // SECTOR] = data[place:place + SECTOR]

    def flush(self):
        for sector, data in self.cached.items():
            os.pwrite(self.fd, data, sector * SECTOR)
        self.cached.clear()

    def fits(self, at, length):
        return (at % SECTOR == length % SECTOR == 0 and length <= MAX_LENGTH
                and length <= self.bytes and at <= self.bytes - length)

    def serve(self, path):
        """One client, the emulator."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener):
        conn = listener.accept()[0]
        with listener, conn, conn.makefile("rb") as stream:
            conn.sendall(GREETING.pack(b"NBDMAGIC", OLD_STYLE, self.bytes,
                                       HAS_FLAGS | SEND_FLUSH | SEND_FUA))
            try:
                while self._answer(conn, stream):
                    pass
            except (OSError, struct.error):
                pass  # The emulator has ended.

    def _answer(self, conn, stream):
        magic, flags, kind, handle, at, length = REQUEST.unpack(stream.read(REQUEST.size))
        if magic != REQUEST_MAGIC or kind == DISCONNECT or (kind == WRITE and length > MAX_LENGTH):
            return False
        sent = stream.read(length) if kind == WRITE else b""
        error, data = 0, b""
        try:
            if kind == FLUSH:
                self.flush()
            elif kind not in (READ, WRITE) or not self.fits(at, length):
                error = EINVAL
            elif kind == READ:
                data = self.read(at, length)
            else:
                self.write(at, sent, flags & FUA)
        except OSError:
            error = EIO
        conn.sendall(REPLY.pack(REPLY_MAGIC, error, handle) + data)
        return True

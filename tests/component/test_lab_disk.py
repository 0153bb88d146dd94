# SPDX-License-Identifier: BSD-3-Clause
"""The disk of lab/run --disk: what a power cut leaves of it, by whom it is asked."""

import pathlib
import socket
import struct
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lab"))
from vlab import LabError  # noqa: E402
from vlab.disk import BYTES, SECTOR, Disk  # noqa: E402

OLD, NEW = b"o" * SECTOR, b"n" * SECTOR


class Lot:
    def __init__(self, through):
        self.through = through

    def getrandbits(self, _):
        return self.through


@pytest.fixture
def disk(tmp_path):
    d = Disk(tmp_path / "disk")
    d.lot = Lot(0)
    d.write(SECTOR, OLD * 2, True)
    return d


def medium(disk, sector):
    return Disk(f"/proc/self/fd/{disk.fd}").read(sector * SECTOR, SECTOR)


def test_a_write_is_lost_until_it_is_flushed(disk):
    disk.write(2 * SECTOR, NEW, False)
    assert disk.read(SECTOR, 2 * SECTOR) == OLD + NEW
    assert medium(disk, 2) == OLD
    disk.flush()
    assert medium(disk, 1) == OLD and medium(disk, 2) == NEW


def test_a_later_write_can_reach_the_medium_first(disk):
    disk.write(SECTOR, NEW, False)
    disk.lot = Lot(1)
    disk.write(2 * SECTOR, NEW, False)
    assert (medium(disk, 1), medium(disk, 2)) == (OLD, NEW)


def test_what_was_cached_does_not_come_back_over_a_newer_write(disk):
    disk.write(SECTOR, OLD, False)
    disk.write(SECTOR, NEW, True)
    disk.flush()
    assert medium(disk, 1) == disk.read(SECTOR, SECTOR) == NEW


def ask(stream, conn, kind, at, data=b"", length=SECTOR, flags=0):
    conn.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, 7, at, length) + data)
    magic, error, handle = struct.unpack(">IIQ", stream.read(16))
    assert (magic, handle) == (0x67446698, 7)
    return error


def test_the_protocol(disk, tmp_path):
    disk.serve(str(tmp_path / "sock"))
    with socket.socket(socket.AF_UNIX) as conn:
        conn.settimeout(60)
        conn.connect(str(tmp_path / "sock"))
        with conn.makefile("rb") as stream:
            magic, _, size, flags = struct.unpack(">8sQQI124x", stream.read(152))
            assert (magic, size, flags) == (b"NBDMAGIC", BYTES, 1 | 4 | 8)
            assert ask(stream, conn, 1, SECTOR, NEW) == 0 and medium(disk, 1) == OLD
            assert ask(stream, conn, 0, SECTOR) == 0 and stream.read(SECTOR) == NEW
            assert ask(stream, conn, 3, 0, length=0) == 0 and medium(disk, 1) == NEW
            assert ask(stream, conn, 1, 2 * SECTOR, NEW, flags=1) == 0 and medium(disk, 2) == NEW
            assert ask(stream, conn, 0, BYTES) == 22 and ask(stream, conn, 0, 1) == 22
            assert ask(stream, conn, 4, 0) == 22
            conn.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 7, 0, 0))
            assert stream.read() == b""


def test_a_disk_that_cannot_be_made_says_so(tmp_path):
    with pytest.raises(LabError, match="--disk .*No such file.*give a file"):
        Disk(tmp_path / "absent" / "disk")

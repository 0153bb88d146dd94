# SPDX-License-Identifier: BSD-3-Clause
"""Disks of guests: viaduct-pmd in its role "block", from a guest's side (disk_front.py) and the daemon's (pmdkit.py)."""

import os
import random

import pytest
from daemonkit import eventually
from disk_front import (S_IOERR, S_UNSUPP, SECTOR, T_DISCARD, T_ID, T_IN, T_OUT, T_ZEROES, DiskError, DiskFront)
from pmdkit import SANITIZER, Pmd, PmdError, exchange
from vhost_front import F_EVENT_IDX, F_PROTOCOL, F_VERSION_1

MIB = 1 << 20


class Disks:
    """A viaduct-pmd that serves disks, and the daemon's end of it: images are opened anew for each process."""

    def __init__(self, program, folder):
        self.folder = folder
        self.pmd = Pmd(program, folder, role="block", name="block0").start()
        self.images = {}

    def image(self, name="disk.img", size=8 * MIB, data=None):
        path = self.folder / name
        with open(path, "wb") as file:
            file.write(data or b"")
            file.truncate(size)
        return path

    def add(self, disk, path, flags=os.O_RDWR, **members):
        fd = os.open(path, flags | os.O_CLOEXEC)
        try:
            reply = exchange(self.pmd.sock, {"v": 1, "op": "disk-add", "disk": disk, "fds": ["image"],
                                             "socket": self.socket(disk), **members}, (fd,))
        finally:
            os.close(fd)
        self.images[disk] = (path, flags, members)
        return reply["disk"]

    def socket(self, disk):
        return str(self.folder / (disk.replace("/", "-") + ".sock"))

    def front(self, disk, **options):
        return DiskFront(self.socket(disk), **options)

    def status(self, disk):
        return next(d for d in self.pmd.call("status")["disks"] if d["disk"] == disk)

    def stats(self, disk):
        return next(d for d in self.pmd.call("stats")["disks"] if d["disk"] == disk)

    def restart(self):
        """As a daemon does it: a new process, and its own description of each image."""
        self.pmd.kill()
        self.pmd.start()
        for disk, (path, flags, members) in list(self.images.items()):
            self.add(disk, path, flags, **members)


@pytest.fixture
def disks(build_dir, short_tmp):
    made = Disks(str(build_dir / "pmd-backends" / "viaduct-pmd"), short_tmp)
    try:
        yield made
        if made.pmd.process is not None:
            assert made.pmd.stop() == 0, made.pmd.text()
    finally:
        made.pmd.kill()
    assert not SANITIZER.search(made.pmd.text()), made.pmd.text()


@pytest.fixture(params=["cached", "direct"])
def flags(request):
    return os.O_RDWR | (os.O_DIRECT if request.param == "direct" else 0)


def test_what_is_written_is_in_the_image_and_is_read_back(disks, flags):
    path = disks.image()
    with disks.front("vm/root") as front:
        said = disks.add("vm/root", path, flags, serial="a-serial-number")
        assert said["size"] == 8 * MIB and said["direct"] == bool(flags & os.O_DIRECT)
        front.connect()
        assert front.capacity() == 8 * MIB
        rng = random.Random(1)
        for sector, size, shift in ((0, 512, 0), (8, 4096, 0), (100, 8192, 512), (1000, 4096, 4), (16383, 512, 1)):
            data = rng.randbytes(size)
            front.write(sector, data, shift=shift)
            assert front.read(sector, size, shift=shift) == data
            front.flush()
            with open(path, "rb") as file:
                file.seek(sector * SECTOR)
                assert file.read(size) == data
        assert front.do(T_ID, length=20) == b"a-serial-number".ljust(20, b"\0")
        assert disks.status("vm/root")["state"] == "running"
        stats = disks.stats("vm/root")
        assert stats["writes"] == 5 and stats["flushes"] == 5 and stats["errors"] == 0, stats

# SPDX-License-Identifier: BSD-3-Clause
"""A viaduct-pmd of the role "block" with its disks, as viaductd has it."""

import os

from disk_front import DiskFront
from pmdkit import Pmd, exchange

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

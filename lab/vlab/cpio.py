# SPDX-License-Identifier: BSD-3-Clause
"""Writes cpio archives of the kind the kernel unpacks as initramfs ("newc", initramfs-buffer-format).

Archives may be appended to each other: the kernel unpacks them in order. Every archive that this
class writes is padded to 512 bytes, so plain concatenation is right.
"""

import stat


class Archive:
    def __init__(self):
        self._parts = []
        self._dirs = set()
        self._ino = 0

    def add_dir(self, path, mode=0o755):
        if path and path not in self._dirs:
            self._parents(path)
            self._dirs.add(path)
            self._entry(path, stat.S_IFDIR | mode)

    def add_file(self, path, data, mode=0o644):
        self._parents(path)
        self._entry(path, stat.S_IFREG | mode, data)

    def add_symlink(self, path, target):
        self._parents(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def add_chardev(self, path, major, minor, mode=0o600):
        self._parents(path)
        self._entry(path, stat.S_IFCHR | mode, b"", (major, minor))

    def to_bytes(self):
        self._entry("TRAILER!!!", 0)
        data = b"".join(self._parts)
        self._parts.pop()
        return data + b"\0" * (-len(data) % 512)

    def _parents(self, path):
        head = path.rpartition("/")[0]
        if head:
            self.add_dir(head)

    def _entry(self, path, mode, data=b"", rdev=(0, 0)):
        self._ino += 1
        name = path.encode() + b"\0"
        fields = (self._ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name), 0)
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

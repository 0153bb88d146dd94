# SPDX-License-Identifier: BSD-3-Clause
"""One run at a time on a host, and what it has borrowed that does not end with its processes, noted for the run after one that was
killed. A file beside the run directory, which is there whether the daemon runs or not; flock() holds it. Who may not write there has
one of his own."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import stat
import sys

from . import BenchError

RUN_DIR = "/run/viaduct"
USER_DIRS = "/run/user"
LAST_DIR = "/tmp"  # for a user without a folder of his own: what lies there by that name and is not his is refused
SIZE_MAX = 1 << 20
# What may be undone later; left.py has how.
NAMES = ("restore", "bind", "pool_shrink", "link", "address_del", "lease_release", "vm_delete")


def path():
    named = pathlib.Path(os.environ.get("VIADUCT_RUN_DIR") or RUN_DIR)
    private = [pathlib.Path(folder) / "viaduct.bench" for folder in (os.environ.get("XDG_RUNTIME_DIR"), f"{USER_DIRS}/{os.geteuid()}") if folder]
    for file in (pathlib.Path(f"{named}.bench"), *private):
        if os.access(file if file.exists() else file.parent, os.W_OK):
            return file
    return pathlib.Path(LAST_DIR) / f"viaduct.bench.{os.geteuid()}"


def opened(file):
    """A plain file of this user's, that nobody can have put a link in the place of."""
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as e:
        raise BenchError(f"{file}: {e.strerror}; it keeps two runs from measuring each other") from e
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        os.close(fd)
        raise BenchError(f"{file} is not a file of this user's alone; it keeps two runs from measuring each other")
    return fd


def holder(fd):
    """The process that has the lock; "another process": the kernel does not say."""
    inode = os.fstat(fd).st_ino
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            match = re.search(r"\bFLOCK\b.* (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ", line)
            if match and int(match.group(2)) == inode and "->" not in line:
                return f"process {match.group(1)}"
    return "another process"


def locked(fd, out=sys.stderr):
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"bench: {holder(fd)} measures on this host; waiting for its end", file=out, flush=True)
        fcntl.flock(fd, fcntl.LOCK_EX)


@contextlib.contextmanager
def alone():
    """Two at once would measure each other, on the same processors."""
    fd = opened(path())
    try:
        locked(fd)
        yield
    finally:
        os.close(fd)


class Journal:
    """Entries are lines: {"id", "what", "undo": name, "with": arguments}, and {"done": id}."""

    def __init__(self):
        self.fd, self.last = None, 0

    def __enter__(self):
        self.fd = opened(path())
        try:
            locked(self.fd)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.fd is not None:
            if not self.left():
                os.ftruncate(self.fd, 0)
            os.close(self.fd)
            self.fd = None

    def add(self, line):
        if self.fd is not None:
            os.lseek(self.fd, 0, os.SEEK_END)
            os.write(self.fd, json.dumps(line).encode() + b"\n")

    def note(self, what, undo, args):
        """A number for done(); 0: it is none of what can be undone later."""
        if undo not in NAMES:
            return 0
        self.last += 1
        self.add({"id": self.last, "what": what, "undo": undo, "with": list(args)})
        return self.last

    def done(self, number):
        if number:
            self.add({"done": number})

    def left(self):
        """Entries that nobody undid, the last first. Lines that are none are passed over."""
        if self.fd is None:
            return []
        found = {}
        for line in os.pread(self.fd, SIZE_MAX, 0).decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                entry = json.loads(line)
                if "done" in entry:
                    found.pop(entry["done"], None)
                elif entry["undo"] in NAMES and isinstance(entry["with"], list):
                    found[entry["id"]] = entry
                    self.last = max(self.last, int(entry["id"]))
        return list(found.values())[::-1]

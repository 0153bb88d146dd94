# SPDX-License-Identifier: BSD-3-Clause
"""Files that are written: whole or not at all, and nothing but what was named."""

import os
import stat
import tempfile

from .schema import ReportError, clean

MODE = 0o666  # what a new file has before the umask


def reason(path, e):
    return ReportError(f"{clean(str(path))}: {getattr(e, 'strerror', None) or e}")


def kind_of(path):
    """Of the name itself, not of what a link leads to; None: there is nothing."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def is_replaced(path):
    """A plain file, or none yet. A device, a pipe or a link is opened and written to, as a shell does."""
    try:
        mode = kind_of(path)
    except (OSError, ValueError):
        return False
    return mode is None or stat.S_ISREG(mode)


def beside(path):
    """An empty file of its own in the same folder, by a name that nobody can have foreseen: (descriptor, its name)."""
    folder, name = os.path.split(os.fspath(path))
    return tempfile.mkstemp(prefix=f".{name[:64]}.", dir=folder or ".")


def mode_for(path):
    mode = kind_of(path)
    if mode is not None:
        return stat.S_IMODE(mode) & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return MODE & ~umask


def replace(path, data):
    fd, made = beside(path)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode_for(path))
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise


def write(path, data):
    """data: text or bytes. There is never half a file. ReportError: it says why not."""
    data = data.encode("utf-8", "replace") if isinstance(data, str) else data
    try:
        if is_replaced(path):
            replace(path, data)
            return
        with open(path, "wb") as file:
            file.write(data)
    except (OSError, ValueError) as e:
        raise reason(path, e) from None


def attempt(path):
    """ReportError: it cannot be written, as far as one sees before. Leaves it as it is."""
    try:
        if not is_replaced(path):
            if os.path.isdir(path):
                raise IsADirectoryError(21, "is a folder")
            if os.path.exists(path) and not os.access(path, os.W_OK):
                raise PermissionError(13, "may not be written")
            return
        fd, made = beside(path)
        os.close(fd)
        os.unlink(made)
    except (OSError, ValueError) as e:
        raise reason(path, e) from None

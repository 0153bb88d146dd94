# SPDX-License-Identifier: BSD-3-Clause
"""What mends the emulator (lab/emulator/mend.c), compiled once for each state of the emulator and of the source."""

import fcntl
import hashlib
import os
import shutil
import subprocess

from vlab import LabError

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "emulator", "mend.c")
FITS = "mend: fits"
MIN_VERSION = (10, 0, 0)  # the parameters of what is replaced were others before


def ensure(cache_dir, program, version, say):
    """The path of the library to load into the emulator PROGRAM before it starts; None if it does not fit that."""
    path = shutil.which(program)
    if not path:
        return None
    if version < MIN_VERSION:
        say(f"the emulator's faults stay (lab/emulator/mend.c): {program} is too old")
        return None
    library = os.path.join(cache_dir, f"mend-{_state(path)}.so")
    try:
        if not os.path.exists(library):
            with open(os.path.join(cache_dir, "mend.lock"), "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not os.path.exists(library):
                    _build(path, library)
        return library
    except (LabError, OSError) as e:
        say(f"the emulator's faults stay (lab/emulator/mend.c): {e}")
        return None


def _state(path):
    with open(SOURCE, "rb") as f:
        digest = hashlib.sha256(f.read())
    info = os.stat(path)
    digest.update(f"{os.path.realpath(path)} {info.st_size} {info.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _build(path, library):
    new = f"{library}.new"
    command = ["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", new, SOURCE]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"gcc: {done.stdout.strip()[-1000:] or done.returncode}")
    said = subprocess.run([path, "--version"], env={**os.environ, "LD_PRELOAD": new, "VIADUCT_LAB_MEND": "1"},
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False).stderr
    if FITS not in said:
        os.unlink(new)
        raise LabError(f"{path} is not what it is made for: {said.strip()[-300:] or 'no word of it'}")
    os.replace(new, library)

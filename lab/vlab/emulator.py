# SPDX-License-Identifier: BSD-3-Clause
"""What mends the emulator (lab/emulator/mend.c), compiled once for each state of the emulator and of the source."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess

from vlab import LabError

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "emulator", "mend.c")
FITS = "mend: fits"
TRIED = ((10, 0),)  # what is replaced had other parameters before, and has others later
PATIENCE_S = 30


class _DoesNotFit(LabError):
    pass


def ensure(cache_dir, program, version, say):
    """The path of the library to load into the emulator PROGRAM before it starts; None if it does not fit that."""
    path = shutil.which(program)
    if not path:
        return None
    try:
        if version[:2] not in TRIED:
            known = ", ".join(".".join(map(str, tried)) for tried in TRIED)
            raise LabError(f"{program} is {'.'.join(map(str, version))}; it is made for {known}")
        return _library(cache_dir, path)
    except (LabError, OSError, subprocess.TimeoutExpired) as e:
        say(f"the emulator's faults stay (lab/emulator/mend.c): {e}")
        return None


def _library(cache_dir, path):
    library = os.path.join(cache_dir, f"mend-{_state(path)}.so")
    if os.path.exists(library):
        return library
    with open(os.path.join(cache_dir, "mend.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(library):
            return library
        # Whether it fits stays as it is as long as both are what they are.
        no = library.removesuffix(".so") + ".no"
        if os.path.exists(no):
            raise _DoesNotFit(f"{path} is not what it is made for ({no})")
        try:
            _build(path, library)
        except _DoesNotFit as e:
            with open(no, "w", encoding="utf-8") as f:
                print(e, file=f)
            raise
    return library


def _state(path):
    with open(SOURCE, "rb") as f:
        digest = hashlib.sha256(f.read())
    info = os.stat(path)
    digest.update(f"{os.path.realpath(path)} {info.st_size} {info.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _run(command, **kwargs):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, check=False, timeout=PATIENCE_S, **kwargs)


def _build(path, library):
    new = f"{library}.new"
    command = ["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", new, SOURCE]
    try:
        done = _run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise LabError(f"gcc: {done.stdout.strip()[-1000:] or done.returncode}")
        said = _run([path, "--version"], env={**os.environ, "LD_PRELOAD": new, "VIADUCT_LAB_MEND": "1"},
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
        if FITS not in said:
            raise _DoesNotFit(f"{path} is not what it is made for: {said.strip()[-300:] or 'no word of it'}")
        os.replace(new, library)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(new)

# SPDX-License-Identifier: BSD-3-Clause
"""viaduct as an operator uses it: the command, with --json. What was taken is given back by give_back()."""

import contextlib
import json
import os
import pathlib
import secrets
import subprocess

from . import BenchError

SECONDS = 180
RUN = secrets.token_hex(4)
TOP = pathlib.Path(__file__).resolve().parents[2]


def ours(name):
    """A name that nobody else gives a VM or a lease. It is noted before the daemon has it, and the run after one that was killed gives back
    whatever has that name then."""
    return f"{name}-{RUN}"


class NoAnswer(BenchError):
    """Not in time: what was asked may still come true."""


def command():
    """The command that called us; else that of the tree."""
    named = os.environ.get("VIADUCT_BENCH_CLI")
    if named:
        return named
    root = os.environ.get("VIADUCT_BUILD") or pathlib.Path(os.environ.get("VIADUCT_BUILD_ROOT", TOP / "build")) / "release"
    return str(pathlib.Path(root) / "cli/viaduct")


def viaduct(*words, seconds=SECONDS):
    """The object that `viaduct WORDS --json` prints."""
    socket = os.environ.get("VIADUCT_BENCH_SOCKET")
    line = [command(), *(["--socket", socket] if socket else []), *map(str, words), "--json"]
    try:
        # A session of its own: Ctrl-C must not end it in the middle.
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False,
                              start_new_session=True)
    except subprocess.TimeoutExpired as e:
        raise NoAnswer(f"viaduct {' '.join(map(str, words))}: no answer in {seconds} s") from e
    except OSError as e:
        raise BenchError(f"{line[0]} cannot be run: {e}") from e
    if done.returncode != 0:
        raise BenchError(f"viaduct {' '.join(map(str, words))}: {reason(done.stderr)}")
    try:
        return json.loads(done.stdout) if done.stdout.strip() else {}
    except ValueError as e:
        raise BenchError(f"viaduct {' '.join(map(str, words))}: says no JSON: {done.stdout[:200]!r}") from e


def reason(text):
    """Of an error object on standard error, or of words."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        error = json.loads(text)
        error = error.get("error", error)
        return "; ".join(str(error[key]) for key in ("text", "message", "hint") if error.get(key))
    return text.strip() or "it failed and did not say why"


class Lease:
    """A VF that no VM has: for a program on the host."""

    def __init__(self, pf, name):
        self.name = name
        self.vf = viaduct("vf", "alloc", *(["--pf", pf] if pf else []), "--name", name)

    @property
    def address(self):
        return self.vf["address"]


def lease_release(name):
    viaduct("vf", "release", name)


def vm_delete(name):
    viaduct("vm", "delete", name, "--force")

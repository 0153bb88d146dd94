# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark needs of the machine, and what the machine is."""

import contextlib
import os
import pathlib
import platform
import re
import subprocess
import sys

from processes import BenchError

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import run  # noqa: E402
from run import journal  # noqa: E402

POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
PAGE_MIB = 2


def read(path):
    return pathlib.Path(path).read_text().strip()


@contextlib.contextmanager
def alone():
    """Two at once would measure each other. Until a case of another run is over, this one waits."""
    try:
        with journal.alone():
            yield
    except run.BenchError as e:
        raise BenchError(str(e)) from e


def pool_grow(pages):
    (POOL / "nr_hugepages").write_text(str(max(0, int(read(POOL / "nr_hugepages")) + pages)))


@contextlib.contextmanager
def hugepages(mib):
    """So much free; as many as were added are taken back: others may change the pool meanwhile."""
    try:
        free = int(read(POOL / "free_hugepages"))
    except OSError as e:
        raise BenchError(f"no 2 MiB pages here ({e}): bench/polled.bench --small-pages") from e
    missing = max(0, mib // PAGE_MIB - free)
    if not missing:
        yield
        return
    added = 0
    try:
        before = int(read(POOL / "nr_hugepages"))
        pool_grow(missing)
        added = int(read(POOL / "nr_hugepages")) - before  # the kernel may not have had all of them
        if int(read(POOL / "free_hugepages")) < mib // PAGE_MIB:
            raise BenchError(f"{mib} MiB of hugepages are not to be had: free some memory, or bench/polled.bench --small-pages")
        yield
    except PermissionError as e:
        raise BenchError(f"{mib} MiB of hugepages take root: run as root, or bench/polled.bench --small-pages") from e
    finally:
        if added > 0:
            with contextlib.suppress(OSError):
                pool_grow(-added)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip {' '.join(words)}: {done.stderr.strip()}; cases with network devices take root")


@contextlib.contextmanager
def wires(names):
    """A network namespace with a cable for each of the names: (words that run a command in it, name -> (device, far end))."""
    space = f"bench-polled-{os.getpid()}"
    ip("netns", "add", space)
    try:
        # Not nsenter: devices are looked up in /sys, too.
        enter = ("ip", "netns", "exec", space)
        for setting in ("default", "all"):
            subprocess.run([*enter, "sysctl", "-q", f"net.ipv6.conf.{setting}.disable_ipv6=1"], check=False)
        made = {}
        for name in names:
            near, far = made[name] = (f"{name}-a", f"{name}-b")
            ip("-n", space, "link", "add", near, "numrxqueues", "1", "numtxqueues", "1", "type", "veth", "peer", "name", far,
               "numrxqueues", "1", "numtxqueues", "1")
            for device in (near, far):
                ip("-n", space, "link", "set", device, "up", "promisc", "on")
        yield enter, made
    finally:
        ip("netns", "del", space)


def cpus():
    """(the generator's, the backends')"""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[min(1, len(mine) - 1)]


def output(*command):
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def facts():
    info = read("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info)
    speed = re.search(r"cpu MHz\s*: ([\d.]+)", info)
    return {"cpu": model.group(1) if model else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "virtual": "hypervisor" in info, "mhz": float(speed.group(1)) if speed else None,
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20}


def versions(tree):
    return {"viaduct": output("git", "-C", str(tree), "describe", "--always", "--dirty")}

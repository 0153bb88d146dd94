# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark needs of the machine, and what the machine is."""

import contextlib
import os
import pathlib
import platform
import re
import subprocess

from processes import BenchError

POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
PAGE_MIB = 2


def read(path):
    return pathlib.Path(path).read_text().strip()


@contextlib.contextmanager
def hugepages(mib):
    """So much free; what was not there before is given back."""
    try:
        total, free = int(read(POOL / "nr_hugepages")), int(read(POOL / "free_hugepages"))
    except OSError as e:
        raise BenchError(f"no 2 MiB pages here ({e}): bench/polled.bench --small-pages") from e
    missing = max(0, mib // PAGE_MIB - free)
    if not missing:
        yield
        return
    try:
        (POOL / "nr_hugepages").write_text(str(total + missing))
        if int(read(POOL / "free_hugepages")) < mib // PAGE_MIB:
            raise BenchError(f"{mib} MiB of hugepages are not to be had: free some memory, or bench/polled.bench --small-pages")
        yield
    except PermissionError as e:
        raise BenchError(f"{mib} MiB of hugepages take root: run as root, or bench/polled.bench --small-pages") from e
    finally:
        with contextlib.suppress(OSError):
            (POOL / "nr_hugepages").write_text(str(total))


def cpus():
    """(the generator's, the backends')"""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[min(1, len(mine) - 1)]


def output(*command):
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def tsc_mhz():
    with contextlib.suppress(OSError, AttributeError):
        log = output("dmesg")
        return float(re.findall(r"tsc: .*?([\d.]+) MHz", log)[-1])
    return None


def facts():
    info = read("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info)
    speed = re.search(r"cpu MHz\s*: ([\d.]+)", info)
    return {"cpu": model.group(1) if model else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "virtual": "hypervisor" in info, "mhz": float(speed.group(1)) if speed else None,
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20}


def versions(tree):
    testpmd = output("dpkg-query", "-W", "-f", "${Version}", "dpdk")
    return {"viaduct": output("git", "-C", str(tree), "describe", "--always", "--dirty"), "dpdk": testpmd}

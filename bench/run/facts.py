# SPDX-License-Identifier: BSD-3-Clause
"""What decides the figures of a run: facts of the host, and warnings of what spoils them, each with what to do."""

import functools
import os
import pathlib
import platform
import re
import shutil
import subprocess

from . import host
from .operator import BenchError, viaduct

CPU = pathlib.Path("/sys/devices/system/cpu")
BUSY_SHARE = 0.1  # of the processors, by others


def emulated():
    """The reason why this machine is no real one; "": it is."""
    if re.search(r"^flags\s*:.*\bhypervisor\b", host.read("/proc/cpuinfo"), re.MULTILINE):
        maker = host.read("/sys/class/dmi/id/sys_vendor") or "unknown maker"
        return f"the processor says hypervisor ({maker})"
    vendor = host.read("/sys/class/dmi/id/sys_vendor")
    return f"the firmware says {vendor}" if vendor in ("QEMU", "KVM", "VMware, Inc.", "Xen", "Bochs") else ""


def governor():
    found = {host.read(path) for path in CPU.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(found)) or "none"


def cpu_model():
    match = re.search(r"^model name\s*: (.*)$", host.read("/proc/cpuinfo"), re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()


def version(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return "none"


def remapping():
    """By viaduct's own word: is DMA remapped, are interrupts, can they be posted."""
    try:
        units = viaduct("iommu", "list")["units"]
    except (BenchError, KeyError):
        return {"dma": "unknown", "interrupts": "unknown", "posted": "unknown"}
    return {"dma": bool(units), "units": len(units),
            **{key: bool(units) and all(unit.get(name) is True for unit in units)
               for key, name in (("interrupts", "interrupt_remapping"), ("posted", "posted_interrupts"))}}


def numa_nodes():
    return len(list(pathlib.Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1


def smt():
    return host.read(CPU / "smt/active", "0") == "1"


def drivers(addresses):
    return {address: host.driver_of(address) or "none" for address in addresses if address}


def boot_words():
    """Of the kernel's command line, what decides figures; the rest is the host's own business."""
    wanted = re.compile(r"^(isolcpus|nohz|nohz_full|rcu_nocbs|mitigations|intel_iommu|amd_iommu|iommu|default_hugepagesz|hugepagesz|"
                        r"hugepages|idle|intel_idle\.\w+|processor\.\w+|intel_pstate|amd_pstate|nosmt|no_timer_check)\b")
    return " ".join(word for word in host.read("/proc/cmdline").split() if wanted.match(word))


def memory_mib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def gather(addresses=()):
    total, free = host.pages()
    return {
        "kernel": platform.release(), "boot_words": boot_words(), "cpu": cpu_model(),
        "cpus": os.cpu_count(), "smt": smt(), "governor": governor(),
        "isolated_cpus": host.read(CPU / "isolated") or "none", "memory_mib": memory_mib(),
        "hugepages": {"total": total, "free": free}, "numa": numa_nodes(), "emulated_because": emulated() or "it is not",
        "remapping": remapping(), "load": os.getloadavg()[0],
        "drivers": drivers(addresses),
        "versions": {"qemu": version("qemu-system-x86_64", "--version") if shutil.which("qemu-system-x86_64") else "none",
                     "dpdk": version("pkg-config", "--modversion", "libdpdk") if shutil.which("pkg-config") else "unknown"},
    }


# (code, whether it is so of these facts, what it does to the figures, what to do)
WARNINGS = (
    ("emulated", lambda f: f["emulated_because"] != "it is not",
     "this machine is emulated or a guest itself: rates say little, and even ratios measure the emulated device",
     "rerun on a bare host; here, read the counts first"),
    ("governor", lambda f: f["governor"] not in ("performance", "none"),
     "the processors change their speed", "cpupower frequency-set -g performance"),
    ("no-isolation", lambda f: f["isolated_cpus"] == "none",
     "the host's own work runs on the processors that are measured", "boot with isolcpus=, nohz_full= and rcu_nocbs= for them"),
    ("smt", lambda f: f["smt"],
     "two threads share each core, and neighbours show", "echo off >/sys/devices/system/cpu/smt/control"),
    ("few-cpus", lambda f: (f["cpus"] or 1) < 3,
     "generator, guest and host share processors", "three processors at least, one for each"),
    ("hugepages", lambda f: f["hugepages"]["total"] == 0,
     "no hugepages were set aside: those made now may be scattered", "boot with hugepages=N, or sysctl vm.nr_hugepages=N early"),
    ("remapping-off", lambda f: f["remapping"].get("dma") is False,
     "DMA is not remapped: a guest has no VF that is isolated", "intel_iommu=on on the kernel's command line; viaduct host check"),
    ("interrupts-not-posted", lambda f: f["remapping"].get("posted") is False,
     "interrupts of VFs are not posted: each one that meets a running guest is an exit", "a processor and IOMMU that post; viaduct iommu list"),
    ("busy-neighbours", lambda f: f["load"] > BUSY_SHARE * (f["cpus"] or 1),
     "others use the processors", "stop them, and look at the intervals"),
)


@functools.cache
def viaduct_version():
    try:
        return str(viaduct("version").get("client") or viaduct("version").get("version"))
    except BenchError:
        return "unknown"


def warnings(facts):
    return [{"code": code, "text": f"{text}; {remedy}"} for code, so, text, remedy in WARNINGS if so(facts)]

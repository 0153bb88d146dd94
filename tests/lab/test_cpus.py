# SPDX-License-Identifier: BSD-3-Clause
"""vCPUs as the guest sees them and as the host runs them: topology, hot-unplug, time, dedicated CPUs,
and what is said of a vCPU that cannot go on."""

import contextlib
import pathlib
import re
import struct
import subprocess
import time

import pytest
from labkit import Failed, Guest, cli, eventually, refused
from vmmdrive import Vmm

CPU = "/sys/devices/system/cpu"
DEBUGFS = pathlib.Path("/sys/kernel/debug")
NOWHERE = 0x70000000  # neither RAM of a small guest nor a device


def values(guest, name, cpus):
    """The file below cpuN/ of each CPU, in order."""
    out = guest.run(f"for n in $(seq 0 {cpus - 1}); do cat {CPU}/cpu$n/{name}; done")
    return out.split()


def complaints(guest):
    return guest.run("dmesg | grep -E 'nstable|skew|lockup|stall|BUG:|WARNING:|mismatch' || true").strip()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("cpus,boots", [(3, 2), (8, 1)])
def test_topology(daemon, folder, cpus, boots):
    """One package of cores with one thread each, whether or not their number is a power of two; and
    each CPU can go and come back by INIT and SIPI, after a reset of the guest, too."""
    everyone = f"0-{cpus - 1}"
    with Guest(folder, f"cpus{cpus}", cpus=cpus) as guest:
        for boot in range(1, boots + 1):
            assert guest.run(f"cat {CPU}/online {CPU}/present").split() == [everyone] * 2
            assert set(values(guest, "topology/physical_package_id", cpus)) == {"0"}
            assert len(set(values(guest, "topology/core_id", cpus))) == cpus
            own = [str(n) for n in range(cpus)]
            assert values(guest, "topology/thread_siblings_list", cpus) == own
            assert values(guest, "topology/core_siblings_list", cpus) == [everyone] * cpus
            assert values(guest, "cache/index0/shared_cpu_list", cpus) == own
            assert values(guest, "cache/index3/shared_cpu_list", cpus) == [everyone] * cpus
            for cpu in (1, cpus - 1):
                guest.run(f"echo 0 > {CPU}/cpu{cpu}/online")
                assert guest.run("grep -c ^processor /proc/cpuinfo").strip() == str(cpus - 1)
                guest.run(f"echo 1 > {CPU}/cpu{cpu}/online")
                assert guest.run(f"taskset {1 << cpu:x} cat {CPU}/online").strip() == everyone
            assert complaints(guest) == ""
            if boot < boots:
                guest.console.run("reboot -f &", 10)
                guest.console.wait_ready(120)


def uptime(guest):
    return float(guest.run("cat /proc/uptime").split()[0])


def test_time_over_pause_and_reset(daemon, folder):
    """A pause stops the vCPUs and not the clocks: the guest's date stays the host's."""
    with Guest(folder, "time", cpus=2) as guest:
        source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        assert guest.run(f"cat {source}").strip() == "kvm-clock"
        for boot in range(2):
            before, begin = uptime(guest), time.monotonic()
            cli("vm", "pause", "time")
            time.sleep(5)
            cli("vm", "resume", "time")
            passed, went = time.monotonic() - begin, uptime(guest) - before
            assert abs(went - passed) < 1, (went, passed)
            assert abs(int(guest.run("date +%s")) - time.time()) < 3
            time.sleep(3)  # the guest's watchdogs look
            assert complaints(guest) == ""
            assert guest.run(f"cat {source}").strip() == "kvm-clock"
            if boot == 0:
                guest.console.run("reboot -f &", 10)
                guest.console.wait_ready(120)


def threads(pid):
    """Host CPUs by thread name, as the kernel lists them."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        found[re.search(r"Name:\t(.*)", text)[1]] = re.search(r"Cpus_allowed_list:\t(.*)", text)[1]
    return found


@contextlib.contextmanager
def kvm_counters(pid):
    """counters(name): KVM's own count for the VM of this process."""
    mounted = (DEBUGFS / "kvm").exists()
    if not mounted:
        subprocess.run(["mount", "-t", "debugfs", "none", DEBUGFS], check=True)
    try:
        folder = next((DEBUGFS / "kvm").glob(f"{pid}-*"))
        yield lambda name: int((folder / name).read_text())
    finally:
        if not mounted:
            subprocess.run(["umount", DEBUGFS], check=True)


def halts(guest, seconds=5):
    """Exits for HLT of an idle guest."""
    with kvm_counters(guest.show()["pid"]) as count:
        time.sleep(1)
        before = count("halt_exits")
        time.sleep(seconds)
        return count("halt_exits") - before


def test_dedicated_cpu(daemon, folder):
    with Guest(folder, "shared", cpus="1, pin: [1], shares: 250") as guest:
        assert threads(guest.show()["pid"])["vcpu0"] == "1"
        assert guest.show()["limits"] == {"tasks": 65, "cpu_weight": 250, "cpus": None}
        assert guest.show()["core_scheduling"] == "off"  # pinned: by somebody who knows what runs beside it
        assert guest.show()["cpus"] == {"pin": [1], "dedicated": False}
        assert halts(guest) > 0
        file = folder / "fast.yaml"
        file.write_text(guest.file.read_text().replace("shared", "fast").replace(
            "[1]", "[1], dedicated: true"))
        assert "host CPU 1 is pinned by VM shared" in refused("vm", "run", str(file), status=1)
    with Guest(folder, "fast", cpus="1, pin: [1], dedicated: true") as guest:
        shown = guest.show()
        assert shown["cpus"] == {"pin": [1], "dedicated": True}
        found = threads(shown["pid"])
        assert found["vcpu0"] == "1" and found["viaduct-vmm"] == "0", found
        assert "1 (dedicated)" in cli("vm", "show", "fast")
        # All of its process may be there, and where the host's own work is.
        assert (shown["limits"]["tasks"], shown["limits"]["cpus"]) == (65, "0-1")
        group = pathlib.Path("/sys/fs/cgroup/viaduct/vm-fast")
        assert (group / "cpuset.cpus.effective").read_text().strip() == "0-1"
        assert halts(guest) == 0
        assert guest.run("echo works").strip() == "works"
        refusal = refused("vm", "run", str(other_file(folder, guest)), status=1)
        assert "host CPU 1 is dedicated to VM fast" in refusal
        assert "is not isolated" in cli("vm", "check", str(guest.file))
        # A guest that idles in HLT is stopped, paused and killed as any other.
        cli("vm", "pause", "fast")
        cli("vm", "resume", "fast")
        cli("vm", "stop", "fast")
        assert guest.show()["exit"]["reason"] == "poweroff"


def other_file(folder, guest):
    file = folder / "slow.yaml"
    file.write_text(guest.file.read_text().replace("fast", "slow").replace(", dedicated: true", ""))
    return file


def test_all_cpus_dedicated_is_refused(daemon, folder):
    from labkit import vmfile

    file = vmfile.write(folder, "greedy", cpus="2, pin: [0, 1], dedicated: true")
    assert "no CPU would be left for the host" in refused("vm", "run", str(file), status=1)


def pvh_kernel(path, code):
    """The least that is a PVH kernel: 32-bit code, entered with paging off."""
    base, head = 0x200000, 64 + 2 * 56
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", base)
    offset = head + len(note)
    elf = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, base, 64, 0, 0, 64, 56, 2,
                      0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, offset, base, base, len(code), len(code), 16)
    notes = struct.pack("<IIQQQQQQ", 4, 4, head, 0, 0, len(note), len(note), 4)
    path.write_bytes(elf + load + notes + note + code)
    return path


def test_a_guest_that_leaves_its_memory_is_told_so(build_dir, tmp_path):
    """It jumps where nothing is: KVM's internal error, a cause in words, one dump in the log."""
    kernel = pvh_kernel(tmp_path / "kernel", b"\xb8" + struct.pack("<I", NOWHERE) + b"\xff\xe0")
    with open(tmp_path / "log", "w+") as log, Vmm(str(build_dir / "vmm/viaduct-vmm"), stderr=log) as vmm:
        vmm.launch(vmm.spec(mem_mib=64, cpus=2), kernel)
        assert vmm.wait(60) == 1
        record = vmm.record()
        log.seek(0)
        text = log.read()
    assert record["reason"] == "internal-error", record
    assert f"the guest runs at {NOWHERE:#x}, where it has no RAM" in record["text"]
    assert "jump through a wrong pointer" in record["text"]
    assert f"rip {NOWHERE:#x}" in text and "suberror 1" in text
    assert text.count("exit 17") == 1, text


def test_the_operator_sees_why_a_vcpu_stopped(daemon, folder):
    kernel = pvh_kernel(folder / "jumps", b"\xb8" + struct.pack("<I", NOWHERE) + b"\xff\xe0")
    file = folder / "jumps.yaml"
    file.write_text(f"name: jumps\nmemory: {{size: 64M}}\nboot: {{kernel: {kernel}}}\n")
    with contextlib.suppress(Failed):  # it may be gone before the reply
        cli("vm", "run", str(file))
    eventually(lambda: "internal-error" in cli("vm", "show", "jumps"), "the end of the VM")
    said = cli("vm", "show", "jumps")
    assert "failed" in said and "where it has no RAM; look in the guest" in said

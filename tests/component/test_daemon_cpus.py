# SPDX-License-Identifier: BSD-3-Clause
"""Which host CPUs and which NUMA node a VM gets beside the others, on a host made of files: eight
CPUs, two threads a core, nodes 0 (CPUs 0 to 3) and 1 (4 to 7), of which 2, 3, 6 and 7 are isolated."""

import ctypes
import errno
import json
import signal
import socket

import daemonkit
import pytest
from test_daemon_events import metrics


@pytest.fixture
def run(host, short_tmp):
    """run("vm1", "{pin: [2, 3]}") -> the VM, or with status= the error."""

    def start(name, cpus="", status=200, memory="size: 64M", target="/v1/vms"):
        text = daemonkit.vm_yaml(short_tmp, name, extra=f"cpus: {cpus}\n" if cpus else "")
        text = text.replace("size: 64M", memory)
        got, body = host.request("POST", target, {"yaml": text})
        assert got == status, body
        return body if status == 200 else body["error"]

    return start


def launched(host, name):
    """cpus and memory as the VMM was told them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(host.run_dir / "vm" / name / "control.sock"))
        s.send(b'{"v":1,"op":"status"}')
        result = json.loads(s.recv(65536))["result"]
        return result["cpus"], result["ram"]


def test_a_dedicated_vm_has_its_cpus_for_itself(host, run):
    vm = run("fast", "{pin: [2, 3], dedicated: true}")
    assert vm["cpus"] == {"pin": [2, 3], "dedicated": True} and vm["warnings"] == []
    cpus, _ = launched(host, "fast")
    assert cpus["dedicated"] is True and cpus["pin"] == [2, 3]
    own = cpus["own"].split(",")
    assert own != [""] and not {"2", "3", "2-3", "0-7"} & set(own)
    # Others: neither dedicated nor merely pinned there, at `vm check` as at `vm run`.
    for target in ("/v1/vms", "/v1/vms/check"):
        error = run("slow", "{pin: [3]}", 409, target=target)
        assert error["code"] == "cpu-in-use", error
        assert "cpus.pin: host CPU 3 is dedicated to VM fast" in error["text"]
        assert "0-1,4-7 have no VM" in error["hint"] and "viaduct vm stop fast" in error["hint"]
    # The VMMs of other VMs keep off them as well.
    run("plain")
    assert launched(host, "plain")[0]["own"] == cpus["own"]
    assert launched(host, "plain")[0]["dedicated"] is False


def test_dedicated_needs_cpus_that_nobody_has(host, run):
    run("slow", "{pin: [5]}")
    run("other", "{pin: [5]}")  # two that share know what they do
    error = run("fast", "{pin: [4, 5], dedicated: true}", 409)
    assert error["code"] == "cpu-in-use" and "host CPU 5 is pinned by VM" in error["text"]
    host.request("POST", "/v1/vms/other/kill", {})
    host.request("POST", "/v1/vms/slow/kill", {})
    assert run("fast", "{pin: [4, 5], dedicated: true}")["cpus"]["dedicated"] is True
    host.request("POST", "/v1/vms/fast/kill", {})
    assert run("fast", "{pin: [4, 5], dedicated: true}")["state"] == "running"


def test_a_core_is_not_shared(host, run, short_tmp):
    run("slow", "{pin: [7]}")
    error = run("fast", "{pin: [6], dedicated: true}", 409)
    assert error["code"] == "cpu-sibling"
    assert "host CPU 6 shares its core with CPU 7 of VM slow" in error["text"]
    error = run("fast", "{pin: [2], dedicated: true}", 409)
    assert "cpu3/online" in error["hint"]
    # As the hint says: the other thread goes offline.
    system = short_tmp / "host/sys/devices/system/cpu"
    (system / "online").write_text("0-2,4-7\n")
    (system / "cpu2/topology/thread_siblings_list").write_text("2\n")
    assert run("fast", "{pin: [2], dedicated: true}")["state"] == "running"


def test_cpus_are_remembered_over_a_restart_of_the_daemon(host, run):
    run("fast", "{pin: [2, 3], dedicated: true}")
    host.stop(signal.SIGKILL)
    host.start()
    assert run("slow", "{pin: [2]}", 409)["code"] == "cpu-in-use"
    assert host.request("GET", "/v1/vms/fast")[1]["cpus"]["dedicated"] is True


def test_cpus_that_are_not_isolated_are_warned_of(run):
    for target in ("/v1/vms/check", "/v1/vms"):
        warnings = run("fast", "{pin: [2, 3, 4, 5], dedicated: true}", target=target)["warnings"]
        assert len(warnings) == 1 and "host CPU 4-5 is not isolated" in warnings[0], warnings
        assert "isolcpus=2-5" in warnings[0]
    assert run("slow", "{pin: [0]}")["warnings"] == []


def test_memory_goes_where_it_is_wanted(host, run):
    vm = run("near", "{pin: [4, 5]}")
    del vm["numa"]["now"]  # by /proc of this machine, if it tells
    assert vm["numa"] == {"node": 1, "policy": "preferred",
                          "nodes": [{"node": 1, "bytes": 64 << 20}]}
    assert launched(host, "near")[1]["numa"] == {"node": 1, "strict": False, "cpus": "4-7"}
    # Its pool has 8 hugepages of 2 MiB, node 0's 64: small pages that are near, not large ones that are far.
    assert launched(host, "near")[1]["hugepage"] == 0
    vm = run("here", memory="size: 64M, numa: 0")
    assert launched(host, "here")[1]["hugepage"] == 2 << 20
    assert vm["numa"]["policy"] == "strict" and vm["numa"]["node"] == 0
    assert launched(host, "here")[1]["numa"]["strict"] is True
    for name, cpus, memory in (("both", "{pin: [3, 4]}", "size: 64M"),
                               ("off", "{pin: [4]}", "size: 64M, numa: off"),
                               ("plain", "", "size: 64M")):
        vm = run(name, cpus, memory=memory)
        assert vm["numa"]["policy"] == "none" and vm["numa"]["node"] is None
        assert "numa" not in launched(host, name)[1]


def test_memory_that_is_moved_is_an_alarm_until_it_is_back(host, run, short_tmp):
    proc = short_tmp / "proc"
    host.stop()
    host.args += ["--proc", str(proc)]
    host.start()

    def lies(vm, *pages):
        """The kernel's word; the VM is looked at anew by a new daemon."""
        maps = proc / str(vm["pid"]) / "numa_maps"
        maps.parent.mkdir(parents=True, exist_ok=True)
        shares = " ".join(f"N{node}={n}" for node, n in enumerate(pages) if n)
        maps.write_text("55d0c2a00000 default file=/usr/bin/viaduct-vmm mapped=60 N1=60 kernelpagesize_kB=4\n"
                        f"7f3c00000000 bind:0 file=/memfd:guest-ram\\040(deleted) huge dirty=32 {shares} kernelpagesize_kB=2048\n")
        host.stop()
        host.start()

    def alarms():
        return {a["object"]: a for a in host.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "numa-drift"}

    strict = run("strict", memory="size: 64M, numa: 0")
    liked = run("liked", "{pin: [0, 1]}")  # node 0 is preferred
    free = run("free")
    assert strict["numa"]["now"] is None
    lies(free, 1, 31)
    lies(liked, 200, 1)  # less than a hundredth
    lies(strict, 31, 1)
    assert daemonkit.eventually(alarms).keys() == {"strict"}
    alarm = alarms()["strict"]
    assert alarm["severity"] == "minor" and f"migratepages {strict['pid']} all 0" in alarm["hint"]
    assert alarm["text"] == "RAM of the VM is not all on node 0: node 0: 62 MiB (96.9%), node 1: 2 MiB (3.1%)"
    now = host.request("GET", "/v1/vms/strict")[1]["numa"]["now"]
    assert now["drift"] is True and now["nodes"] == [{"node": 0, "bytes": 62 << 20}, {"node": 1, "bytes": 2 << 20}]
    said = metrics(host)
    assert f'viaduct_vm_memory_bytes{{vm="strict",node="1",asked="no"}} {2 << 20}' in said
    assert f'viaduct_vm_memory_bytes{{vm="free",node="1",asked="yes"}} {62 << 20}' in said
    lies(strict, 32)
    lies(liked, 30, 2)
    assert daemonkit.eventually(lambda: alarms().keys() == {"liked"}), alarms()
    assert host.request("GET", "/v1/vms/strict")[1]["numa"]["now"]["drift"] is False
    host.request("POST", "/v1/vms/liked/kill", {})
    assert daemonkit.eventually(lambda: not alarms())


def test_cpus_far_from_the_memory_are_warned_of(run):
    warnings = run("far", "{pin: [3, 4]}", memory="size: 64M, numa: 0")["warnings"]
    assert len(warnings) == 1 and "host CPU 4 of cpus.pin is not on node 0" in warnings[0]


def test_a_host_without_nodes(host, run, short_tmp):
    (short_tmp / "host/sys/devices/system/node/online").unlink()
    assert "it has no nodes" in run("vm1", memory="size: 64M, numa: 0", status=400)["text"]
    assert run("vm1", "{pin: [4]}")["numa"]["policy"] == "none"


def core_cookie(pid):
    """PR_SCHED_CORE_GET of a process's first thread; an errno if the host has no such thing."""
    libc = ctypes.CDLL(None, use_errno=True)
    cookie = ctypes.c_ulong()
    if libc.prctl(62, 0, ctypes.c_ulong(pid), ctypes.c_ulong(0), ctypes.byref(cookie)) != 0:
        return -ctypes.get_errno()
    return cookie.value


def test_no_two_vms_share_a_core_at_once(run):
    free, other = run("free"), run("other", "{count: 2}")
    off, pinned = run("off", "{core_scheduling: false}"), run("pinned", "{pin: [1]}")
    asked = run("asked", "{pin: [1], core_scheduling: true}")
    assert [vm["core_scheduling"] for vm in (off, pinned)] == ["off", "off"]
    cookies = {vm["name"]: core_cookie(vm["pid"]) for vm in (free, other, off, pinned, asked)}
    if cookies["free"] < 0:
        # This machine has no cores with two threads (or its kernel none of this): it says so.
        word = "no-smt" if cookies["free"] == -errno.ENODEV else "unsupported"
        assert [vm["core_scheduling"] for vm in (free, other, asked)] == [word] * 3
        assert any("core_scheduling" in w for w in asked["warnings"]) is (word == "unsupported")
        return
    assert [vm["core_scheduling"] for vm in (free, other, asked)] == ["on"] * 3
    assert cookies["off"] == cookies["pinned"] == 0
    assert len({cookies[name] for name in ("free", "other", "asked")} - {0}) == 3


def test_unpinned_vms_keep_off_the_cores_that_poll(host, run, short_tmp):
    host.stop()
    host.config.write_text("backends: {cores: [1]}\nnetworks: [{name: lan, uplinks: []}]\n")
    host.start()
    own = launched(host, run("free")["name"])[0]["own"]
    # Only where there is core scheduling; then CPU 0 is the other thread of CPU 1's core, and may be all that there is.
    if run("probe")["core_scheduling"] == "on":
        assert "0" not in own.split(",") and not own.startswith("0-")
    else:
        assert own == ""


@pytest.mark.parametrize("cpus, words", [
    ("{shares: 0}", "cpus.shares: 0 is not between 1 and 10000"),
    ("{shares: 10001}", "cpus.shares: 10001 is not between"),
    ("{core_scheduling: perhaps}", "core_scheduling"),
])
def test_words_about_cpus_that_make_no_sense(run, cpus, words):
    error = run("vm1", cpus, 400)
    assert words in error["text"] or error["code"] == "yaml", error

# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory and NUMA nodes, on a host of two nodes with a PF on each."""

import os
import pathlib
import re

import pytest
from labkit import Guest, cli, cli_json, eventually, peer, refused, vfs, vmfile

pytestmark = pytest.mark.host("numa")
RAM = 256 << 20


@pytest.fixture
def far_pf(daemon, ports):
    """A PF on node 1 with a free VF."""
    pf = next(p for p in cli_json("pf", "list")["pfs"] if p["numa_node"] == 1 and p["name"] in ports)
    if pf["sriov"]["num_vfs"] != 1:
        cli("pf", "apply", pf["name"], "--vfs", "1")
        peer.wait_carrier(pf["name"])
    eventually(lambda: all(v["state"] == "free" for v in vfs(pf["name"]).values()), "all VFs free")
    return pf["name"]


def node_bytes(pid):
    """Pages of guest RAM by node, from the kernel's table of the VMM's mappings."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/numa_maps").read_text().splitlines():
        if "guest-ram" not in line:
            continue
        size = int(re.search(r"kernelpagesize_kB=(\d+)", line)[1]) << 10
        for node, pages in re.findall(r" N(\d+)=(\d+)", line):
            found[int(node)] = found.get(int(node), 0) + int(pages) * size
    return found


def on(node):
    return [{"node": node, "bytes": RAM}]


def test_memory_lies_at_the_vf(far_pf, folder):
    with Guest(folder, "near", [f"name: wan, pf: {far_pf}"], memory="256M") as guest:
        shown = guest.show()
        assert shown["numa"] == {"node": 1, "policy": "preferred", "nodes": on(1)}
        # KVM, VFIO and the page tables pin some pages; none of them lies elsewhere.
        assert node_bytes(shown["pid"]) == {1: RAM}
        assert "256 MiB on node 1 (preferred: node 1)" in cli("vm", "show", "near")
        # So do the interrupts of its VF, once the guest's driver has them.
        near = pathlib.Path("/sys/devices/system/node/node1/cpulist").read_text().strip()
        guest.run("ip link set eth0 up")
        eventually(lambda: guest.port()["irqs"] and all(i["allowed"] == i["asked"] == near for i in guest.port()["irqs"]), "the interrupts on their node")


def test_memory_lies_where_it_is_told(far_pf, folder):
    with Guest(folder, "told", [f"name: wan, pf: {far_pf}"], memory="256M, numa: 0") as guest:
        shown = guest.show()
        assert shown["numa"] == {"node": 0, "policy": "strict", "nodes": on(0)}
        assert node_bytes(shown["pid"]) == {0: RAM}


def test_memory_lies_at_the_pinned_cpus(daemon, folder):
    cpu = int(pathlib.Path("/sys/devices/system/node/node1/cpulist").read_text().split("-")[0])
    with Guest(folder, "pinned", cpus=f"1, pin: [{cpu}]", memory="256M") as guest:
        assert guest.show()["numa"] == {"node": 1, "policy": "preferred", "nodes": on(1)}
    assert "is not on node 0" in cli("vm", "check", str(
        vmfile.write(folder, "far", cpus=f"1, pin: [{cpu}]", memory="256M, numa: 0")))


def test_a_node_without_room_is_refused(daemon, folder):
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    file = vmfile.write(folder, "large", memory=f"{total // 2 * 2 - total // 4 // 2 * 2}M, numa: 1")
    said = refused("vm", "run", str(file), status=1)
    assert "MiB are asked for and node 1 has" in said and "memory.numa: auto" in said
    file = vmfile.write(folder, "pages", memory="256M, hugepages: 2M, numa: 1")
    assert "128 hugepages of 2 MiB are needed and node 1 has 0 free" in refused("vm", "run", str(file))

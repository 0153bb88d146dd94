# SPDX-License-Identifier: BSD-3-Clause
"""Of which PF a VF is taken, on a host whose two PFs are on two nodes: near the VM, where the link is up, and never where a
port of the same anti-affinity word is."""

import ctypes
import os
import pathlib
import subprocess

import pytest
from labkit import Daemon, Guest, cli, cli_json, eventually, peer, refused, vmfile

PFS = ("pf0", "pf1")
CONFIG = """networks:
  - {name: wide, uplinks: [pf0, pf1], placement: spread}
  - {name: first, uplinks: [pf1, pf0]}
"""


def ctl(*words):
    top = pathlib.Path(__file__).resolve().parents[2]
    subprocess.run([top / "lab/ctl", *words], check=True, timeout=20)


def chosen(*words):
    rows = cli_json(*words, "--explain")["placement"]
    return {row.get("port"): row["name"] for row in rows if row["chosen"]}, {
        (row.get("port"), row["name"]): row["why"] for row in rows}


@pytest.fixture
def placed(folder):
    """A daemon of its own, with networks; two VFs on each PF."""
    config = folder / "placement.yaml"
    config.write_text(CONFIG)
    d = Daemon(config)
    d.start()
    for pf in PFS:
        cli("pf", "apply", pf, "--vfs", "2")
        peer.ip("link", "set", pf, "up")
    for pf in PFS:
        peer.wait_carrier(pf)
    yield d
    for pf in PFS:
        cli("pf", "apply", pf, "--vfs", "0")
    d.stop()


def pages_move(pid, old, new):
    """migrate_pages(2): as somebody's migratepages would."""
    libc = ctypes.CDLL(None, use_errno=True)
    masks = [ctypes.c_ulong(1 << node) for node in (old, new)]
    left = libc.syscall(256, pid, 64, *map(ctypes.byref, masks))
    assert left >= 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def plain():
    d = Daemon()
    d.start()
    yield d
    d.stop()


@pytest.mark.host("numa")
def test_memory_that_somebody_moves_is_an_alarm(plain, folder):
    def now():
        return cli_json("vm", "show", "fw1")["numa"]["now"]

    def alarms():
        return [a["text"] for a in cli_json("alarms")["alarms"] if a["kind"] == "numa-drift"]

    with Guest(folder, "fw1", memory="96M, hugepages: off, numa: 0") as guest:
        eventually(now, "the kernel's word of where memory lies")
        assert now()["drift"] is False and not alarms()
        assert [n["node"] for n in now()["nodes"]] == [0]
        pages_move(guest.show()["pid"], 0, 1)
        plain.restart()  # which looks at once, and not a minute later
        eventually(alarms, "the alarm")
        said = alarms()
        assert len(said) == 1 and "not all on node 0" in said[0] and "node 1: " in said[0], said
        assert "NUMA DRIFT" in cli("vm", "show", "fw1")
        pages_move(guest.show()["pid"], 1, 0)
        plain.restart()
        eventually(lambda: now() and not alarms(), "the end of the alarm")


@pytest.mark.host("numa")
def test_vfs_are_near_up_and_apart(placed, folder):
    def file(name, *ports, numa=0):
        return str(vmfile.write(folder, name, ports, memory=f"256M, hugepages: off, numa: {numa}"))

    for node, pf in enumerate(PFS):
        assert chosen("vf", "alloc", "--numa", str(node))[0] == {None: pf}
        near = chosen("vm", "check", file("near", "name: a, network: wide", numa=node))
        assert near[0] == {"a": pf} and near[1]["a", PFS[1 - node]] == f"node {1 - node}, the VM is on {node}"
    edge = "network: wide, anti_affinity: [edge]"
    cli("vm", "run", file("fw1", f"name: a, {edge}"))
    try:
        fw1 = cli_json("vm", "show", "fw1")
        assert fw1["anti_affinity"] == {"a": ["edge"]} and fw1["ports"][0]["vf_id"].startswith("pf0#")
        placed.restart()
        # Near is pf0, but fw1 is there.
        assert chosen("vm", "check", file("fw2", f"name: b, {edge}"))[0] == {"b": "pf1"}
        said = refused("vm", "run", file("fw3", f"name: b, {edge}", f"name: c, {edge}"))
        assert "pf0: has fw1/a of anti-affinity word 'edge'; pf1: has fw3/b of" in said
        assert [vf["owner"] for vf in cli_json("vf", "list")["vfs"] if vf["state"] != "free"] == ["fw1/a"]
        cli("vm", "run", file("fw2", f"name: b, {edge}"))
        assert cli_json("vm", "show", "fw2")["ports"][0]["vf_id"].startswith("pf1#")
    finally:
        for vm in cli_json("vm", "list")["vms"]:
            if vm["pid"]:
                cli("vm", "kill", vm["name"])
    assert chosen("vm", "check", file("fw2", f"name: b, {edge}"))[0] == {"b": "pf0"}
    assert chosen("vf", "alloc", "--network", "first")[0] == {None: "pf1"}
    ctl("link", "pf1", "down")
    try:
        eventually(lambda: chosen("vf", "alloc", "--network", "first")[0] == {None: "pf0"}, "the other PF")
        assert chosen("vf", "alloc", "--network", "first")[1][None, "pf1"] == "link down"
    finally:
        ctl("link", "pf1", "up")
    eventually(lambda: chosen("vf", "alloc", "--network", "first")[0] == {None: "pf1"}, "the first PF again")
    cli("vf", "alloc", "--network", "first", "--name", "l1")
    assert cli_json("vf", "show", "l1")["pf_name"] == "pf1"
    cli("vf", "release", "l1")

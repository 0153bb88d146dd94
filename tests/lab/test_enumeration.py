# SPDX-License-Identifier: BSD-3-Clause
"""What viaduct reads of PFs and VFs, against lspci and sysfs of the same functions."""

import re
import subprocess

import pytest
from labkit import SYSFS, Failed, cli, cli_json, peer, refused, vfs


def lspci(address):
    return subprocess.run(["lspci", "-vvv", "-s", address], capture_output=True, text=True,
                          check=True).stdout


def number(text, pattern, base=0):
    match = re.search(pattern, text)
    assert match, f"{pattern!r} not in:\n{text}"
    return int(match.group(1), base)


def test_pfs_as_lspci_has_them(daemon):
    pfs = cli_json("pf", "list")["pfs"]
    sriov = {d.name for d in SYSFS.iterdir() if (d / "sriov_totalvfs").exists()}
    assert {p["address"] for p in pfs} == sriov
    for p in pfs:
        said = lspci(p["address"])
        cap = p["sriov"]
        assert cap["initial_vfs"] == number(said, r"Initial VFs: (\d+)", 10)
        assert cap["total_vfs"] == number(said, r"Total VFs: (\d+)", 10)
        assert cap["num_vfs"] == number(said, r"Number of VFs: (\d+)", 10)
        assert cap["first_vf_offset"] == number(said, r"VF offset: (\d+)", 10)
        assert cap["vf_stride"] == number(said, r"stride: (\d+)", 10)
        assert int(cap["vf_device_id"], 16) == number(said, r"Device ID: ([0-9a-f]+)", 16)
        assert cap["system_page_size"] == number(said, r"System Page Size: ([0-9a-f]+)", 16) * 4096
        assert cap["vf_enable"] == ("IOVCtl:\tEnable+" in said)
        regions = dict(re.findall(r"Region (\d): Memory at [0-9a-f]+ \((\d+)-bit, [a-z-]+\)",
                                  said[said.index("Single Root I/O Virtualization"):]))
        assert {str(b["index"]): b["kind"][3:] for b in cap["vf_bars"]} == regions
        assert (p["capabilities"]["flr"]) == ("FLReset+" in said)
        assert (p["capabilities"]["ari"] is not None) == ("Alternative Routing-ID" in said)
        assert (p["capabilities"]["acs"] is not None) == ("Access Control Services" in said)
        assert (p["capabilities"]["ats"] is not None) == ("Address Translation Service" in said)
        assert p["driver"] == number_free(said, r"Kernel driver in use: (\S+)")
        group = (SYSFS / p["address"] / "iommu_group").resolve().name
        assert p["iommu_group"] == int(group)


def number_free(text, pattern):
    match = re.search(pattern, text)
    return match.group(1) if match else None


def test_vfs_have_links_groups_and_sizes(pf):
    show = cli_json("pf", "show", pf)
    assert [v["index"] for v in show["vfs"]] == [0, 1]
    for v in show["vfs"]:
        link = (SYSFS / show["address"] / f"virtfn{v['index']}").resolve().name
        assert v["address"] == link
        assert v["id"] == f"{pf}#{v['index']}"
        assert v["iommu_group"] == int((SYSFS / link / "iommu_group").resolve().name)
        assert v["driver"] is None, "a pool VF must have no host driver"
    for bar in show["sriov"]["vf_bars"]:
        lines = (SYSFS / show["vfs"][0]["address"] / "resource").read_text().splitlines()
        start, end, _ = (int(x, 16) for x in lines[bar["index"]].split())
        assert bar["size"] == end - start + 1


def test_all_names_of_a_vf_mean_the_same(pf):
    address = sorted(vfs(pf))[1]
    for name in (address, f"{pf}#1"):
        assert cli_json("vf", "show", name)["address"] == address


def test_read_only_commands_without_a_daemon(daemon, ports):
    daemon.stop()
    try:
        names = {p["name"] for p in cli_json("pf", "list")["pfs"]}
        assert ports[0] in names
        assert cli_json("host", "check")["fail"] == 0
        assert "viaductd" in refused("vf", "alloc", "--name", "x")
        # As a plain user: the facts that take root are said to be missing, never blank.
        for p in cli_json("pf", "list", user="nobody")["pfs"]:
            assert p["driver"]
            assert p["sriov"]["first_vf_offset"] == "needs root"
            assert p["capabilities"] == "needs root"
        assert "needs root" in cli("pf", "show", ports[0], user="nobody")
    finally:
        daemon.start()


def test_plain_users_are_told_why_not(daemon, pf):
    for command in (("vf", "list"), ("vf", "alloc", "--name", "x")):
        with pytest.raises(Failed) as info:
            cli(*command, user="nobody")
        assert info.value.status == 1 and "not allowed" in info.value.err and "try:" in info.value.err


def test_create_destroy_and_create_again(daemon, ports):
    name = ports[0]
    address = cli_json("pf", "show", name)["address"]
    for count in (3, 0, 7, 2, 0, 2):
        cli("pf", "apply", name, "--vfs", str(count))
        assert int((SYSFS / address / "sriov_numvfs").read_text()) == count
        found = vfs(name)
        assert len(found) == count
        for vf in found:
            assert (SYSFS / vf / "vendor").exists() and (SYSFS / vf / "iommu_group").exists()
            assert not (SYSFS / vf / "driver").exists()
    peer.wait_carrier(name)


def test_nvme_vfs(daemon):
    pfs = [p for p in cli_json("pf", "list")["pfs"] if p["kind"] == "nvme"]
    assert len(pfs) == 1
    address = pfs[0]["address"]
    cli("pf", "apply", address, "--vfs", "1")
    try:
        assert cli_json("pf", "show", address)["sriov"]["num_vfs"] == 1
    finally:
        cli("pf", "apply", address, "--vfs", "0")

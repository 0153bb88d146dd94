# SPDX-License-Identifier: BSD-3-Clause
"""Hosts on which a guest with a VF would not be isolated: refused, with reason and remedy."""

import json

import pytest
from labkit import Failed, cli, cli_json, refused, vfs, vmfile


def checks():
    """The host check of a host that fails it: exit 1, and the report all the same."""
    with pytest.raises(Failed) as info:
        cli("host", "check", "--json")
    assert info.value.status == 1
    return {c["id"]: c for c in json.loads(info.value.out)["checks"]}


def start_refused(ports, folder):
    if cli_json("pf", "show", ports[0])["sriov"]["num_vfs"] == 0:
        cli("pf", "apply", ports[0], "--vfs", "1")
    path = str(vmfile.write(folder, "bad", [f'name: wan, pf: "{ports[0]}"']))
    text = refused("vm", "run", path, status=1)
    assert all(v["state"] == "free" and v["driver"] != "vfio-pci" for v in vfs(ports[0]).values())
    return text


@pytest.mark.host("no-iommu")
def test_without_iommu(daemon, ports, folder):
    iommu = checks()["iommu"]
    assert iommu["status"] == "fail" and "intel_iommu=on" in iommu["remedy"]
    text = start_refused(ports, folder)
    assert "IOMMU" in text and "intel_iommu=on" in text


@pytest.mark.host("no-intremap")
def test_without_interrupt_remapping(daemon, ports, folder):
    remapping = checks()["interrupt-remapping"]
    assert remapping["status"] == "fail" and remapping["remedy"]
    assert checks()["iommu"]["status"] == "pass"
    assert "interrupt remapping" in start_refused(ports, folder)


@pytest.mark.host("unsafe-interrupts")
def test_the_administrators_override_does_not_help(daemon, ports, folder):
    assert checks()["interrupt-remapping"]["status"] == "fail"
    text = start_refused(ports, folder)
    assert "interrupt remapping" in text and "allow_unsafe_interrupts" in text


@pytest.mark.host("unsafe-interrupts")
def test_the_operators_word_and_the_override_do(daemon, ports, folder):
    """Both halves: then it runs, and says so wherever it is shown."""
    if cli_json("pf", "show", ports[0])["sriov"]["num_vfs"] == 0:
        cli("pf", "apply", ports[0], "--vfs", "1")
    path = str(vmfile.write(folder, "unsafe1", [f'name: wan, pf: "{ports[0]}"']))
    try:
        out = cli("vm", "run", path, "--allow-unsafe-interrupts", "lab, own guests only")
        assert "UNSAFE INTERRUPTS, allowed by uid 0" in out and "lab, own guests only" in out
        vm = cli_json("vm", "show", "unsafe1")
        assert vm["unsafe_interrupts"]["reason"] == "lab, own guests only" and not vm["interrupt_remapping"]
        assert vm["ports"][0]["posture"]["verdict"] == "not-isolated"
        assert "UNSAFE INTERRUPTS" in cli("vm", "list")
        assert "unsafe interrupts allowed by uid 0: lab, own guests only" in cli("events")
    finally:
        cli("vm", "kill", "unsafe1")


@pytest.mark.host("no-intremap")
def test_the_operators_word_alone_does_not(daemon, ports, folder):
    path = str(vmfile.write(folder, "bad", [f'name: wan, pf: "{ports[0]}"']))
    text = refused("vm", "run", path, "--allow-unsafe-interrupts", "lab", status=1)
    assert "never sets" in text and "allow_unsafe_interrupts" in text

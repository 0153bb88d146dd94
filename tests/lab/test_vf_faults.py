# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong with a PF or a VF under a running VM: seen within moments, said, and over when it is over."""

import contextlib
import time

import pytest
from crashkit import LEASE_MAC, SLEEPS
from labkit import SYSFS, Guest, cli, cli_json, eventually, peer, pvh_kernel, refused, vfs, vmfile
from operate import api
from test_vf_attributes import ip_vf

SOON = 3  # seconds until an alarm is there or gone, on a machine that has other work
LINK = 10  # more, where the link itself has to come first
GUEST = 45  # and where the guest's driver then has to find it out


def alarms():
    return {a["kind"]: a["object"] for a in api.get("/v1/alarms")["alarms"]}


def pf_address(pf):
    return cli_json("pf", "show", pf)["address"]


@contextlib.contextmanager
def without_reset(vf):
    """The kernel knows no way to reset the VF, as with a card whose FLR is broken."""
    method = SYSFS / vf / "reset_method"
    method.write_text("\n")
    assert not method.read_text().strip()
    try:
        yield
    finally:
        if method.exists():
            method.write_text("default\n")


def test_a_vf_that_cannot_be_reset_is_quarantined(pf, folder):
    kernel = pvh_kernel(folder / "sleeps.elf", SLEEPS)
    file = str(vmfile.write(folder, "flr", [f"name: wan, pf: {pf}"], memory="64M", kernel=kernel))
    cli("vm", "run", file)
    vf = cli_json("vm", "show", "flr")["ports"][0]["vf"]
    with without_reset(vf):
        cli("vm", "kill", "flr")
        eventually(lambda: cli_json("vf", "show", vf)["state"] == "quarantined", 10, "the quarantine")
        shown = cli_json("vf", "show", vf)
        assert "reset" in shown["reason"] and shown["owner"] is None and "reset" in cli("vf", "show", vf)
        steps = shown["scrub"]["steps"]
        assert not shown["scrub"]["clean"] and steps[-1]["step"] == "reset" and not steps[-1]["ok"], shown["scrub"]
        eventually(lambda: alarms().get("vf-quarantined") == vf, SOON, "the alarm")
        # Nobody gets it, by whatever way; and the try to wipe it fails as long as the reset does.
        cli("vf", "alloc", "--pf", pf, "--name", "other")
        try:
            assert cli_json("vf", "show", "other")["address"] != vf
            assert pf in refused("vf", "alloc", "--pf", pf, "--name", "third")
            assert pf in refused("vm", "run", file)
            assert "reset" in refused("vf", "scrub", vf)
            assert cli_json("vf", "show", vf)["state"] == "quarantined"
        finally:
            cli("vf", "release", "other")
    assert cli_json("vf", "scrub", vf)["state"] == "free"
    steps = cli_json("vf", "show", vf)["scrub"]["steps"]
    assert len(steps) > 3 and all(step["ok"] for step in steps), steps
    eventually(lambda: "vf-quarantined" not in alarms(), SOON, "the end of the alarm")
    assert all(v["state"] == "free" for v in vfs(pf).values())


def losing_link(pf, lose, regain):
    """The alarm comes with the loss and goes with the link, both soon; attributes are what they were."""
    before = [ip_vf(pf, index) for index in (0, 1)]
    lose()
    eventually(lambda: alarms() == {"pf-link-lost": pf_address(pf)}, SOON, "the alarm")
    text = cli("alarms")
    regain()
    eventually(lambda: not alarms(), LINK, "the end of the alarm")
    assert [ip_vf(pf, index) for index in (0, 1)] == before
    return text


@pytest.mark.timeout(240)
def test_cable_and_pf_down_under_a_running_vm(pf, far, folder):
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        cli("vf", "set", "mine", "vlan=100", "trust=on", f"mac={LEASE_MAC}")
        with Guest(folder, "link", [f"name: wan, pf: {pf}, mac: \"02:00:00:00:0c:09\""], memory="256M") as guest:
            guest.network_up("10.77.0.7")
            assert guest.ping()
            text = losing_link(pf, lambda: peer.link_ctl("pf0", "down"), lambda: peer.link_ctl("pf0", "up"))
            assert "has no carrier" in text and "look at the cable" in text
            eventually(lambda: guest.ping(count=1), GUEST, "the ping after the cable")
            text = losing_link(pf, lambda: peer.ip("link", "set", pf, "down"),
                               lambda: peer.ip("link", "set", pf, "up"))
            assert f"ip link set {pf} up" in text
            eventually(lambda: guest.ping(count=1), GUEST, "the ping after the PF was down")
            assert guest.show()["state"] == "running"
            assert ip_vf(pf, 0)["address"] == LEASE_MAC and ip_vf(pf, 1)["address"] == guest.console.mac("eth0")
    finally:
        cli("vf", "release", "mine")


def rebind(pf, address):
    """The PF's driver is loaded again; the network device gets its name back, as from udev."""
    (SYSFS / address / "driver/unbind").write_text(address)
    yield
    (SYSFS.parent / "drivers/igb/bind").write_text(address)
    name = next((SYSFS / address / "net").iterdir()).name
    peer.ip("link", "set", name, "name", pf)
    peer.ip("link", "set", pf, "up")


@pytest.mark.timeout(240)
def test_pf_driver_is_reloaded_under_a_running_vm(pf, far, folder):
    """The card's VFs go with the driver: the VM loses its port, lives on, and both are said until they are mended."""
    address = pf_address(pf)
    with Guest(folder, "reload", [f"name: wan, pf: {pf}"], memory="256M") as guest:
        steps = rebind(pf, address)
        began = time.monotonic()
        next(steps)
        # vfio-pci asks the VM for its VF, which it lets go: the driver does not wait for the guest's good will.
        assert time.monotonic() - began < 15
        eventually(lambda: alarms() == {"vf-count-drift": address}, SOON, "the alarm")
        next(steps, None)
        assert guest.show()["state"] == "running" and guest.run("echo still here").strip() == "still here"
        assert not guest.run("ls /sys/class/net | grep eth || true").strip()
        assert not vfs(pf) and alarms() == {"vf-count-drift": address}
    peer.wait_carrier(pf)
    cli("pf", "apply", pf, "--vfs", "2")
    eventually(lambda: not alarms(), SOON, "the end of the alarm")
    assert all(v["state"] == "free" for v in vfs(pf).values()) and len(vfs(pf)) == 2
    # As good as before.
    with Guest(folder, "reload", [f"name: wan, pf: {pf}"], memory="256M") as guest:
        guest.network_up("10.77.0.8")
        assert guest.ping()

# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong with a PF or a VF under a running VM: seen within moments, said, and over when it is over."""

import contextlib
import pathlib
import re
import time

from crashkit import LEASE_MAC, SLEEPS
from labkit import SYSFS, Guest, cli, cli_json, eventually, peer, pvh_kernel, refused, vfs, vmfile
from operate import api
from test_vf_attributes import ip_vf



def alarms():
    """Without those of devices' faults, which stay for minutes: another case's guest may have made some."""
    return {a["kind"]: a["object"] for a in api.get("/v1/alarms")["alarms"] if a["kind"] not in ("dma-fault", "faults-lost")}


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
        eventually(lambda: cli_json("vf", "show", vf)["state"] == "quarantined", "the quarantine")
        shown = cli_json("vf", "show", vf)
        assert "reset" in shown["reason"] and shown["owner"] is None and "reset" in cli("vf", "show", vf)
        steps = shown["scrub"]["steps"]
        assert not shown["scrub"]["clean"] and steps[-1]["step"] == "reset" and not steps[-1]["ok"], shown["scrub"]
        eventually(lambda: alarms().get("vf-quarantined") == vf, "the alarm")
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
    eventually(lambda: "vf-quarantined" not in alarms(), "the end of the alarm")
    assert all(v["state"] == "free" for v in vfs(pf).values())


def losing_link(pf, lose, regain):
    """The alarm comes with the loss and goes with the link, both soon; attributes are what they were."""
    before = [ip_vf(pf, index) for index in (0, 1)]
    lose()
    eventually(lambda: alarms() == {"pf-link-lost": pf_address(pf)}, "the alarm")
    text = cli("alarms")
    regain()
    eventually(lambda: not alarms(), "the end of the alarm")
    assert [ip_vf(pf, index) for index in (0, 1)] == before
    return text


def events():
    return "\n".join(f"{e['object']} {e['text']}" for e in api.get("/v1/events?since=0")["events"] if e["text"])


def losing_attributes(pf, guest):
    """What a PF loses while it is away is set again; what somebody else sets under it is an alarm."""
    peer.ip("link", "set", pf, "down")
    eventually(lambda: "pf-link-lost" in alarms(), "the alarm")
    peer.ip("link", "set", pf, "vf", "0", "vlan", "5", "trust", "off")
    peer.ip("link", "set", pf, "up")
    eventually(lambda: not alarms() and ip_vf(pf, 0)["vlan_list"][0]["vlan"] == 100, "its attributes")
    assert ip_vf(pf, 0)["trust"] is True
    mine = cli_json("vf", "show", "mine")["address"]
    assert f"{mine} repaired: trust on, vlan 100 again; it had trust off, vlan 5: its PF was away" in events()
    vf = guest.port()["vf"]
    peer.ip("link", "set", pf, "vf", "1", "vlan", "6")
    eventually(lambda: alarms() == {"vf-attributes-drift": vf}, "the alarm")
    assert not guest.ping(count=1)
    # As the alarm's hint says it.
    [hint] = [a["hint"].split() for a in api.get("/v1/alarms")["alarms"] if a["kind"] == "vf-attributes-drift"]
    assert hint[:4] == ["viaduct", "vf", "set", vf] and "vlan=0" in hint, hint
    cli(*hint[1:])
    eventually(lambda: not alarms(), "the end of the alarm")
    eventually(lambda: guest.ping(count=1), "the ping after the drift")


def test_cable_and_pf_down_under_a_running_vm(pf, far, folder):
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        cli("vf", "set", "mine", "vlan=100", "trust=on", f"mac={LEASE_MAC}")
        with Guest(folder, "link", [f"name: wan, pf: {pf}, mac: \"02:00:00:00:0c:09\""]) as guest:
            guest.network_up("10.77.0.7")
            assert guest.ping()
            text = losing_link(pf, lambda: peer.link_ctl("pf0", "down"), lambda: peer.link_ctl("pf0", "up"))
            assert "has no carrier" in text and "look at the cable" in text
            eventually(lambda: guest.ping(count=1), "the ping after the cable")
            text = losing_link(pf, lambda: peer.ip("link", "set", pf, "down"),
                               lambda: peer.ip("link", "set", pf, "up"))
            assert f"ip link set {pf} up" in text
            eventually(lambda: guest.ping(count=1), "the ping after the PF was down")
            losing_attributes(pf, guest)
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


@contextlib.contextmanager
def policy(daemon, folder, text):
    """The daemon with another configuration, and back."""
    daemon.config = folder / "viaductd.yaml"
    daemon.config.write_text(text)
    daemon.restart()
    try:
        yield
    finally:
        daemon.config = None
        daemon.restart()


def test_pf_driver_is_reloaded_under_a_running_vm(pf, far, daemon, folder):
    """The card's VFs go with the driver: the VM loses its port and lives on, a lease waits; all is said until it is mended."""
    address = pf_address(pf)
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    mine = cli_json("vf", "set", "mine", "vlan=100", "trust=on", f"mac={LEASE_MAC}")["address"]
    with Guest(folder, "reload", [f"name: wan, pf: {pf}"]) as guest:
        vf = guest.port()["vf"]
        assert vf != mine and f"wan={vf}" in cli("vm", "list")
        steps = rebind(pf, address)
        began = time.monotonic()
        next(steps)
        # vfio-pci asks the VM for its VF, which it lets go: the driver does not wait for the guest's good will.
        assert time.monotonic() - began < 60
        lost = {"vf-count-drift": address, "port-lost": "reload", "lease-parked": "mine"}
        eventually(lambda: alarms() == lost, "the alarms")
        next(steps, None)
        assert guest.show()["state"] == "running" and guest.run("echo still here").strip() == "still here"
        assert not guest.run("ls /sys/class/net | grep eth || true").strip()
        assert not vfs(pf) and alarms() == lost
        # Nothing names the VF as if it were there.
        port = guest.port()
        assert port["vf"] is None and port["lost"]["vf"] == vf
        row = next(line for line in cli("vm", "list").splitlines() if line.startswith("reload "))
        assert "wan=LOST" in row and vf not in row and f"LOST ({vf})" in cli("vm", "show", "reload")
        assert f"reload port wan has lost its VF {vf}" in events()
        with policy(daemon, folder, f"pfs: [{{name: {pf}, vfs: 2, drift: repair}}]\n"):
            eventually(lambda: alarms() == {"port-lost": "reload"}, "the repair")
            assert len(vfs(pf)) == 2 and vfs(pf)[vf]["state"] == "free"
            assert cli_json("vf", "show", "mine")["address"] == mine and ip_vf(pf, 0)["address"] == LEASE_MAC
            assert ip_vf(pf, 0)["trust"] is True and ip_vf(pf, 0)["vlan_list"][0]["vlan"] == 100
            # And at once, where the policy is there before the fault.
            steps = rebind(pf, address)
            next(steps)
            eventually(lambda: "vf-count-drift" in alarms(), "the alarm")
            next(steps, None)
            eventually(lambda: alarms() == {"port-lost": "reload"}, "the repair")
            assert cli_json("vf", "show", "mine")["address"] == mine and ip_vf(pf, 0)["trust"] is True
    eventually(lambda: not alarms(), "the end of the alarm")
    cli("vf", "release", "mine")
    peer.wait_carrier(pf)
    assert all(v["state"] == "free" for v in vfs(pf).values()) and len(vfs(pf)) == 2
    # As good as before.
    with Guest(folder, "reload", [f"name: wan, pf: {pf}"]) as guest:
        guest.network_up("10.77.0.8")
        assert guest.ping()


def irq_lists(vf):
    """{vector: (interrupt, smp_affinity_list, effective_affinity_list)} of a VF's lines, as the kernel has them."""
    found = {}
    for line in pathlib.Path("/proc/interrupts").read_text().splitlines():
        if match := re.search(rf"^ *(\d+):.*vfio-msix\[(\d+)\]\({re.escape(vf)}\)", line):
            folder = pathlib.Path("/proc/irq") / match[1]
            found[int(match[2])] = (int(match[1]), *((folder / f"{name}_affinity_list").read_text().strip()
                                                     for name in ("smp", "effective")))
    return found


def are_placed(vf, pin):
    found = irq_lists(vf)
    return found and all(found[v][1:] == (str(pin[v % len(pin)]),) * 2 for v in found)


def test_interrupts_lie_beside_their_vcpus(pf, daemon, folder):
    """From the guest's driver's start on, again after each of its starts; who moves one is told of, or undone."""
    pin = [1, 0]
    with Guest(folder, "beside", [f"name: wan, pf: {pf}"], cpus=f"2, pin: {pin}") as guest:
        vf = guest.port()["vf"]
        for _ in range(2):
            guest.run("ip link set eth0 up")
            eventually(lambda: are_placed(vf, pin), "the interrupts on their CPUs")
            before = irq_lists(vf)
            assert len(before) >= 2 and {is_at for _, is_at, _ in before.values()} == {"0", "1"}, before
            guest.run("ip link set eth0 down")
        guest.run("ip link set eth0 up")
        eventually(lambda: are_placed(vf, pin), "the interrupts on their CPUs")
        assert guest.port()["irqs"] == [
            {"vector": v, "irq": irq, "asked": str(pin[v % 2]), "allowed": is_at, "effective": does}
            for v, (irq, is_at, does) in sorted(irq_lists(vf).items())]
        assert "wan: vector 0 on host CPU 1 (asked 1), 1 on 0 (asked 0)" in cli("vm", "show", "beside")
        assert not alarms()
        # Somebody moves one: it is said, and over when he moves it back.
        irq = irq_lists(vf)[0][0]
        file = pathlib.Path(f"/proc/irq/{irq}/smp_affinity_list")
        file.write_text("0")
        eventually(lambda: alarms() == {"irq-drift": "beside/wan"}, "the alarm")
        said = cli("alarms")
        assert f"vector 0 (interrupt {irq}) belongs on host CPU 1 and is on 0" in said and "--banirq" in said
        file.write_text("1")
        eventually(lambda: not alarms(), "the end of the alarm")
        # A daemon that starts again knows the VM; with the policy it moves them back itself.
        with policy(daemon, folder, f"pfs: [{{name: {pf}, vfs: 2, drift: repair}}]\nrescan_s: 2\n"):
            eventually(lambda: api.get("/v1/vms/beside")["state"] == "running", "the VM")
            time.sleep(6)  # it has looked at it
            file.write_text("0")
            eventually(lambda: "wan: interrupts that somebody moved are on their host CPUs again" in events(), "the repair")
            assert are_placed(vf, pin)
            eventually(lambda: not alarms(), "the end of the alarm")

# SPDX-License-Identifier: BSD-3-Clause
"""MACs of polled ports in the filter of a PF that is their uplink: real entries of a real network device, which a fake host calls
the device of a PF with VFs."""

import os
import pathlib
import signal
import subprocess

import daemonkit
import pytest
from daemonkit import eventually
from test_ports import eventually_gone, pmd_kill, pmd_pid, run

MAC, MORE = "02:00:00:00:0a:01", "02:00:00:00:0a:02"
PF = daemonkit.MACHINE
PORT = f"ports: [{{name: a, network: lan, engine: polled, mac: '{MAC}'}}]\n"


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


def bridge(*args):
    return subprocess.run(["bridge", "fdb", *args], check=True, capture_output=True, encoding="utf-8").stdout


@pytest.fixture
def device():
    """One end of a pair: it keeps a list of addresses as a card's driver does."""
    if os.geteuid() != 0:
        pytest.skip("only root makes network devices")
    name = f"vdr{os.getpid() % 100000}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    yield name
    ip("link", "del", name)


@pytest.fixture
def card(stopped_daemon, short_tmp, device):
    """A daemon on a host with a PF of one VF, whose network device is an uplink."""
    short_tmp.chmod(0o755)
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    fn = daemonkit.pf_make(sysfs)
    (fn / "class").write_text("0x020000\n")
    net = fn / "net" / device
    net.mkdir(parents=True)
    (net / "ifindex").write_text(pathlib.Path(f"/sys/class/net/{device}/ifindex").read_text())
    (fn / "sriov_numvfs").write_text("1\n")
    daemonkit.vf_make(sysfs, PF, 0)
    stopped_daemon.config.write_text(f"uplinks: [{{name: wire, kind: af-packet, device: {device}}}]\n"
                                     f"networks: [{{name: lan, uplinks: ['{PF}', wire]}}]\n")
    yield stopped_daemon.start()
    if stopped_daemon.proc.poll() is not None:
        stopped_daemon.start()
    for vm in stopped_daemon.request("GET", "/v1/vms")[1].get("vms", []):
        stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})
    eventually_gone(stopped_daemon)
    pid = pmd_pid(stopped_daemon)
    stopped_daemon.stop()
    pmd_kill(pid)


def taken(device):
    """What the kernel says."""
    return {line.split()[0] for line in bridge("show", "dev", device).splitlines() if " self permanent" in line and not line.startswith("33:33")}


def reach(daemon):
    return daemon.request("GET", "/v1/uplinks/wire")[1]["reach"]


def by(daemon):
    return {m["mac"]: (m["port"], m["by"]) for m in (reach(daemon) or {"macs": []})["macs"]}


def alarms(daemon):
    return {(a["kind"], a["object"]): a["text"] for a in daemon.request("GET", "/v1/alarms")[1]["alarms"]}


def test_a_port_is_in_while_it_is_there(card, short_tmp, device):
    assert taken(device) == set()
    status, vm = run(card, short_tmp, ports=PORT)
    assert status == 200, vm
    assert taken(device) == {MAC} and by(card) == {MAC: ("vm1/a", "viaduct")}
    assert reach(card)["way"] == "pf-filter" and reach(card)["device"] == device and reach(card)["used"] == 1 and reach(card)["limit"] is None
    shown = card.cli("uplink", "show", "wire").stdout
    assert MAC in shown and "vm1/a" in shown and "viaduct" in shown
    assert MAC in card.cli("network", "show", "lan").stdout
    status, reply = card.request("POST", "/v1/vms/vm1/ports/set", {"port": "a", "macs": [MORE]})
    assert status == 200, reply
    assert taken(device) == {MAC, MORE}
    card.request("POST", "/v1/vms/vm1/ports/set", {"port": "a", "macs": []})
    assert taken(device) == {MAC}
    card.request("POST", "/v1/vms/vm1/kill", {})
    assert eventually(lambda: taken(device) == set()) and reach(card)["macs"] == []


def test_what_others_put_in_stays(card, short_tmp, device):
    bridge("add", MAC, "dev", device, "self", "permanent")
    bridge("add", "02:00:00:00:0b:01", "dev", device, "self", "permanent")
    assert run(card, short_tmp, ports=PORT)[0] == 200
    assert by(card) == {MAC: ("vm1/a", "others")} and reach(card)["used"] == 2
    card.request("POST", "/v1/vms/vm1/kill", {})
    eventually_gone(card)
    assert taken(device) == {MAC, "02:00:00:00:0b:01"}


@pytest.mark.parametrize("vm_ends", [False, True])
def test_it_outlives_the_daemon(card, short_tmp, device, vm_ends):
    _, vm = run(card, short_tmp, ports=PORT)
    card.stop(signal.SIGKILL)
    assert taken(device) == {MAC}
    if vm_ends:
        os.kill(vm["pid"], signal.SIGKILL)
    card.start()
    if vm_ends:
        assert eventually(lambda: taken(device) == set())
    else:
        assert eventually(lambda: by(card) == {MAC: ("vm1/a", "viaduct")}) and taken(device) == {MAC}
        card.request("POST", "/v1/vms/vm1/kill", {})
        assert eventually(lambda: taken(device) == set())


def test_what_the_daemon_wrote_and_did_not_do(card, short_tmp, device):
    """It died between ledger and filter, and somebody else has that address by then, or nobody."""
    card.stop()
    index = int(pathlib.Path(f"/sys/class/net/{device}/ifindex").read_text())
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for mac, of in ((MAC, boot), (MORE, "an-earlier-boot")):
        daemonkit.ledger_change(card, "INSERT INTO filters VALUES(?,?,?,?)", index, mac, device, of)
    daemonkit.ledger_change(card, "INSERT INTO filters VALUES(?,?,?,?)", 2**31 - 1, MAC, "gone0", boot)
    bridge("add", MORE, "dev", device, "self", "permanent")
    card.start()
    assert eventually(lambda: pmd_pid(card) is not None)
    assert run(card, short_tmp, ports=PORT)[0] == 200
    assert by(card) == {MAC: ("vm1/a", "viaduct")} and taken(device) == {MAC, MORE}
    card.request("POST", "/v1/vms/vm1/kill", {})
    assert eventually(lambda: taken(device) == {MORE})


def test_what_is_taken_out_comes_back(card, short_tmp, device):
    run(card, short_tmp, ports=PORT)
    bridge("del", MAC, "dev", device, "self")
    assert eventually(lambda: taken(device) == {MAC})
    pmd_kill(pmd_pid(card))
    assert eventually(lambda: pmd_pid(card) is not None) and taken(device) == {MAC}


def test_a_port_whose_network_is_gone_is_an_alarm(card, short_tmp, device):
    run(card, short_tmp, ports=PORT)
    before = card.config.read_text()
    card.stop()
    card.config.write_text(before.replace("name: lan", "name: other"))
    card.start()
    assert eventually(lambda: "no network lan any more" in alarms(card).get(("port-absent", "vm1/a"), "")), alarms(card)
    assert eventually(lambda: taken(device) == set())
    card.stop()
    card.config.write_text(before)
    card.start()
    assert eventually(lambda: ("port-absent", "vm1/a") not in alarms(card) and taken(device) == {MAC}), alarms(card)

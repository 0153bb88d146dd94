# SPDX-License-Identifier: BSD-3-Clause
"""A VF and a polled port on one network over one card: they reach each other, and the far end of the cable reaches both."""

import os
import pathlib
import signal
import subprocess

import pytest
from labkit import Guest, cli, cli_json, eventually, mac_of, peer, refused
from polledkit import backend_pid, daemon_of

CONFIG = """uplinks:
  - {name: wire0, %s}
networks:
  - {name: both, uplinks: [pf0, wire0]}
backends: {memory: 64M, hugepages: off, idle: adaptive}
"""
VF_IP, POLLED_IP = "10.77.0.2", "10.77.0.3"


def with_uplink(folder, uplink):
    config = folder / "reach.yaml"
    config.write_text(CONFIG % uplink)
    return daemon_of(config)


@pytest.fixture
def reach(folder):
    with with_uplink(folder, "kind: af-packet, device: pf0") as d:
        yield d


@pytest.fixture
def reserved(folder):
    # One of VFs that another case left would be reserved before this case says how many there are to be.
    pathlib.Path("/sys/class/net/pf0/device/sriov_numvfs").write_text("0")
    with with_uplink(folder, "kind: vf, pf: pf0") as d:
        yield d


def bridge(*args):
    return subprocess.run(["bridge", "fdb", *args], check=False, capture_output=True, encoding="utf-8")


def filter_of(device):
    return {line.split()[0] for line in bridge("show", "dev", device).stdout.splitlines() if "self permanent" in line and not line.startswith(("33:", "01:"))}


def megabyte(sender, receiver, address):
    """Random bytes over TCP; the same come out."""
    sender.run("head -c 1048576 /dev/urandom > /tmp/out", 60)
    receiver.run("[ -p /tmp/hold ] || mkfifo /tmp/hold; rm -f /tmp/in /tmp/done; "
                 "(nc -l -p 5000 >/tmp/in <>/tmp/hold; echo >/tmp/done) >/dev/null 2>&1 & "
                 "until netstat -ltn | grep -q :5000; do usleep 20000; done")
    sender.run(f"nc {address} 5000 < /tmp/out", 120)
    receiver.run("n=0; until [ -e /tmp/done ]; do n=$((n+1)); [ $n -lt 100 ] || exit 1; usleep 100000; done")
    assert sender.run("sha256sum < /tmp/out", 60) == receiver.run("sha256sum < /tmp/in", 60)


def talk(vf, polled):
    assert vf.ping(POLLED_IP) and polled.ping(VF_IP)
    megabyte(vf, polled, POLLED_IP)
    megabyte(polled, vf, VF_IP)
    assert vf.ping() and polled.ping()


def vf_port(n):
    return [f'name: v, network: both, mac: "{mac_of(n)}"']


def polled_port(n):
    return [f'name: p, network: both, engine: polled, mac: "{mac_of(n)}"']


def unreachable():
    return [a["text"] for a in cli_json("alarms")["alarms"] if a["kind"] == "port-unreachable"]


@pytest.mark.host("polled")
@pytest.mark.timeout(400)
def test_over_the_network_device_of_the_pf(reach, ports, far, folder):
    cli("pf", "apply", "pf0", "--vfs", "2")
    peer.wait_carrier("pf0")
    with Guest(folder, "card", vf_port(0x81)) as vf, \
            Guest(folder, "soft", polled_port(0x82)) as polled:
        vf.network_up(VF_IP)
        polled.network_up(POLLED_IP)
        talk(vf, polled)
        assert mac_of(0x82) in filter_of("pf0") and mac_of(0x81) not in filter_of("pf0")
        assert mac_of(0x82) in cli("uplink", "show", "wire0")

        # Daemon and backend die: the address stays, and so does the way.
        reach.restart()
        os.kill(backend_pid(), signal.SIGKILL)
        eventually(lambda: cli_json("port", "stats", "soft/p")["ports"][0]["state"] == "running", "the port is served", 90)
        assert mac_of(0x82) in filter_of("pf0") and vf.ping(POLLED_IP)
    assert mac_of(0x82) not in filter_of("pf0")


@pytest.mark.host("polled")
def test_a_filter_that_is_full(reach, ports, folder):
    cli("pf", "apply", "pf0", "--vfs", "2")
    others = [f"02:00:00:00:7f:{n:02x}" for n in range(64)]
    taken = [mac for mac in others if bridge("add", mac, "dev", "pf0", "self", "permanent").returncode == 0]
    try:
        assert 0 < len(taken) < len(others)
        with Guest(folder, "late", polled_port(0x83)):
            eventually(unreachable, "an alarm")
            assert mac_of(0x83) in unreachable()[0] and "no room" in unreachable()[0]
            [uplink] = [u for u in cli_json("uplink", "list")["uplinks"] if u["name"] == "wire0"]
            assert uplink["reach"]["limit"] == len(filter_of("pf0")) and uplink["reach"]["macs"][0]["by"] == "missing"
            bridge("del", taken.pop(), "dev", "pf0", "self")
            eventually(lambda: not unreachable() and mac_of(0x83) in filter_of("pf0"), "the port is reachable")
        assert filter_of("pf0") == set(taken)
    finally:
        for mac in taken:
            bridge("del", mac, "dev", "pf0", "self")


def reserved_vfs():
    return {v["address"]: v["state"] for v in cli_json("vf", "list")["vfs"] if v["owner"] == "uplink wire0"}


def uplink():
    [up] = [u for u in cli_json("uplink", "list")["uplinks"] if u["name"] == "wire0"]
    return up


@pytest.mark.host("polled")
@pytest.mark.timeout(500)
def test_over_a_reserved_vf(reserved, ports, far, folder):
    cli("pf", "apply", "pf0", "--vfs", "3")
    peer.wait_carrier("pf0")
    eventually(lambda: uplink()["state"] == "up", "the uplink")
    [(address, state)] = reserved_vfs().items()
    assert state == "assigned" and uplink()["address"] == address and uplink()["driver"] == "net_e1000_igb_vf"
    assert uplink()["reach"]["way"] == "vf-mac" and not uplink()["reach"]["promisc"]
    with Guest(folder, "card", vf_port(0x84)) as vf, \
            Guest(folder, "soft", polled_port(0x85)) as polled:
        assert vf.show()["ports"][0]["vf"] != address
        vf.network_up(VF_IP)
        polled.network_up(POLLED_IP)
        talk(vf, polled)
        assert not unreachable() and uplink()["reach"]["macs"] == [{"mac": mac_of(0x85), "port": "soft/p", "by": "viaduct"}]
        assert "reserved for the uplink wire0" in refused("vf", "set", address, "trust=off")
        assert "reserved for the uplink wire0" in refused("pf", "apply", "pf0", "--vfs", "4")

        # Daemon and backend die: the same VF, and the same way.
        reserved.restart()
        os.kill(backend_pid(), signal.SIGKILL)
        eventually(lambda: cli_json("port", "stats", "soft/p")["ports"][0]["state"] == "running", "the port is served", 90)
        assert list(reserved_vfs()) == [address]
        eventually(lambda: vf.ping(POLLED_IP) and polled.ping(), "both ways again")
    # Without its uplink the VF is nobody's.
    reserved.stop()
    reserved.config.write_text("")
    reserved.start()
    eventually(lambda: not reserved_vfs(), "the VF goes back")
    [vf] = [v for v in cli_json("vf", "list")["vfs"] if v["address"] == address]
    assert vf["state"] == "free"


@pytest.mark.host("polled")
@pytest.mark.timeout(400)
def test_a_second_port_over_a_vf_that_takes_one_address(reserved, ports, folder):
    cli("pf", "apply", "pf0", "--vfs", "2")
    eventually(lambda: uplink()["state"] == "up", "the uplink")
    with Guest(folder, "one", polled_port(0x86)), \
            Guest(folder, "two", polled_port(0x87)):
        eventually(unreachable, "an alarm")
        [text] = unreachable()
        assert mac_of(0x87) in text and "one address" in text
        assert {m["mac"]: m["by"] for m in uplink()["reach"]["macs"]} == {mac_of(0x86): "viaduct", mac_of(0x87): "missing"}

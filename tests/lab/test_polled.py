# SPDX-License-Identifier: BSD-3-Clause
"""Polled ports: guests on the 82574L under DPDK's own driver, on a switch without a wire, beside a VF; and the backend's end."""

import os
import signal

import pytest
from labkit import PEER_IP, Guest, cli, cli_json, eventually, mac_of, peer
from polledkit import GATEWAY, MEGABYTES, are_served, backend_pid, device_of, polled, transfer  # noqa: F401


@pytest.mark.host("polled")
@pytest.mark.timeout(400)
def test_guests_on_the_wire_and_on_the_switch(polled, folder):  # noqa: F811
    wire = [f'name: wire, network: outside, engine: polled, mac: "{mac_of(0x61)}"',
            f'name: lan, network: inside, engine: polled, mac: "{mac_of(0x62)}"']
    lan = [f'name: lan, network: inside, engine: polled, mac: "{mac_of(0x63)}"']
    with Guest(folder, "edge", wire) as edge, Guest(folder, "core", lan) as core:
        assert {p["name"]: p["engine"] for p in edge.show()["ports"]} == {"wire": "polled", "lan": "polled"}
        edge.network_up("10.0.2.77", device_of(edge, mac_of(0x61)))
        assert edge.ping(GATEWAY)
        edge.network_up("10.88.0.1", device_of(edge, mac_of(0x62)))
        core.network_up("10.88.0.2")
        transfer(core, edge, "10.88.0.1")
        [sent] = cli_json("port", "stats", "core/lan")["ports"]
        # Segments go through whole: fewer frames than a wire of 1500 bytes would carry.
        assert sent["from_guest"]["bytes"] >= MEGABYTES << 20
        assert sent["from_guest"]["packets"] < (MEGABYTES << 20) / 1500

        # The backend dies: its successor finds the rings as they were, without anybody's help.
        old = backend_pid()
        os.kill(old, signal.SIGKILL)
        eventually(lambda: backend_pid() not in (0, old), "another viaduct-pmd")
        eventually(are_served, "ports that are served", 90)
        assert core.ping("10.88.0.1") and edge.ping(GATEWAY)
    assert cli_json("port", "list")["ports"] == []


@pytest.mark.host("polled")
def test_a_router_between_a_vf_and_a_polled_port(polled, ports, far, folder):  # noqa: F811
    cli("pf", "apply", ports[0], "--vfs", "2")
    peer.wait_carrier(ports[0])
    both = [f'name: wan, pf: "{ports[0]}", mac: "{mac_of(0x71)}"',
            f'name: lan, network: inside, engine: polled, mac: "{mac_of(0x72)}"']
    lan = [f'name: lan, network: inside, engine: polled, mac: "{mac_of(0x73)}"']
    with Guest(folder, "router", both) as router, Guest(folder, "leaf", lan) as leaf:
        router.network_up("10.77.0.2", device_of(router, mac_of(0x71)))
        router.network_up("10.88.0.1", device_of(router, mac_of(0x72)))
        router.run("echo 1 > /proc/sys/net/ipv4/ip_forward")
        leaf.network_up("10.88.0.2")
        leaf.run("ip route add default via 10.88.0.1")
        far.run("ip", "route", "replace", "10.88.0.0/24", "via", "10.77.0.2")
        assert router.ping() and leaf.ping(PEER_IP)

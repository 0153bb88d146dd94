# SPDX-License-Identifier: BSD-3-Clause
"""The guest of the benchmarks: its reflector on a VF by DPDK's driver and by the kernel's, and what a packet and an interrupt cost
there. Figures of cost are those of deterministic time, where nothing but the work is in them."""

import contextlib
import json
import statistics

import pytest
from benchkit import GuestReflector, HostReflector, bench_guest
from labkit import cli_json, mac_of
from reflect.counts import RING, Flood, Wire, polled, woken
from run.guests import Image, polling_exits

MAC = mac_of(1)
ROUNDS = 3
POLLED_CPU = 1
MAX_EXITS_PER_PACKET = 0.001
MAX_RATIO = 1.03


@pytest.fixture
def wire(ports):
    w = Wire(ports[1])
    yield w
    w.close()


def function(reflect):
    """The guest's only VF, as a port by DPDK's driver."""
    [device] = reflect.ask("devices")["functions"]
    return reflect.ask("port", name="a", device=device, ring=RING)


@pytest.mark.timeout(600)
def test_frames_come_back_by_each_driver(pf, wire, folder):
    with bench_guest(folder, "bench", pf, MAC) as guest, contextlib.closing(GuestReflector(guest)) as reflect:
        port = function(reflect)
        assert port["mac"] == MAC and port["driver"] == "net_e1000_igb_vf" and port["max_frame"] == 1518
        refused = reflect.answer("start", mode="reflect", idle="interrupt", **{"from": "a"})
        assert refused["ok"] is False and "no receive interrupts" in refused["text"]
        with reflect.running():
            assert wire.echoes(MAC, 100) == 100
            assert wire.echoes(MAC, 50, 1518) == 50
            stats = reflect.ask("stats")
        assert stats["received"] == stats["sent"] == 150 and stats["dropped"] == 0 and stats["polls"] > stats["bursts"]
        reflect.ask("close", name="a")
        guest.run("bench-bind igbvf")
        port = reflect.ask("port", name="a", device="af-packet:eth0")
        assert port["mac"] == MAC and port["driver"] == "igbvf"
        with reflect.running(idle="interrupt"):
            before = reflect.ask("stats")["interrupts"]
            assert wire.echoes(MAC, 50) == 50
            stats = reflect.ask("stats")
        assert stats["sent"] == 50 and stats["sleeps"] > 0 and stats["interrupts"] > before
        reflect.ask("close", name="a")
        assert reflect.ask("port", name="a", device="af-xdp:eth0")["driver"] == "net_af_xdp"
        with reflect.running():
            assert wire.echoes(MAC, 50) == 50


@pytest.mark.host("polling")
@pytest.mark.timeout(600)
def test_what_a_packet_costs(pf, wire, folder, scratch):
    """The same program with the same driver, on the bare host's VF and in a guest, in turn, polling on a CPU of their own."""
    with contextlib.closing(HostReflector(pf, POLLED_CPU)) as host, \
            bench_guest(folder, "bench", pf, MAC, Image(None, None).polling(0, POLLED_CPU)) as guest, \
            contextlib.closing(GuestReflector(guest)) as reflect:
        host_mac = host.ask("port", name="a", device=host.vf, ring=RING)["mac"]
        function(reflect)
        rounds = {"host": [], "guest": []}
        for _ in range(ROUNDS):
            with host.running():
                rounds["host"].append(polled(host, wire, host_mac, Flood()))
            with reflect.running():
                rounds["guest"].append(polled(reflect, wire, MAC, Flood(), lambda: polling_exits(cli_json("vm", "stats", guest.name)["kvm"]["vcpus"])))
    (scratch / "bench-packet.json").write_text(json.dumps(rounds, indent=1) + "\n")
    print(json.dumps(rounds))
    for got in rounds["host"] + rounds["guest"]:
        # What a card had no room for while its reader was not at work never came.
        assert got["offered"] >= got["packets"] == got["sent"] > 0.9 * got["offered"]
    bare, virtual = (statistics.median(r["instructions"] for r in rounds[who]) for who in ("host", "guest"))
    assert 1 / MAX_RATIO < virtual / bare < MAX_RATIO
    assert statistics.median(r["exits"]["exits"] for r in rounds["guest"]) < MAX_EXITS_PER_PACKET


@pytest.mark.host("icount")
@pytest.mark.timeout(600)
def test_what_an_interrupt_costs(pf, wire, folder, scratch):
    with bench_guest(folder, "bench", pf, MAC) as guest, contextlib.closing(GuestReflector(guest)) as reflect:
        guest.run("bench-bind igbvf")
        reflect.ask("port", name="a", device="af-packet:eth0")
        with reflect.running(idle="interrupt"):
            rounds = [woken(reflect, wire, MAC, 100) for _ in range(ROUNDS)]
    (scratch / "bench-interrupt.json").write_text(json.dumps(rounds, indent=1) + "\n")
    print(json.dumps(rounds))
    for got in rounds:
        assert got["packets"] >= 90 and got["interrupts"] >= 90
        assert got["exits"]["eoi"] <= 0.05 and got["exits"]["hlt"] <= 1.5 and got["exits"].get("mmio", 0) <= 0.05

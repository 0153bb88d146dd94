# SPDX-License-Identifier: BSD-3-Clause
"""Polled ports under traffic of real guests: each word of the policy shown by what passes and what is counted, uplinks that lose
their cable, sends without exits, and the way back from a fallback."""

import contextlib
import re
import signal
import socket
import struct
import subprocess
import time

import pytest
from labkit import TOP, Guest, cli, cli_json, eventually, mac_of, peer
from operate import api
from polledkit import (  # noqa: F401
    ECHO, GATEWAY, GRACE_S, HOST_END, MEGABYTES, config_write, device_of, done, listen, loss, polled, port_set, stats, successor, transfer,
)

A_WIRE, A_LAN, B_LAN = mac_of(0x81), mac_of(0x82), mac_of(0x83)
A_IP, B_IP, NOBODY = "10.88.1.1", "10.88.1.2", "10.88.1.99"


@pytest.fixture(scope="module")
def pair(polled, folder):  # noqa: F811
    """Two guests on one switch, whose wire ends in the host; the first has the 82574Ls besides."""
    words = f"engine: polled, mtu: 9000, backend_grace: {GRACE_S}s"
    a_ports = [f'name: wire, network: outside, {words}, mac: "{A_WIRE}"', f'name: lan, network: to-host, {words}, mac: "{A_LAN}"']
    b_ports = [f'name: lan, network: to-host, {words}, mac: "{B_LAN}"']
    with Guest(folder, "a", a_ports) as a, Guest(folder, "b", b_ports) as b:
        for guest, mac, name, address in ((a, A_WIRE, "wire", "10.0.2.77"), (a, A_LAN, "lan", A_IP), (b, B_LAN, "lan", B_IP)):
            guest.run(f"ip link set {device_of(guest, mac)} name {name}")
            guest.network_up(address, name)
        yield a, b


def passed(before, after, way, what):
    return after[way][what] - before[way][what]


def drops(port, reason):
    return stats(port)["drops"][reason]


@contextlib.contextmanager
def policy(*ports):
    """Whatever the case does to these ports is undone."""
    try:
        yield
    finally:
        for port in ports:
            port_set(port, vlan="off", mode="none", rate="off", storm="off", trust="none", spoofchk="on")


def answers(guest):
    """b answers: at once, or when both have found each other anew after an address has changed."""
    eventually(lambda: loss(guest, B_IP) == 0, "pings that are answered")


class Wire:
    """What comes out of the switch at the host's end: (tags from the outermost, ethertype, frame) of each."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel takes the outer tag off
        self.sock.bind((HOST_END, 0))
        self.sock.settimeout(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def tags_of(self, source):
        """All sets of tags that frames of this source have had."""
        found = set()
        with contextlib.suppress(socket.timeout):
            while True:
                data, aux, _, address = self.sock.recvmsg(65536, 256)
                if address[2] == socket.PACKET_OUTGOING or data[6:12].hex(":") != source:
                    continue
                tags = []
                for _, _, word in aux:
                    status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", word[:20])
                    if status & 0x10:
                        tags.append((tpid if status & 0x40 else 0x8100, tci & 0xFFF))
                at = 12
                while data[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
                    tags.append((int.from_bytes(data[at:at + 2], "big"), int.from_bytes(data[at + 2:at + 4], "big") & 0xFFF))
                    at += 4
                found.add(tuple(tags))
        return found


@pytest.mark.host("polled")
def test_ten_megabytes_over_the_82574l_and_jumbo_frames(pair):
    a, b = pair
    assert a.ping(GATEWAY)
    # There and back: what the far end sends back is what was sent.
    a.run(f"head -c {MEGABYTES << 20} /dev/urandom > /tmp/out", 120)
    before = stats("a/wire")
    a.run(f"nc {ECHO} < /tmp/out > /tmp/in", 120)
    assert a.run("sha256sum < /tmp/out", 60) == a.run("sha256sum < /tmp/in", 60)
    after = stats("a/wire")
    for way in ("from_guest", "to_guest"):
        assert passed(before, after, way, "bytes") >= MEGABYTES << 20
    transfer(a, b, B_IP)

    # 9000 bytes in one frame: over the switch, and out of the 82574L, whose far end has no answer to that.
    for port, address in (("a/lan", B_IP), ("a/wire", GATEWAY)):
        before, wire = stats(port), cli_json("uplink", "show", "wire0")["tx"]
        assert loss(a, address, 3, 9000 - 28) == 0 or port == "a/wire"
        after = stats(port)
        frames, sent = (passed(before, after, "from_guest", what) for what in ("packets", "bytes"))
        assert 3 * 9014 <= sent and frames <= 8, (frames, sent)
        assert after["drops"] == before["drops"]
    assert cli_json("uplink", "show", "wire0")["tx"]["bytes"] - wire["bytes"] >= 3 * 9014


@pytest.mark.host("polled")
def test_vlan_modes(pair):
    a, b = pair
    with policy("a/lan", "b/lan"):
        port_set("a/lan", vlan=100, mode="access")
        assert loss(a, B_IP) == 100
        port_set("b/lan", vlan=100, mode="access")
        with Wire() as wire:
            assert loss(a, B_IP) == 0
            a.console.run(f"ping -q -c 1 -W 1 {NOBODY}")
            assert wire.tags_of(A_LAN) == {((0x8100, 100),)}

        # A trunk: the guest's own tags, those that it may use; the other's port stays an access port of one of them.
        for guest in (a, b):
            guest.run("while read -r m; do [ -d /sys/module/$m ] || insmod /modules/$m.ko; done </modules/8021q.order")
        a.run("for id in 100 101; do ip link add link lan name lan.$id type vlan id $id; ip link set lan.$id up; done; "
              "ip addr add 10.88.2.1/24 dev lan.100; ip addr add 10.88.3.1/24 dev lan.101")
        b.run("ip addr add 10.88.2.2/24 dev lan; ip addr add 10.88.3.2/24 dev lan")
        port_set("a/lan", vlan="100,300", mode="trunk")
        before = drops("a/lan", "vlan")
        assert loss(a, "10.88.2.2") == 0
        assert loss(a, "10.88.3.2") == 100
        assert drops("a/lan", "vlan") > before

        # QinQ: one more tag around whatever the guest sends.
        port_set("a/lan", vlan=500, mode="qinq")
        with Wire() as wire:
            a.console.run(f"ping -q -c 1 -W 1 {NOBODY}; ping -q -c 1 -W 1 10.88.2.99")
            tags = wire.tags_of(A_LAN)
            assert {((0x88a8, 500),), ((0x88a8, 500), (0x8100, 100))} <= tags and {t[0] for t in tags} == {(0x88a8, 500)}, tags
        port_set("b/lan", vlan=500, mode="qinq")
        assert loss(a, B_IP) == 0
        a.run("ip link del lan.100; ip link del lan.101")
        b.run("ip addr del 10.88.2.2/24 dev lan; ip addr del 10.88.3.2/24 dev lan")
    assert loss(a, B_IP) == 0


@pytest.mark.host("polled")
def test_spoofing_and_trust(pair):
    a, b = pair
    stranger = mac_of(0x8f)
    with policy("a/lan", "b/lan"):
        port_set("a/lan", spoofchk="on")
        before = drops("a/lan", "spoofed")
        a.run(f"ip link set lan down; ip link set lan address {stranger}; ip link set lan up")
        try:
            with Wire() as wire:
                assert loss(a, B_IP) == 100
                assert not wire.tags_of(stranger)
            assert drops("a/lan", "spoofed") >= before + 5
            port_set("a/lan", spoofchk="off")
            answers(a)
        finally:
            a.run(f"ip link set lan down; ip link set lan address {A_LAN}; ip link set lan up")
        b.run("ip neigh flush dev lan")
        port_set("a/lan", spoofchk="on")
        answers(a)

        # Frames to a station that nobody knows reach the wire, and of the ports only one that is trusted with them.
        a.run(f"arp -i lan -s {NOBODY} {stranger}")
        for trust, sees in (("none", False), ("promisc", True)):
            port_set("b/lan", trust=trust)
            before = stats("b/lan")
            assert loss(a, NOBODY, 20, interval="0.05") == 100
            seen = passed(before, stats("b/lan"), "to_guest", "packets")
            assert seen >= 20 if sees else seen < 10, (trust, seen)
        a.run(f"arp -i lan -d {NOBODY}")


@pytest.mark.host("polled")
def test_rate_and_storm_limit(pair):
    a, b = pair
    with policy("a/lan"):
        # Low, so that neither this host's lack of processors nor a frame of 64 KiB more or less decides.
        port_set("a/lan", rate="4M")
        listen(b, "cat >/dev/null")
        a.run(f"(nc {B_IP} 5000 </dev/zero; true) >/dev/null 2>&1 &")
        time.sleep(2)
        first = stats("b/lan")
        time.sleep(12)
        last = stats("b/lan")
        a.run("killall nc")
        done(b)
        seen = passed(first, last, "to_guest", "bytes") * 8e3 / (last["time_ns"] - first["time_ns"])
        print(f"rate 4 Mbit/s: {seen:.2f} Mbit/s at the receiver")
        assert abs(seen - 4) < 0.05 * 4

        port_set("a/lan", rate="off", storm=10)
        before, first = drops("a/lan", "storm"), stats("b/lan")
        a.console.run("ping -q -c 300 -i 0.005 -W 1 10.88.1.255", 60)
        dropped, last = drops("a/lan", "storm") - before, stats("b/lan")
        seconds, got = (last["time_ns"] - first["time_ns"]) / 1e9, passed(first, last, "to_guest", "packets")
        print(f"storm limit 10/s: {got} passed in {seconds:.1f} s, {dropped} dropped")
        assert dropped >= 200 and got <= 10 * (seconds + 2) + 5
        port_set("a/lan", storm="off")
        assert loss(a, B_IP) == 0


@pytest.mark.host("polled")
def test_a_cable_is_pulled(pair):
    """The other uplink carries within a second, and the first again when its cable is back."""
    a, _ = pair
    a.run("ip neigh flush dev wire")
    assert a.ping(GATEWAY)
    try:
        a.run(f"ping -q -i 0.05 -c 100 -W 1 {GATEWAY} >/tmp/pings 2>&1 &")
        time.sleep(1)
        link("nic0", "down")
        text = a.run("wait; n=0; until grep -q loss /tmp/pings; do n=$((n+1)); [ $n -lt 200 ] || exit 1; usleep 100000; done; "
                     "grep loss /tmp/pings", 60)
        sent, got = (int(n) for n in re.match(r"(\d+) packets transmitted, (\d+) packets received", text).groups())
        print(f"uplink lost: {(sent - got) * 0.05:.2f} s without answers")
        assert sent == 100 and sent - got <= 20
    finally:
        link("nic0", "up")
    eventually(lambda: loss(a, GATEWAY, 3) == 0, "pings after the cable is back")
    link("nic1", "down")
    try:
        eventually(lambda: loss(a, GATEWAY, 3) == 0, "pings over the first uplink")
    finally:
        link("nic1", "up")


def link(name, word):
    subprocess.run([TOP / "lab/ctl", "link", name, word], check=True)


def exits(vm):
    """What left the kernel: KVM's own counts, and the trapped accesses of its virtio devices."""
    s = api.get(f"/v1/vms/{vm}/stats")
    total = s["kvm"]["total"]
    return total["io_exits"] + total["mmio_exits"], total["exits"]


@pytest.mark.host("polled")
def test_sends_cause_no_exits(polled, pair):  # noqa: F811
    """A backend that always polls is never rung, so that a guest under load leaves for nothing that it sends."""
    a, b = pair
    with idle(polled, "poll"):
        assert loss(a, B_IP) == 0
        listen(b, "cat >/dev/null")
        a.run(f"(nc {B_IP} 5000 </dev/zero; true) >/dev/null 2>&1 &")
        time.sleep(2)
        before, (out, all_exits) = stats("a/lan"), exits("a")
        time.sleep(8)
        after, (out_after, all_after) = stats("a/lan"), exits("a")
        a.run("killall nc")
        done(b)
    packets, size = (passed(before, after, "from_guest", what) for what in ("packets", "bytes"))
    kicks = after["kicks"] - before["kicks"]
    print(f"{packets} packets, {size >> 20} MiB sent in 8 s: {kicks} kicks, {out_after - out} exits for I/O, "
          f"{all_after - all_exits} exits of all kinds")
    # Segments of up to 64 KiB go as one.
    assert packets > 100
    assert 100 * kicks <= packets and 100 * (out_after - out) <= packets


@contextlib.contextmanager
def idle(daemon, word):
    """The backend is another one meanwhile, which does so without packets."""
    def change(to):
        config_write(daemon.config, to)
        daemon.restart(signal.SIGTERM)
        successor(signal.SIGTERM)

    change(word)
    try:
        yield
    finally:
        change("adaptive")


@pytest.mark.host("polled")
def test_a_fallback_and_the_way_back(polled, ports, folder):  # noqa: F811
    def alarms():
        return [(x["kind"], x["object"]) for x in cli_json("alarms")["alarms"]]
    cli("pf", "apply", ports[0], "--vfs", "1")
    peer.wait_carrier(ports[0])
    cli("vf", "alloc", "--pf", ports[0], "--name", "taken")
    wish = [f'name: wan, network: mixed, engine: auto, fallback: polled, mac: "{mac_of(0x91)}"']
    try:
        with Guest(folder, "auto", wish) as guest:
            port = guest.port()
            assert (port["engine"], port["wanted"]) == ("polled", "auto") and port["fallback"]["why"], port
            assert guest.console.driver(device_of(guest, mac_of(0x91))) == "virtio_net"
            eventually(lambda: ("port-fallback", "auto/wan") in alarms(), "the alarm")
        cli("vf", "release", "taken")
        eventually(lambda: ("port-fallback", "auto/wan") not in alarms(), "the alarm's end")
        with Guest(folder, "auto", wish) as guest:
            assert guest.port()["engine"] == "vf", guest.port()
            assert guest.console.driver(device_of(guest, mac_of(0x91))) == "igbvf"
            assert ("port-fallback", "auto/wan") not in alarms()
    finally:
        with contextlib.suppress(Exception):
            cli("vf", "release", "taken")
        cli("pf", "apply", ports[0], "--vfs", "0")

# SPDX-License-Identifier: BSD-3-Clause
"""The whole of viaduct-pmd from the launch message on: requests, guests over the switch, uplinks, restarts."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import pytest
from daemonkit import PATIENCE_S, eventually
from pmdkit import Pmd, PmdError, exchange, pmd, pmd_program  # noqa: F401
from vhost_front import (
    F_CSUM, F_EVENT_IDX, F_HOST_TSO4, F_PACKED, F_PROTOCOL, GET_FEATURES, GET_QUEUE_NUM, GET_STATUS, GET_VRING_BASE, NET_SET_MTU, SEND_RARP,
    SET_FEATURES, SET_STATUS, SET_VRING_ENABLE, TX, Front, frame)
from vhost_front import mac as mac_bytes

MAC1, MAC2 = "02:00:00:00:00:01", "02:00:00:00:00:02"


def refused(pmd, code, op, **members):  # noqa: F811
    with pytest.raises(PmdError) as e:
        pmd.call(op, **members)
    assert e.value.code == code, e.value.error
    return e.value.error["text"]


@pytest.fixture(scope="module")
def shared_pmd(build_dir, tmp_path_factory):
    process = Pmd(str(build_dir / "pmd-backends/viaduct-pmd"), tmp_path_factory.mktemp("p")).start()
    yield process
    try:
        assert process.stop() == 0, process.text()
    finally:
        process.kill()


def port_of(pmd, name):  # noqa: F811
    return next(p for p in pmd.call("status")["ports"] if p["port"] == name)


def wait_port(pmd, name, state):  # noqa: F811
    assert eventually(lambda: port_of(pmd, name)["state"] == state), port_of(pmd, name)
    return port_of(pmd, name)


def unicast(guest):
    """The next frame that is no multicast, of which the host's kernel sends some by itself."""
    while (received := guest.receive()) is not None:
        if not received[1][0] & 1:
            return received[1]
    return None


def drops(pmd, name):  # noqa: F811
    found = pmd.call("stats", port=name)["ports"][0]["drops"]
    return {reason: n for reason, n in found.items() if n}


def test_launch_says_what_runs(pmd):  # noqa: F811
    status = pmd.launched
    assert status["name"] == "net0" and status["pid"] == pmd.process.pid
    assert status["dpdk"][:3] in ("22.", "23.", "24.", "25.") and status["uptime_ns"] > 0
    assert [(lcore["lcore"], lcore["cpu"]) for lcore in status["lcores"]] == [(1, -1)]
    assert status["uplinks"] == status["networks"] == status["ports"] == []


SPLIT, PACKED = Front.WANTED, (*Front.WANTED, F_PACKED)


@pytest.mark.parametrize("ring, first, second", [
    ("split", SPLIT, SPLIT), ("packed", PACKED, SPLIT), ("packed", (*PACKED, F_EVENT_IDX), PACKED)])
def test_two_guests_talk(pmd, ring, first, second):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    with (pmd.port("vm1/lan", "lan", mac=MAC1, features=second) as one,
          pmd.port("vm2/lan", "lan", mac=MAC2, features=first) as two):
        one.connect()
        two.connect()
        wait_port(pmd, "vm1/lan", "running")
        port = wait_port(pmd, "vm2/lan", "running")
        assert port["pid"] == os.getpid() and port["queues"] == 1 and port["ring"] == ring
        for i in range(1000):
            one.send(frame(MAC2, MAC1, b"there %d" % i))
            two.send(frame(MAC1, MAC2, b"back %d" % i))
            assert two.receive()[1] == frame(MAC2, MAC1, b"there %d" % i)
            assert one.receive()[1] == frame(MAC1, MAC2, b"back %d" % i)
        stats = pmd.call("stats", port="vm1/lan")["ports"][0]
        assert stats["from_guest"] == {"packets": 1000, "bytes": 60000}
        assert stats["to_guest"]["packets"] == 1000 and not drops(pmd, "vm1/lan")
        pmd.call("port-remove", port="vm1/lan")
        pmd.call("port-remove", port="vm2/lan")
    pmd.call("network-remove", name="lan")


@pytest.mark.parametrize("members, code, text", [
    ({"op": "fly"}, "unknown-request", "unknown request \"fly\""),
    ({"op": "status", "more": 1}, "", "more"),
    ({"op": "status", "v": 2}, "version", "message version 2"),
    ({"op": "port-add", "port": "vm1/lan", "network": "none", "socket": "/x", "policy": {"mac": MAC1}},
     "no-such-network", "none"),
    ({"op": "port-add", "port": "vm1", "network": "none", "socket": "/x", "policy": {"mac": MAC1}}, "", "VM/PORT"),
    ({"op": "port-add", "port": "vm1/lan", "network": "lan", "socket": "x", "policy": {"mac": MAC1}}, "", "absolute"),
    ({"op": "port-add", "port": "vm1/lan", "network": "lan", "socket": "/x", "policy": {}}, "bad-policy", "mac"),
    ({"op": "port-remove", "port": "vm1/lan"}, "no-such-port", "vm1/lan"),
    ({"op": "stats", "port": "vm1/lan"}, "no-such-port", "vm1/lan"),
    ({"op": "network-add", "name": "lan", "uplinks": ["nic0"], "bond": "none"}, "no-such-uplink", "nic0"),
    ({"op": "network-add", "name": "lan", "uplinks": [], "bond": "802.3ad"}, "", "needs uplinks"),
    ({"op": "network-add", "name": "lan", "uplinks": ["a", "a"], "bond": "802.3ad"}, "", "twice"),
    ({"op": "network-add", "name": "lan", "uplinks": ["a"] * 9, "bond": "802.3ad"}, "", "uplinks"),
    ({"op": "uplink-add", "name": "nic0", "kind": "pci", "device": "ffff:ff:1f.6"}, "no-such-device", "ffff:ff:1f.6"),
    ({"op": "uplink-add", "name": "nic0", "kind": "tap", "device": "a,iface=b"}, "", "device"),
    ({"op": "uplink-add", "name": "nic0", "kind": "null", "device": "", "mtu": 9001}, "", "mtu"),
    ({"op": "uplink-add", "name": "nic0", "kind": "af-packet", "device": "nosuch0"}, "no-such-device", "nosuch0"),
    ({"op": "uplink-add", "name": "../x", "kind": "null"}, "", "name"),
    ({"op": "uplink-remove", "name": "nic0"}, "no-such-uplink", "nic0"),
    ({"op": "fdb", "network": "lan"}, "no-such-network", "lan"),
    ({"op": "mirror-stop", "port": "vm1/lan"}, "no-such-port", "vm1/lan"),
])
def test_a_bad_request_changes_nothing(shared_pmd, members, code, text):
    before = shared_pmd.call("status")
    with pytest.raises(PmdError, match=text) as e:
        exchange(shared_pmd.sock, {"v": 1, **members})
    assert e.value.code == code
    after = shared_pmd.call("status")
    assert [after[key] for key in ("uplinks", "networks", "ports")] == [before[key] for key in ("uplinks", "networks", "ports")]


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff" * 100, b'{"v":1,"op":"status","op":"quit"}', b"[" * 3000])
def test_what_is_no_request_is_refused(shared_pmd, data):
    shared_pmd.sock.send(data)
    reply = json.loads(shared_pmd.sock.recv(65536))
    assert reply["ok"] is False and reply["error"]["text"]
    assert shared_pmd.call("status")["pid"] == shared_pmd.process.pid


def test_what_is_in_use_stays(pmd):  # noqa: F811
    pmd.call("uplink-add", name="hole", kind="null", device="")
    refused(pmd, "uplink-exists", "uplink-add", name="hole", kind="null", device="")
    pmd.call("network-add", name="lan", uplinks=["hole"], bond="none")
    refused(pmd, "network-exists", "network-add", name="lan", uplinks=[], bond="none")
    refused(pmd, "uplink-in-use", "network-add", name="lan2", uplinks=["hole"], bond="none")
    refused(pmd, "uplink-in-use", "uplink-remove", name="hole")
    with pmd.port("vm1/lan", "lan", mac=MAC1):
        refused(pmd, "network-in-use", "network-remove", name="lan")
        refused(pmd, "port-exists", "port-add", port="vm1/lan", network="lan", socket="/x", policy={"mac": MAC2})
        refused(pmd, "mac-in-use", "port-add", port="vm2/lan", network="lan", socket="/x", policy={"mac": MAC1})
        status = pmd.call("status")
        assert [u["name"] for u in status["uplinks"]] == ["hole"] and status["uplinks"][0]["link"] is True
        assert status["networks"] == [
            {"name": "lan", "uplinks": ["hole"], "bond": "none", "active": "hole", "ports": 1}]
        assert pmd.call("fdb", network="lan") == {
            "entries": [{"mac": MAC1, "vlan": 0, "at": "vm1/lan", "age_s": 0, "fixed": True}], "more": False}
        pmd.call("port-remove", port="vm1/lan")
    pmd.call("network-remove", name="lan")
    pmd.call("uplink-remove", name="hole")
    status = pmd.call("status")
    assert status["uplinks"] == status["networks"] == status["ports"] == []


@pytest.mark.skipif(not os.path.exists("/dev/net/tun") or os.geteuid() != 0, reason="needs root and /dev/net/tun")
def test_a_guest_talks_to_the_host_through_a_tap(pmd):  # noqa: F811
    tap = f"vt{os.getpid()}"
    up = pmd.call("uplink-add", name="host", kind="tap", device=tap)["uplink"]
    assert up["driver"] == "net_tap" and up["note"].startswith("last resort") and up["mtu"] == 1500
    pmd.call("network-add", name="lan", uplinks=["host"], bond="none")
    with pmd.port("vm1/lan", "lan", mac=MAC1) as guest, socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)) as host:
        host.bind((tap, 0x88b5))
        host.settimeout(PATIENCE_S)
        guest.connect()
        wait_port(pmd, "vm1/lan", "running")
        for i in range(50):
            payload = b"%d " % i * 20
            guest.send(frame("02:00:00:00:00:99", MAC1, payload))
            assert host.recv(2000) == frame("02:00:00:00:00:99", MAC1, payload)
            host.send(frame(MAC1, "02:00:00:00:00:99", payload))
            assert unicast(guest) == frame(MAC1, "02:00:00:00:00:99", payload)
        entries = {e["mac"]: e["at"] for e in pmd.call("fdb", network="lan")["entries"]}
        assert entries["02:00:00:00:00:99"] == "uplink:host"
        uplink = pmd.call("stats")["uplinks"][0]
        assert uplink["rx"]["packets"] >= 50 and uplink["tx"]["packets"] >= 50


def test_a_stranger_at_the_socket_gets_no_port(pmd_program, short_tmp):  # noqa: F811
    if os.geteuid() != 0:
        pytest.skip("needs root, to listen as somebody else")
    process = Pmd(pmd_program, short_tmp, guest_uid=[64000, 10]).start()
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        os.chmod(short_tmp, 0o755)
        process.call("network-add", name="lan", uplinks=[], bond="none")
        with process.port("vm1/lan", "lan", mac=MAC1) as front:
            # Who called listen() last is whom the peer sees.
            pid = os.fork()
            if pid == 0:
                os.setuid(65534)
                front.listener.listen(4)
                time.sleep(60)
                os._exit(0)
            try:
                deadline = time.monotonic() + PATIENCE_S
                while "which is no guest's" not in (error := port_of(process, "vm1/lan")["error"]):
                    assert time.monotonic() < deadline, error
                    with contextlib.suppress(OSError):
                        front.accept(1)
                        front.hang_up()
                assert port_of(process, "vm1/lan")["state"] == "waiting"
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            front.listener.listen(4)
            # What was connected to the stranger is still in the queue.
            deadline = time.monotonic() + PATIENCE_S
            while port_of(process, "vm1/lan")["state"] != "running":
                assert time.monotonic() < deadline
                with contextlib.suppress(OSError):
                    front.connect()
                    wait_port(process, "vm1/lan", "running")


KILL_SECONDS = int(os.environ.get("VIADUCT_KILL_SECONDS", "40"))
KILLS = int(os.environ.get("VIADUCT_KILLS", "200"))  # fewer if the time is up
WAYS = 3  # of each kind of ring


class Way:
    """Frames from one guest to another, numbered: none comes twice, out of turn or broken."""

    def __init__(self, pmd, number, features):  # noqa: F811
        self.macs = [f"02:00:00:00:{number:02x}:{end:02x}" for end in (1, 2)]
        self.one, self.two = (pmd.port(f"vm{number}/{end}", "lan", mac=mac, features=features)
                              for end, mac in enumerate(self.macs))
        self.sent, self.last, self.got = 0, -1, 0

    def numbered(self, i):
        return frame(self.macs[1], self.macs[0], i.to_bytes(4, "big") + bytes(i % 251 for _ in range(200)))

    def send(self, count=1):
        for _ in range(count):
            self.one.send(self.numbered(self.sent))
            self.sent += 1

    def hear(self, timeout):
        received = self.two.receive(timeout)
        if received is not None:
            number = int.from_bytes(received[1][14:18], "big")
            assert received[1] == self.numbered(number) and number > self.last, (number, self.last)
            self.last, self.got = number, self.got + 1
        return received is not None

    def connect(self):
        self.two.connect()  # first: what is still in the sender's ring would find nobody
        self.one.connect()

    def catch_up(self):
        """Until something that was sent after the restart has come."""
        deadline, target = time.monotonic() + PATIENCE_S, self.sent
        self.send()
        while self.last < target:
            if not self.hear(1):
                assert time.monotonic() < deadline, (self.last, target, self.sent)
                self.send()

    def close(self):
        self.one.close()
        self.two.close()


@pytest.mark.timeout(max(400, 4 * KILL_SECONDS))
def test_killed_under_traffic_no_frame_comes_twice_or_broken(pmd):  # noqa: F811
    """A backend that dies loses what it had in hand, and no more. Each kill meets rings of both kinds."""
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    with contextlib.ExitStack() as stack:
        ways = []
        for number in range(2 * WAYS):
            ways.append(Way(pmd, number, (SPLIT, PACKED)[number % 2]))
            stack.callback(ways[-1].close)
            ways[-1].connect()
        began, kills = time.monotonic(), 0
        while kills < KILLS and time.monotonic() - began < KILL_SECONDS:
            # What is still in hand differs from kill to kill, from way to way.
            for number, way in enumerate(ways):
                way.send(20 + (kills * 7 + number * 11) % 60)
            pmd.process.kill()
            for way in ways:
                while way.hear(0.001):
                    pass
            pmd.restart()
            kills += 1
            for way in ways:
                way.connect()
            for way in ways:
                way.catch_up()
        for number, way in enumerate(ways):
            assert way.one.is_sent(), number
            assert way.got > way.sent // 10, (number, kills, way.sent, way.got)
        assert kills >= 5
        print(f"killed {kills} times, each with {WAYS} ways of split and of packed rings: "
              f"{sum(way.sent for way in ways)} frames sent, {sum(way.got for way in ways)} came")


@pytest.mark.parametrize("idle, features", [("poll", SPLIT), ("interrupt", SPLIT), ("interrupt", (*SPLIT, F_EVENT_IDX)),
                                            ("interrupt", PACKED), ("interrupt", (*PACKED, F_EVENT_IDX))])
def test_idle_lcores_wake(pmd_program, short_tmp, idle, features):  # noqa: F811
    process = Pmd(pmd_program, short_tmp, idle=idle, cpus=[min(os.sched_getaffinity(0))]).start()
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        process.call("network-add", name="lan", uplinks=[], bond="none")
        one = stack.enter_context(process.port("vm1/lan", "lan", mac=MAC1, features=features))
        two = stack.enter_context(process.port("vm2/lan", "lan", mac=MAC2, features=features))
        one.connect()
        two.connect()
        wait_port(process, "vm2/lan", "running")
        for i in range(10):
            time.sleep(0.1)  # so long that it sleeps
            one.send(frame(MAC2, MAC1, b"wake up %d" % i))
            assert two.receive()[1] == frame(MAC2, MAC1, b"wake up %d" % i)
        assert process.stop() == 0


def watched(process):
    """fds that wake the lcores."""
    count = 0
    for path in pathlib.Path(f"/proc/{process.pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            text = path.read_text()
            if os.readlink(path.parent.parent / "fd" / path.name) == "anon_inode:[eventpoll]":
                count += text.count("tfd:")
    return count


def test_kicks_of_rings_that_are_gone_wake_nobody(pmd_program, short_tmp):  # noqa: F811
    process = Pmd(pmd_program, short_tmp, idle="interrupt").start()
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        process.call("network-add", name="lan", uplinks=[], bond="none")
        one = stack.enter_context(process.port("vm1/lan", "lan", mac=MAC1))
        one.connect()
        wait_port(process, "vm1/lan", "running")
        before = watched(process.process)
        for _ in range(5):
            one.hang_up()
            one.connect()
            one.ring_tell(TX)  # a second time, with an fd of its own
            one.ask(GET_FEATURES)
        assert watched(process.process) == before
        one.ask(GET_VRING_BASE, struct.pack("<II", TX, 0))
        assert watched(process.process) == before - 1
        assert process.stop() == 0


def test_a_rate_holds_while_lcores_sleep(pmd_program, short_tmp):  # noqa: F811
    """A guest that is held back by its rate goes on when there is credit, not when something else wakes the lcore."""
    rate = 8 << 20
    process = Pmd(pmd_program, short_tmp, idle="interrupt").start()
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        process.call("network-add", name="lan", uplinks=[], bond="none")
        one = stack.enter_context(process.port("vm1/lan", "lan", mac=MAC1, rate=rate))
        one.connect()
        wait_port(process, "vm1/lan", "running")
        data = frame(MAC2, MAC1, bytes(1400))
        for _ in range(512):  # what it may send at once, and a full ring
            one.send(data)

        def passed():
            """The ring is always full of frames that wait; the guest kicks no more than when it has put some there."""
            began, count = time.monotonic(), 0
            while time.monotonic() - began < 3:
                one.tx_reap()
                while one.free_tx:
                    one.send(data)
                    count += 1
                time.sleep(0.005)
            share = count * len(data) * 8 / (time.monotonic() - began) / rate
            assert share < 1.15
            return share > 0.85

        assert eventually(passed)  # a machine that does other work fills the ring too late
        assert process.stop() == 0


def port_lcore(process, name):
    return port_of(process, name)["lcore"]


@pytest.mark.parametrize("idle", ["poll", "interrupt"])
def test_a_network_moves_to_another_lcore_under_load(pmd_program, short_tmp, idle):  # noqa: F811
    """An lcore that is busy with one network gives the other away; frames of that go on, and its kicks wake the new one."""
    process = Pmd(pmd_program, short_tmp, idle=idle, cpus=sorted(os.sched_getaffinity(0))[:2]).start()
    if len(process.spec["cpus"]) < 2:
        process.kill()
        pytest.skip("needs two CPUs")
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        process.call("uplink-add", name="hole", kind="null", device="")
        for name, uplinks in (("busy", ["hole"]), ("other", []), ("lan", [])):  # the first and the last on one lcore
            process.call("network-add", name=name, uplinks=uplinks, bond="none")
        evil = stack.enter_context(process.port("vm3/busy", "busy", mac="02:00:00:00:00:03",
                                                features=(*SPLIT, F_CSUM, F_HOST_TSO4)))
        for number in range(4, 7):  # the network with the fewest ports moves
            stack.enter_context(process.port(f"vm{number}/busy", "busy", mac=f"02:00:00:00:00:{number:02x}"))
        one = stack.enter_context(process.port("vm1/lan", "lan", mac=MAC1))
        two = stack.enter_context(process.port("vm2/lan", "lan", mac=MAC2, features=PACKED))
        for front in (evil, one, two):
            front.connect()
        home = port_lcore(process, "vm1/lan")
        assert port_lcore(process, "vm3/busy") == home
        child = busy_guest(evil)
        stack.callback(os.waitpid, child, 0)
        stack.callback(os.kill, child, signal.SIGKILL)
        deadline, i, after = time.monotonic() + 60, 0, 0
        while after < 100:
            assert time.monotonic() < deadline, process.call("status")
            one.send(frame(MAC2, MAC1, b"there %d" % i))
            got = two.receive()
            assert got is not None and got[1] == frame(MAC2, MAC1, b"there %d" % i), (i, got)
            i += 1
            if i % 20 == 0 and port_lcore(process, "vm1/lan") != home:
                after += 20
                time.sleep(0.1)  # so long that an lcore sleeps that does
        assert port_lcore(process, "vm3/busy") == home and port_lcore(process, "vm2/lan") != home
        assert process.stop() == 0


def busy_guest(front):
    """A process whose ring is always full of frames of 60 KiB that the switch has to cut; its pid."""
    ring, length = front.rings[TX], 60000
    header = struct.pack("<BBHHHHH", 1, 1, 54, 1448, 34, 16, 0)  # checksum and TSO over IPv4
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length + 40, 0, 0, 64, 6, 0, b"\n\0\0\1", b"\n\0\0\2")
    tcp = struct.pack(">HHIIBBHHH", 1, 2, 0, 0, 0x50, 0x10, 1000, 0, 0)
    data = header + mac_bytes("02:00:00:00:00:99") + mac_bytes("02:00:00:00:00:03") + b"\x08\0" + ip + tcp
    front.memory[front.spare:front.spare + len(data)] = data
    for index in range(ring.size):
        ring.set_desc(index, front.spare, len(data) + length)
        ring.words[ring.avail // 2 + 2 + index] = index
    pid = os.fork()
    if pid == 0:
        while True:
            ring.words[ring.avail // 2 + 1] = ring.words[ring.used // 2 + 1] + ring.size & 0xffff
            os.eventfd_write(front.kicks[TX], 1)
            time.sleep(0.001)
    return pid


def test_a_vmm_announces_its_guest_and_sets_its_mtu(pmd):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    with pmd.port("vm1/lan", "lan", mac=MAC1) as one, pmd.port("vm2/lan", "lan", mac=MAC2) as two:
        one.connect()
        two.connect()
        assert one.order(SEND_RARP, mac_bytes(MAC1) + b"\0\0") == 0
        got = two.receive()
        assert got is not None and got[1][:14] == b"\xff" * 6 + mac_bytes(MAC1) + b"\x80\x35", got
        # Of another's address: the port's policy knows what that is.
        assert one.order(SEND_RARP, mac_bytes(MAC2) + b"\0\0") == 0
        assert two.order(NET_SET_MTU, struct.pack("<Q", 1000)) == 0
        one.send(frame(MAC2, MAC1, bytes(1000)))
        one.send(frame(MAC2, MAC1, bytes(1001)))
        assert [len(f) for f in two.drain(least=1)] == [1014]
        assert drops(pmd, "vm1/lan") == {"spoofed": 1} and drops(pmd, "vm2/lan") == {"oversize": 1}
        # A reset device is silent until its rings are set up again.
        assert one.order(SET_STATUS, struct.pack("<Q", 0)) == 0
        assert struct.unpack("<Q", one.ask(GET_STATUS))[0] == 0
        assert port_of(pmd, "vm1/lan")["state"] == "connected"
        assert struct.unpack("<Q", one.ask(GET_QUEUE_NUM))[0] == 8


def test_a_driver_of_the_old_kind_is_refused(pmd):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    with pmd.port("vm1/lan", "lan", mac=MAC1) as one:
        one.accept()
        one.negotiate()
        one.tell(SET_FEATURES, struct.pack("<Q", 1 << F_PROTOCOL))
        one.memory_tell()
        with contextlib.suppress(OSError):
            for index in range(2):
                one.ring_tell(index)
                one.tell(SET_VRING_ENABLE, struct.pack("<II", index, 1))
        assert eventually(lambda: "a driver older than virtio 1.0" in port_of(pmd, "vm1/lan")["error"]), port_of(pmd, "vm1/lan")


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, check=False).returncode == 0


@pytest.fixture
def veths():
    """Two pairs: (ours, the far end)."""
    pairs = [(f"va{os.getpid()}{i}", f"vb{os.getpid()}{i}") for i in range(2)]
    if os.geteuid() != 0 or not all(ip("link", "add", a, "type", "veth", "peer", "name", b) for a, b in pairs):
        pytest.skip("needs root and veth devices")
    for a, b in pairs:
        ip("link", "set", a, "up")
        ip("link", "set", b, "up")
    yield pairs
    for a, _ in pairs:
        ip("link", "del", a)


def test_another_uplink_carries_when_one_is_down(pmd, veths):  # noqa: F811
    for i, (near, _) in enumerate(veths):
        pmd.call("uplink-add", name=f"nic{i}", kind="af-packet", device=near)
    pmd.call("network-add", name="lan", uplinks=["nic0", "nic1"], bond="active-backup")
    with pmd.port("vm1/lan", "lan", mac=MAC1) as guest, contextlib.ExitStack() as stack:
        far = []
        for _, name in veths:
            sock = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)))
            sock.bind((name, 0x88b5))
            sock.settimeout(PATIENCE_S)
            far.append(sock)
        guest.connect()
        wait_port(pmd, "vm1/lan", "running")
        for carries, down in ((0, None), (1, veths[0][1]), (0, None)):
            if down:
                ip("link", "set", down, "down")
            else:
                ip("link", "set", veths[0][1], "up")
            assert eventually(lambda: pmd.call("status")["networks"][0]["active"] == f"nic{carries}")  # noqa: B023
            with contextlib.suppress(OSError):
                far[carries].recv(2000, socket.MSG_DONTWAIT)  # that it was down
            payload = b"by %d" % carries
            guest.send(frame("02:00:00:00:00:99", MAC1, payload))
            assert far[carries].recv(2000) == frame("02:00:00:00:00:99", MAC1, payload)
            far[carries].send(frame(MAC1, "02:00:00:00:00:99", payload))
            assert unicast(guest) == frame(MAC1, "02:00:00:00:00:99", payload)


def test_a_bond_comes_and_goes(pmd, veths):  # noqa: F811
    for i, (near, _) in enumerate(veths):
        pmd.call("uplink-add", name=f"nic{i}", kind="af-packet", device=near)
    for _ in range(2):
        pmd.call("network-add", name="lan", uplinks=["nic0", "nic1"], bond="802.3ad")
        assert pmd.call("status")["networks"][0]["bond"] == "802.3ad"
        refused(pmd, "uplink-in-use", "uplink-remove", name="nic0")
        # LACP's frames (IEEE 802.1AX) leave by themselves.
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8809)) as far:
            far.bind((veths[1][1], 0x8809))
            far.settimeout(PATIENCE_S)
            assert far.recv(2000)[:6] == bytes.fromhex("0180c2000002")
        pmd.call("network-remove", name="lan")
    pmd.call("uplink-remove", name="nic0")
    pmd.call("uplink-remove", name="nic1")

# SPDX-License-Identifier: BSD-3-Clause
"""The reflector, told by the generator at the other end of a veth pair and of a real viaduct-pmd."""

import json
import os
import socket
import subprocess

import pytest
from daemonkit import eventually
from genkit import Gen, GenError
from pmdkit import pmd, pmd_program  # noqa: F401

TAKES_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to make devices")
MACS = {"gen": "02:00:00:00:01:01", "far": "02:00:00:00:01:02"}


class Reflect(Gen):
    """The same lines, asked of a viaduct-reflect."""

    def __init__(self, build_dir, folder):
        self.log = folder / "reflect.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [build_dir / "bench/reflect/viaduct-reflect", "--no-huge", "-m", "128", "--file-prefix", f"reflect-{os.getpid()}", "--"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "RUNTIME_DIRECTORY": str(folder), "ASAN_OPTIONS": "detect_leaks=0"})

    def start(self, mode="reflect", idle="poll", **members):
        self.ask("start", mode=mode, idle=idle, **{"from": "a"}, **members)


@pytest.fixture
def gen(build_dir, short_tmp):
    with Gen(build_dir, short_tmp) as one:
        yield one


@pytest.fixture
def reflect(build_dir, short_tmp):
    with Reflect(build_dir, short_tmp) as one:
        yield one
        if one.process.poll() is None:
            assert one.quit() == 0


@pytest.fixture
def veth():
    near, far = f"vr{os.getpid()}a", f"vr{os.getpid()}b"
    subprocess.run(["ip", "link", "add", near, "type", "veth", "peer", "name", far], check=True)
    yield near, far
    subprocess.run(["ip", "link", "del", near], check=True)


def whole(out):
    assert out["sent"] == out["received"] > 0, out
    assert [out[key] for key in ("lost", "duplicated", "reordered", "bad")] == [0] * 4, out
    return out


@TAKES_ROOT
@pytest.mark.parametrize("idle", ["poll", "interrupt"])
def test_what_comes_by_the_kernels_driver_goes_back(idle, gen, reflect, veth):
    near, far = veth
    subprocess.run(["ip", "link", "set", near, "up"], check=True)
    port = reflect.port("a", f"af-packet:{far}")
    assert port["driver"] == "kernel" and port["max_frame"] == 1518
    gen.port("g", f"af-packet:{near}")
    reflect.start(idle=idle)
    out = whole(gen.trial("g", sizes="imix", flows=4, window=8, ms=300, dst_mac=port["mac"]))
    stats = reflect.ask("stop")
    assert stats["received"] - stats["ignored"] == stats["sent"] == out["sent"] and stats["dropped"] == 0
    assert (stats["sleeps"] > 0) == (idle == "interrupt")
    looks = reflect.ask("looks")["looks"]
    assert len(looks) == min(stats["bursts"], 512) and all(0 < frames <= 32 and cycles > 0 for frames, cycles in looks)


@TAKES_ROOT
def test_a_multicast_is_not_answered_and_a_sink_answers_nothing(reflect, veth):
    near, far = veth
    subprocess.run(["ip", "link", "set", near, "up"], check=True)
    reflect.port("a", f"af-packet:{far}")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as sock:
        sock.bind((near, 0x88B5))
        sock.settimeout(0.3)
        for mode, destination in (("reflect", b"\x01\0\x5e\0\0\1"), ("sink", b"\x02\0\0\0\0\7")):
            reflect.start(mode)
            sock.send(destination + b"\x02\0\0\0\0\x09" + b"\x88\xb5" + bytes(46))
            assert eventually(lambda: reflect.ask("stats")["received"] >= 1)
            stats = reflect.ask("stop")
            assert stats["sent"] == 0
            assert (stats["ignored"] == stats["received"]) == (mode == "reflect")
            with pytest.raises(TimeoutError):
                sock.recv(2048)


def test_over_a_real_viaduct_pmd(gen, reflect, pmd, short_tmp):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    for name in MACS:
        pmd.port_at(f"{name}/lan", "lan", short_tmp / f"{name}.sock", mac=MACS[name], trust="none", spoofchk=True)
    gen.port("g", f"vhost-user:{short_tmp}/gen.sock", server=True)
    assert reflect.port("a", f"vhost-user:{short_tmp}/far.sock", server=True)["driver"] == "net_virtio_user"
    assert eventually(lambda: all(port["state"] == "running" for port in pmd.call("status")["ports"]))
    reflect.start()
    out = whole(gen.trial("g", sizes="imix", flows=4, window=8, ms=300, src_mac=MACS["gen"], dst_mac=MACS["far"]))
    assert reflect.ask("stop")["sent"] == out["sent"]


def test_what_cannot_be_is_refused_in_a_line(reflect):
    for op, members, text in (
            ("start", {"mode": "reflect", "idle": "poll", "from": "a"}, "there is no port a"),
            ("port", {"name": "a", "device": "0000:ff:1f.7"}, "there is no 0000:ff:1f.7"),
            ("port", {"name": "a", "device": "af-packet:nobody0"}, "nobody0: network device: No such device"),
            ("close", {"name": "a"}, "there is no port a"), ("fly", {}, "\"fly\" is not known")):
        with pytest.raises(GenError, match=text):
            reflect.ask(op, **members)
    reflect.say("x" * 5000)
    assert reflect.hear() == {"ok": False, "text": "not a JSON object of up to 4096 bytes"}


@TAKES_ROOT
@pytest.mark.parametrize("mode", ["off", "on"])
def test_a_device_is_as_promiscuous_afterwards_as_it_was(mode, gen, veth):
    near, far = veth

    def flags():
        link = json.loads(subprocess.run(["ip", "-json", "-details", "link", "show", near], check=True, capture_output=True).stdout)[0]
        return "PROMISC" in link["flags"], link["promiscuity"]

    for name in veth:
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "link", "set", near, "promisc", mode], check=True)
    before = flags()
    gen.port("g", f"af-packet:{near}")
    assert flags()[1] == before[1] + 1
    gen.ask("close", name="g")
    assert flags() == before


def test_a_refusal_that_ends_in_the_middle_of_a_character_is_a_line(reflect):
    with pytest.raises(GenError, match="unknown member 'x"):
        reflect.ask("devices", **{"x" + "\u00e9" * 40: 1})
    reflect.say('{"op":"devices","x' + "\u00e9" * 40 + '":1}')
    assert not reflect.hear()["ok"]
    assert reflect.ask("devices")


@TAKES_ROOT
@pytest.mark.parametrize("idle", ["poll", "interrupt"])
def test_it_begins_with_what_comes_after_its_start_and_says_that_its_device_has_gone(idle, reflect):
    near, far = f"vr{os.getpid()}c", f"vr{os.getpid()}d"
    subprocess.run(["ip", "link", "add", near, "type", "veth", "peer", "name", far], check=True)
    try:
        subprocess.run(["ip", "link", "set", near, "up"], check=True)
        reflect.port("a", f"af-packet:{far}")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((near, 0))
            frame = b"\x02\0\0\0\0\7\x02\0\0\0\0\x09\x88\xb5" + bytes(46)
            # More than its buffer holds.
            for _ in range(12000):
                sock.send(frame)
            reflect.start("sink", idle)
            stats = reflect.ask("stats")
            # What the kernel itself sends on a device that has just come up is no matter.
            assert stats["received"] < 100 and stats["trouble"] is None
            for _ in range(200):
                sock.send(frame)
            assert eventually(lambda: reflect.ask("stats")["received"] >= 200)
            assert reflect.ask("stats")["dropped"] == 0
    finally:
        subprocess.run(["ip", "link", "del", near], check=True)
    assert eventually(lambda: reflect.ask("stats")["trouble"] == "Network is down")
    assert reflect.ask("stop")["running"] is False
    reflect.ask("close", name="a")


def test_the_last_line_needs_no_end(reflect):
    reflect.process.stdin.write('{"op":"devices"}')
    reflect.process.stdin.close()
    assert reflect.hear()["ok"]
    assert reflect.process.wait(30) == 0


def test_words_that_it_does_not_know_are_refused(build_dir):
    done = subprocess.run([build_dir / "bench/reflect/viaduct-reflect", "--no-huge", "--", "--bnd", "/bin/true"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and not done.stdout and "--bind PROGRAM" in done.stderr


@TAKES_ROOT
def test_a_device_by_af_xdp_is_down_and_a_signal_ends_it_in_order(reflect, veth):
    near, far = veth
    subprocess.run(["ip", "link", "set", near, "up"], check=True)
    reflect.port("a", f"af-xdp:{far}")
    reflect.start()
    assert reflect.ask("stats")["trouble"] is None
    subprocess.run(["ip", "link", "set", far, "down"], check=True)
    assert reflect.ask("stats")["trouble"] == "Network is down"
    reflect.signal()
    assert reflect.process.wait(30) == 0
    link = json.loads(subprocess.run(["ip", "-json", "-details", "link", "show", far], check=True, capture_output=True).stdout)[0]
    assert "xdp" not in link and link["promiscuity"] == 0


@TAKES_ROOT
def test_what_holds_a_device_is_said(build_dir, short_tmp, reflect, veth):
    near, far = veth
    subprocess.run(["ip", "link", "set", near, "up"], check=True)
    with Reflect(build_dir, short_tmp) as killed:
        killed.port("a", f"af-xdp:{far}")
    with pytest.raises(GenError, match=f"ip link set {far} xdp off"):
        reflect.port("a", f"af-xdp:{far}")
    subprocess.run(["ip", "link", "set", far, "xdp", "off"], check=True)
    reflect.port("b", f"af-xdp:{far}")


@TAKES_ROOT
def test_it_forwards_to_the_station_that_it_is_told(reflect, veth):
    near, far = veth
    subprocess.run(["ip", "link", "set", near, "up"], check=True)
    out = reflect.port("b", f"af-packet:{far}")
    near2, far2 = f"vr{os.getpid()}e", f"vr{os.getpid()}f"
    subprocess.run(["ip", "link", "add", near2, "type", "veth", "peer", "name", far2], check=True)
    try:
        subprocess.run(["ip", "link", "set", near2, "up"], check=True)
        reflect.port("a", f"af-packet:{far2}")
        with (socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender,
              socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as hearer):
            sender.bind((near2, 0))
            hearer.bind((near, 0x88B5))
            hearer.settimeout(10)
            reflect.start("forward", to="b", dst_mac="02:00:00:00:00:0d")
            sender.send(b"\x02\0\0\0\0\7\x02\0\0\0\0\x09\x88\xb5" + b"forward!" + bytes(38))
            frame = hearer.recv(2048)
        assert frame[:14] == bytes.fromhex("02000000000d" + out["mac"].replace(":", "") + "88b5") and frame[14:22] == b"forward!"
        assert reflect.ask("stop")["sent"] >= 1
    finally:
        subprocess.run(["ip", "link", "del", near2], check=True)

# SPDX-License-Identifier: BSD-3-Clause
"""The traffic generator against itself (wires whose faults are known) and over real ports: a veth pair, a TAP, viaduct-pmd."""

import collections
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest
from daemonkit import eventually
from genkit import Gen, GenError
from pmdkit import pmd, pmd_program  # noqa: F401

TAKES_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to make devices")
LCORES = ["0@0", "0@0,1@1"]


@pytest.fixture
def gen(build_dir, short_tmp):
    with Gen(build_dir, short_tmp) as one:
        yield one
        if one.process.poll() is None:
            assert one.quit() == 0


def near(a, b):
    """Within 1%."""
    return abs(a - b) <= 0.01 * b


def whole(out):
    """Everything that was sent came, once, in order, unchanged."""
    assert out["sent"] == out["received"] > 0, out
    assert [out[key] for key in ("lost", "duplicated", "reordered", "bad", "too_old")] == [0] * 5, out
    return out


@pytest.mark.parametrize("lcores", LCORES)
@pytest.mark.parametrize("sizes", ["64", "65", "1518", "imix"])
def test_a_wire_without_faults(lcores, sizes, build_dir, short_tmp):
    with Gen(build_dir, short_tmp, lcores) as gen:
        gen.port("a", "loop:a")
        # A receiver that is kept off its CPU has lost nothing: the trial ends when all have come.
        out = whole(gen.trial("a", sizes=sizes, flows=5, rate_pps=5000, ms=400, drain_ms=9000))
        assert out["stray"] == 0
        # Whatever the load does to the rate, no more is sent than asked for.
        assert 0 < out["sent"] <= 2001
        histogram = out["latency"]["histogram"]
        assert sum(count for _, count in histogram) == out["latency"]["count"] == out["received"]
        assert [upper for upper, _ in histogram] == sorted({upper for upper, _ in histogram})
        # Each is left out if it is finer than its error.
        falling = [n for n in (histogram[-1][0], *(out["latency"][key] for key in ("max_ns", "mean_ns", "min_ns"))) if n is not None]
        assert falling == sorted(falling, reverse=True) and falling[-1] > 0


@pytest.mark.parametrize("fault,counted,measured", [
    ("loss", "lost", "lost"), ("duplicate", "duplicated", "duplicated"), ("reorder", "reordered", "reordered"),
    ("corrupt", "corrupted", "bad")])
@pytest.mark.parametrize("flows", [1, 16])
def test_one_fault_is_measured_exactly(fault, counted, measured, flows, gen):
    gen.port("a", f"impair:a:{fault}=0.01")
    out = gen.trial("a", sizes="imix", flows=flows, rate_pps=50000, ms=1000)
    did = gen.ask("impaired", name="a")
    assert did["heard"] == out["sent"] and did[counted] > 20
    assert out[measured] == did[counted], (out, did)
    others = {"lost", "duplicated", "reordered", "bad", "stray", "too_old"} - {measured}
    # Of what was changed where its number stands nobody can say which it was.
    if fault == "corrupt":
        others -= {"lost"}
        assert out["received"] == out["sent"] - did["corrupted"] and out["lost"] < out["bad"]
    assert all(out[key] == 0 for key in others), out


@pytest.mark.parametrize("lcores", LCORES)
def test_all_faults_at_once_are_measured_within_a_hundredth(lcores, build_dir, short_tmp):
    with Gen(build_dir, short_tmp, lcores) as gen:
        gen.port("a", "impair:a:loss=0.05,duplicate=0.05,reorder=0.05,corrupt=0.001,delay_us=500")
        out = gen.trial("a", flows=16, rate_pps=60000, ms=2000)
        did = gen.ask("impaired", name="a")
        assert did["no_memory"] == 0 and did["heard"] == out["sent"]
        # Some of those that were changed are lost, too: nobody can say which they were.
        assert did["lost"] <= out["lost"] <= did["lost"] + did["corrupted"]
        assert near(out["duplicated"], did["duplicated"]) and near(out["reordered"], did["reordered"])
        # Some are changed where they say whose they are.
        assert did["corrupted"] - out["stray"] <= out["bad"] <= did["corrupted"], (out, did)


@pytest.mark.parametrize("delay_us", [200, 2000])
def test_a_delay_is_measured_as_the_wire_does_it(delay_us, gen):
    """By the wire's own clock, which counts what the machine adds, too."""
    gen.port("a", f"impair:a:delay_us={delay_us}")
    out = whole(gen.trial("a", rate_pps=5000, ms=1000))
    late, did = out["latency"], gen.ask("impaired", name="a")["delay"]
    assert did["min_ns"] >= delay_us * 1000
    assert late["min_ns"] is None or late["min_ns"] >= did["min_ns"]
    for key in ("min_ns", "mean_ns", "p50_ns"):
        # Where the machine lets it wait for longer than the wire does, there is no figure.
        if late[key] is None:
            assert did[key] <= 1.01 * late["error_ns"], key
        else:
            # A few that waited for very long change the mean, too.
            error = late["error_p99_ns" if key == "mean_ns" else "error_ns"]
            assert abs(late[key] - did[key]) <= 0.01 * did[key] + error, key


def test_no_percentile_is_finer_than_the_stamps_or_of_too_few(gen):
    gen.port("a", "loop:a")
    gen.port("b", "impair:b:delay_us=1000")
    few = gen.trial("b", rate_pps=1000, ms=30)["latency"]
    assert few["count"] <= 31 and few["p99_ns"] is None and few["p999_ns"] is None and (few["max_ns"] or few["error_p99_ns"]) >= 1000000
    fine = gen.trial("a", ms=200)["latency"]
    assert fine["error_ns"] > 0
    for error, keys in (("error_ns", ("min_ns", "mean_ns", "jitter_ns", "p50_ns", "p90_ns")), ("error_p99_ns", ("p99_ns", "p999_ns", "max_ns"))):
        for key in keys:
            assert fine[key] is None or fine[key] >= fine[error], key


def test_frames_in_flight_are_bounded(gen):
    """With one in flight on a wire of 2 ms no more than 500 a second can go."""
    gen.port("a", "impair:a:delay_us=2000")
    out = whole(gen.trial("a", window=1, ms=500))
    assert 10 < out["sent"] <= 251
    gen.port("b", "impair:b:delay_us=2000,loss=0.2")
    out = gen.trial("b", window=4, ms=1000, drain_ms=20)
    assert out["lost"] > 0 and out["sent"] > 20  # what is lost does not stop it
    assert out["given_up"] > 0


@pytest.mark.parametrize("lcores", LCORES)
def test_what_was_given_up_and_comes_late_makes_no_room(lcores, build_dir, short_tmp):
    """One in flight on a wire of 100 ms, given up after 20: fifty a second, however many come late."""
    with Gen(build_dir, short_tmp, lcores) as gen:
        gen.port("a", "impair:a:delay_us=100000")
        out = gen.trial("a", window=1, ms=1000, drain_ms=20)
        assert 10 < out["sent"] <= 51 and out["given_up"] > 0 and out["received"] > 0, out


def test_a_burst_has_as_many_frames_as_asked_for(gen):
    gen.port("a", "loop:a")
    for frames in (1, 1000):
        out = whole(gen.ask("burst", tx="a", rx="a", sizes="64", frames=frames))
        assert out["sent"] == frames
    out = whole(gen.ask("burst", tx="a", rx="a", sizes="64", frames=20, rate_pps=100, ms=0))
    assert out["sent"] == 20 and out["ns"] > 1.5e8
    out = whole(gen.ask("burst", tx="a", rx="a", sizes="64", frames=10 ** 9, ms=100))
    assert out["sent"] < 10 ** 9 and out["ns"] < 1e10


def test_flows_go_to_each_of_several_addresses_in_turn(gen):
    gen.port("a", "loop:a")
    for count in (1, 3, 64):
        whole(gen.trial("a", sizes="imix", flows=64, rate_pps=5000, ms=200, dst_mac=[f"02:00:00:00:01:{n:02x}" for n in range(count)]))


def test_jumbo_frames(gen):
    gen.port("small", "loop:a")
    with pytest.raises(GenError, match="frames of 9000 bytes do not fit port 'small' of mtu 1500"):
        gen.trial("small", sizes="9000", ms=10)
    gen.port("large", "impair:b:corrupt=0.1", mtu=9000)
    out = gen.trial("large", sizes="9000", flows=3, rate_pps=2000, ms=500)
    assert out["bad"] == gen.ask("impaired", name="large")["corrupted"] > 10
    assert out["lost"] <= 2  # nearly all of a large frame is payload


def test_the_clock_says_what_it_is_worth(gen):
    clock = gen.ask("clock")
    assert clock["hz"] > 1e8 and clock["hz"] % 1000000 != 0  # measured, where DPDK's own is rounded to 10 MHz
    again = gen.ask("clock")["hz"]
    assert abs(again - clock["hz"]) < 2e-4 * again
    assert 0 < clock["error_ns"] < 1e6 and clock["lcores"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_trial_and_keeps_what_there_is(number, gen):
    gen.port("a", "loop:a")
    timer = threading.Timer(1, gen.signal, [number])
    timer.start()
    began = time.monotonic()
    out = gen.trial("a", rate_pps=1000, ms=60000)
    assert out["interrupted"] is True and out["received"] > 0 and time.monotonic() - began < 30
    assert "interrupted" not in gen.trial("a", rate_pps=1000, ms=100)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("lcores", LCORES)
def test_a_signal_ends_the_wait_for_what_is_lost(lcores, number, build_dir, short_tmp):
    with Gen(build_dir, short_tmp, lcores) as gen:
        gen.port("a", "impair:a:loss=1")
        timer = threading.Timer(1, gen.signal, [number])
        timer.start()
        began = time.monotonic()
        out = gen.trial("a", rate_pps=1000, ms=50, drain_ms=600000)
        assert out["interrupted"] is True and out["lost"] == out["sent"] > 0 and time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_nothing_is_done_ends_it(number, gen):
    gen.port("a", "loop:a")
    gen.signal(number)
    assert gen.process.wait(60) == 0


def test_a_signal_ends_it_while_it_waits_for_a_backend(gen, short_tmp):
    gen.say(json.dumps({"op": "port", "name": "a", "device": f"vhost-user:{short_tmp}/a.sock", "server": True}))
    assert eventually((short_tmp / "a.sock").exists)
    gen.signal(signal.SIGTERM)
    assert gen.process.wait(60) == -signal.SIGTERM


def test_the_end_of_its_input_ends_it(gen):
    gen.ask("clock")
    gen.process.stdin.close()
    assert gen.process.wait(60) == 0


GOOD = {"op": "trial", "tx": "a", "rx": "a", "sizes": "64", "ms": 10}


@pytest.mark.parametrize("body,text", [
    ("{", "not JSON: "),
    ("[]", "not an object"),
    ("{}", "op is missing"),
    ('{"op":"what"}', "there is no op 'what'"),
    ('{"op":"clock","op":"clock"}', "not JSON: duplicate object key"),
    ({"op": "port", "name": "b"}, "port: device is missing"),
    ({"op": "port", "name": "b", "device": "loop:b", "colour": 1}, "port: unknown member 'colour'"),
    ({"op": "port", "name": "B!", "device": "loop:b"}, "port: 'B!' is no name for a port"),
    ({"op": "port", "name": "a", "device": "loop:b"}, "port: there is a port 'a' already"),
    ({"op": "port", "name": "b", "device": "loop:b", "mtu": 9001}, "port: mtu is 9001, at most 9000"),
    ({"op": "port", "name": "b", "device": "loop:b", "mtu": 1}, "port: mtu is 1, at least 46"),
    ({"op": "port", "name": "b", "device": "loop:b", "server": True}, "port: loop:b cannot be a server"),
    ({"op": "port", "name": "b", "device": "nothing"}, "port: 'nothing' is no device"),
    ({"op": "port", "name": "b", "device": "tap:x,mac=1"}, "port: 'tap:x,mac=1' is no device"),
    ({"op": "port", "name": "b", "device": "af-packet:no-such0"}, "port: there is no network device 'no-such0'"),
    ({"op": "port", "name": "b", "device": "af-packet:../lo"}, "port: there is no network device '../lo'"),
    ({"op": "port", "name": "b", "device": "ffff:ff:1f.7"}, "port: there is no ffff:ff:1f.7"),
    ({"op": "port", "name": "b", "device": "impair:b:loss=2"}, "port: loss '2' is no share from 0 to 1"),
    ({"op": "port", "name": "b", "device": "impair:b:loss=nan"}, "port: loss 'nan' is no share from 0 to 1"),
    ({"op": "port", "name": "b", "device": "impair:b:smell=1"}, "port: no impairment is called 'smell'"),
    ({"op": "port", "name": "b", "device": "impair:b:delay_us=2000000"}, "port: delay_us '2000000' is no number from 0 to 1000000"),
    ({**GOOD, "tx": "z"}, "trial: there is no port 'z'"),
    ({**GOOD, "sizes": "63"}, "trial: sizes '63' is neither imix nor a number from 64 to 9000"),
    ({**GOOD, "flows": 0}, "trial: flows is 0, at least 1"),
    ({**GOOD, "flows": 99999}, "trial: flows is 99999, at most 16384"),
    ({**GOOD, "ms": -1}, "trial: ms is not a number of zero or more"),
    ({**GOOD, "rate_pps": 1e3}, "trial: rate_pps is not a number"),
    ({**GOOD, "dst_mac": "02"}, "trial: dst_mac '02' is no MAC address"),
    ({**GOOD, "dst_mac": []}, "trial: dst_mac is a list of none"),
    ({**GOOD, "dst_mac": ["02:00:00:00:00:01", 7], "flows": 9}, "trial: dst_mac: no. 2 is no MAC address"),
    ({**GOOD, "dst_mac": ["02:00:00:00:00:01"] * 3, "flows": 2}, "trial: flows is 2, at least 3"),
    ({**GOOD, "dst_mac": ["02:00:00:00:00:01"] * 65, "flows": 99}, "trial: dst_mac"),
    ({**GOOD, "frames": 3}, "trial: unknown member 'frames'"),
    ({**GOOD, "op": "burst"}, "burst: frames is missing"),
    ({**GOOD, "op": "burst", "frames": 0}, "burst: frames is 0, at least 1"),
    ({"op": "impaired", "name": "z"}, "impaired: there is no port 'z'"),
    ({"op": "close", "name": "z"}, "close: there is no port 'z'"),
])
def test_bad_words_are_refused_with_one_clear_error(body, text, gen):
    gen.port("a", "loop:a")
    gen.say(body if isinstance(body, str) else json.dumps(body))
    reply = gen.hear()
    assert reply["ok"] is False and reply.keys() == {"ok", "text"}
    assert text in reply["text"], reply
    whole(gen.trial("a", ms=10, rate_pps=1000))


def test_a_line_without_end_is_refused_as_one(gen):
    gen.say("x" * 100000)
    assert gen.hear() == {"ok": False, "text": "a line of more than 16384 bytes"}
    assert gen.ask("clock")["hz"] > 0


def test_a_last_line_without_its_end_is_answered(gen):
    gen.process.stdin.write('{"op":"clock"}')
    gen.process.stdin.close()
    assert gen.hear()["hz"] > 0 and gen.process.wait(60) == 0


def test_a_signal_ends_it_while_nobody_reads(gen):
    """What the pipe holds is full, and more answers wait."""
    gen.ask("clock")
    gen.say("\n".join(["{}"] * 6000))

    def waiting():
        return struct.unpack("i", fcntl.ioctl(gen.process.stdout, termios.FIONREAD, bytes(4)))[0]

    size = fcntl.fcntl(gen.process.stdout, fcntl.F_GETPIPE_SZ)
    assert eventually(lambda: waiting() > size - 2 * select.PIPE_BUF)
    gen.signal(signal.SIGTERM)
    assert gen.process.wait(60) == 1


def test_a_trial_that_nobody_hears_of_ends(gen):
    gen.port("a", "loop:a")
    gen.say(json.dumps({**GOOD, "rate_pps": 1000, "ms": 600000}))
    gen.process.stdout.close()
    assert gen.process.wait(60) == 1


@pytest.mark.parametrize("words,text", [
    (["--no-huge", "-m", "64", "--no-shconf", "--", "colour"], "'colour' is no option: viaduct-gen [EAL options] [--]"),
    (["--no-huge", "-m", "64", "--no-shconf", "colour"], "'colour' is no option: viaduct-gen [EAL options] [--]"),
    # More than any machine has.
    (["--in-memory", "-m", "99999999"], "On a machine without hugepages: --no-huge -m 256 --no-shconf"),
])
def test_a_start_that_cannot_be_says_why(words, text, build_dir, short_tmp):
    out = subprocess.run([build_dir / "bench/gen/viaduct-gen", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                         timeout=120, env={**os.environ, "RUNTIME_DIRECTORY": str(short_tmp), "ASAN_OPTIONS": "detect_leaks=0"})
    assert out.returncode == 1 and text in out.stderr and out.stdout == ""


def ip(*args):
    subprocess.run(["ip", *args], capture_output=True, text=True, check=True)


@pytest.fixture
def veth():
    near, far = f"vg{os.getpid()}a", f"vg{os.getpid()}b"
    ip("link", "add", near, "type", "veth", "peer", "name", far)
    ip("link", "set", near, "up")
    ip("link", "set", far, "up")
    yield near, far
    ip("link", "del", near)


@TAKES_ROOT
@pytest.mark.parametrize("kind", ["af-packet", "af-xdp"])
def test_over_the_kernels_devices(kind, gen, veth):
    a, b = (gen.port(name, f"{kind}:{device}") for name, device in zip("ab", veth))
    assert a["mac"] != b["mac"] and a["driver"] == f"net_{kind.replace('-', '_')}" and a["max_frame"] == 1518
    for sizes in ("64", "1518", "imix"):
        whole(gen.trial("a", "b", sizes=sizes, flows=8, rate_pps=1000, ms=300))
        whole(gen.trial("b", "a", sizes=sizes, flows=8, window=4, ms=300))
    for name in "ab":
        gen.ask("close", name=name)
    for device in veth:
        left = subprocess.run(["ip", "-d", "link", "show", device], capture_output=True, text=True, check=True).stdout
        assert "promiscuity 0" in left and "prog/xdp" not in left


@TAKES_ROOT
def test_a_device_of_several_queues_is_refused_with_a_remedy(gen):
    device = f"vq{os.getpid()}"
    ip("link", "add", device, "numrxqueues", "2", "numtxqueues", "2", "up", "type", "veth", "peer", "name", f"{device}p")
    try:
        with pytest.raises(GenError, match=f"ethtool -L {device} combined 1, or rx 1 tx 1") as refused:
            gen.port("a", f"af-xdp:{device}")
        words = ["combined 1", "rx 1 tx 1"]
        assert all(word in str(refused.value) for word in words)
        done = [subprocess.run(["ethtool", "-L", device, *word.split()], capture_output=True, check=False).returncode for word in words]
        assert 0 in done
        subprocess.run(["ethtool", "-L", f"{device}p", "rx", "1", "tx", "1"], check=True)  # a veth with XDP wants as much of its peer
        gen.port("a", f"af-xdp:{device}")
        gen.ask("close", name="a")
    finally:
        ip("link", "del", device)


@TAKES_ROOT
def test_each_address_hears_its_share(gen, veth):
    macs = [f"02:00:00:00:01:0{n}" for n in range(3)]
    gen.port("a", f"af-packet:{veth[0]}")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as far:
        far.bind((veth[1], 0))
        out = gen.ask("burst", tx="a", rx="a", sizes="64", frames=120, flows=6, rate_pps=1000, dst_mac=macs)
        far.settimeout(10)
        heard = collections.Counter(far.recv(100)[:6].hex(":") for _ in range(out["sent"]))
    assert heard == {mac: 40 for mac in macs}


@TAKES_ROOT
@pytest.mark.parametrize("rx", ["a", "b"])
def test_a_trial_on_a_port_without_link_is_refused(rx, gen, veth):
    """What is lost then is not the device's doing."""
    for name, device in zip("ab", veth):
        gen.port(name, f"af-packet:{device}")
    whole(gen.trial("a", "b", rate_pps=1000, ms=100))
    gen.say(json.dumps({**GOOD, "rx": rx, "rate_pps": 1000, "ms": 1500}))
    time.sleep(0.5)
    ip("link", "set", veth[1], "down")
    assert gen.hear() == {"ok": False, "text": f"trial: port 'a' (af-packet:{veth[0]}) has no link"}
    ip("link", "set", veth[1], "up")
    whole(gen.trial("a", "b", rate_pps=1000, ms=100))


@TAKES_ROOT
def test_frames_of_another_generator_are_strays(gen, veth, build_dir, short_tmp):
    """Each hears the other alone, and both are in their first trial."""
    (short_tmp / "other").mkdir()
    with Gen(build_dir, short_tmp / "other") as other:
        both = {"a": gen, "b": other}
        for (name, one), device in zip(both.items(), veth):
            one.port(name, f"af-packet:{device}")
        for name, one in both.items():
            one.say(json.dumps({**GOOD, "tx": name, "rx": name, "rate_pps": 1000, "ms": 1500}))
        outs = [one.hear() for one in both.values()]
        for out in outs:
            assert out["received"] == out["bad"] == 0 and out["lost"] == out["sent"] > 0, outs
        assert sum(out["stray"] for out in outs) > 0
        assert other.quit() == 0


@TAKES_ROOT
def test_jumbo_frames_over_the_kernels_devices(gen, veth):
    for name, device in zip("ab", veth):
        with pytest.raises(GenError, match=f"{device} has an mtu of 1500: ip link set {device} mtu 9000"):
            gen.port(name, f"af-packet:{device}", mtu=9000)
        ip("link", "set", device, "mtu", "9000")
        gen.port(name, f"af-packet:{device}", mtu=9000)
    whole(gen.trial("a", "b", sizes="9000", flows=2, rate_pps=500, ms=400))


@TAKES_ROOT
@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun")
def test_over_a_tap(gen):
    """Its other end is a network device of the kernel's, from which the generator takes the frames as well."""
    name = f"tg{os.getpid()}"
    gen.port("tap", f"tap:{name}")
    ip("link", "set", name, "up")
    gen.port("dev", f"af-packet:{name}")
    for sizes in ("64", "imix"):
        whole(gen.trial("tap", "dev", sizes=sizes, rate_pps=1000, ms=300))
        whole(gen.trial("dev", "tap", sizes=sizes, rate_pps=1000, ms=300))


@TAKES_ROOT
@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun")
def test_a_link_that_is_down_at_the_end_of_a_trial_is_said(gen):
    """All of it is lost then, and that is not the device's doing."""
    name = f"tg{os.getpid()}"
    gen.port("tap", f"tap:{name}")
    gen.port("loop", "loop:b")
    ip("link", "set", name, "up")
    assert gen.trial("tap", rate_pps=1000, ms=100)["link_up"] is True
    for down in ({"tx": "tap", "rx": "loop"}, {"tx": "loop", "rx": "tap"}):
        gen.say(json.dumps({**GOOD, **down, "rate_pps": 1000, "ms": 1000}))
        time.sleep(0.3)
        ip("link", "set", name, "down")
        assert gen.hear()["link_up"] is False
        ip("link", "set", name, "up")


MACS = {"a": "02:00:00:00:01:01", "b": "02:00:00:00:01:02"}


def test_over_a_real_viaduct_pmd(gen, pmd, short_tmp):  # noqa: F811
    """Two guests' ends, and what the switch between them says it moved."""
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    for name in "ab":
        pmd.port_at(f"{name}/lan", "lan", short_tmp / f"{name}.sock", mac=MACS[name], trust="none", spoofchk=True)
        assert gen.port(name, f"vhost-user:{short_tmp}/{name}.sock", server=True)["driver"] == "net_virtio_user"
    assert eventually(lambda: all(port["state"] == "running" for port in pmd.call("status")["ports"]))
    for sizes in ("64", "1518", "imix"):
        whole(gen.trial("a", "b", sizes=sizes, flows=4, window=16, ms=300, src_mac=MACS["a"], dst_mac=MACS["b"]))
        out = whole(gen.trial("b", "a", sizes=sizes, flows=4, rate_pps=1000, ms=300, src_mac=MACS["b"], dst_mac=MACS["a"]))
        assert out["stray"] == 0 and out["latency"]["count"] == out["received"] and out["link_up"] is True
    # A sender with another's address is not heard: all of it is lost, and said to be.
    out = gen.trial("a", "b", rate_pps=1000, ms=100, src_mac="02:00:00:00:09:09", dst_mac=MACS["b"])
    assert out["sent"] == out["lost"] > 0 and out["received"] == 0 and out["latency"]["min_ns"] is None


def test_jumbo_frames_over_a_real_viaduct_pmd(gen, pmd, short_tmp):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    for name in "ab":
        pmd.port_at(f"{name}/lan", "lan", short_tmp / f"{name}.sock", mac=MACS[name], trust="none", spoofchk=True, mtu=9000)
        assert gen.port(name, f"vhost-user:{short_tmp}/{name}.sock", server=True, mtu=9000)["max_frame"] == 9018
    assert eventually(lambda: all(port["state"] == "running" for port in pmd.call("status")["ports"]))
    whole(gen.trial("a", "b", sizes="9000", flows=4, window=16, ms=300, src_mac=MACS["a"], dst_mac=MACS["b"]))


def test_a_port_can_be_closed_and_made_again(gen, pmd, short_tmp):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    for name in "ab":
        pmd.port_at(f"{name}/lan", "lan", short_tmp / f"{name}.sock", mac=MACS[name], trust="none", spoofchk=True)
        gen.port(name, f"vhost-user:{short_tmp}/{name}.sock", server=True)
    for _ in range(2):
        whole(gen.trial("a", "b", window=4, ms=100, src_mac=MACS["a"], dst_mac=MACS["b"]))
        gen.ask("close", name="b")
        with pytest.raises(GenError, match="there is no port 'b'"):
            gen.trial("a", "b", ms=10)
        gen.port("b", f"vhost-user:{short_tmp}/b.sock", server=True)

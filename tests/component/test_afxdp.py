# SPDX-License-Identifier: BSD-3-Clause
"""Uplinks of kind af-xdp: the real viaduct-pmd on veth pairs, by itself and below a daemon."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import daemonkit
import pytest
from daemonkit import PATIENCE_S, eventually
from pmdkit import Pmd, PmdError
from test_pmd import unicast
from vhost_front import frame

MAC, FAR = "02:00:00:00:00:01", "02:00:00:00:00:99"
ETHER = 0x88B5

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to make devices")


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def pmd(build_dir, short_tmp):
    process = Pmd(str(build_dir / "pmd-backends/viaduct-pmd"), short_tmp, uplink_kinds=["af-xdp"]).start()
    yield process
    process.kill()
    assert "Sanitizer" not in process.text()


@pytest.fixture
def veth():
    """(Ours, with so many receive queues as asked for; the far end.)"""
    made = []

    def make(queues=1):
        near, far = f"vx{os.getpid()}a", f"vx{os.getpid()}b"
        ip("link", "add", near, "numrxqueues", str(queues), "numtxqueues", "1", "type", "veth",
           "peer", "name", far, "numrxqueues", "1", "numtxqueues", "1")
        made.append(near)
        ip("link", "set", near, "up")
        ip("link", "set", far, "up")
        return near, far

    yield make
    for near in made:
        ip("link", "del", near)


@contextlib.contextmanager
def wire(device):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHER)) as s:
        s.bind((device, ETHER))
        s.settimeout(PATIENCE_S)
        yield s


def has_program(device):
    return "prog/xdp" in ip("-d", "link", "show", device)


def test_frames_both_ways_and_nothing_left(pmd, veth):
    near, far = veth()
    up = pmd.call("uplink-add", name="x", kind="af-xdp", device=near)["uplink"]
    assert up["driver"] == "net_af_xdp" and up["link"] is True
    assert "copied by the kernel" in up["note"]  # veth has no zero-copy
    pmd.call("network-add", name="lan", uplinks=["x"], bond="none")
    with pmd.port("vm1/lan", "lan", mac=MAC) as guest, wire(far) as s:
        guest.connect()
        assert eventually(lambda: pmd.call("status")["ports"][0]["state"] == "running")
        for i in range(50):
            guest.send(frame(FAR, MAC, b"out %d" % i))
            assert s.recv(2000) == frame(FAR, MAC, b"out %d" % i)
            s.send(frame(MAC, FAR, b"in %d" % i))
            assert unicast(guest) == frame(MAC, FAR, b"in %d" % i)
    assert has_program(near)
    pmd.call("port-remove", port="vm1/lan")
    pmd.call("network-remove", name="lan")
    pmd.call("uplink-remove", name="x")
    assert not has_program(near)


def test_a_device_of_several_queues_is_refused(pmd, veth):
    near, _ = veth(queues=2)
    with pytest.raises(PmdError) as e:
        pmd.call("uplink-add", name="x", kind="af-xdp", device=near)
    assert "2 queues" in str(e.value) and e.value.error["hint"].startswith(f"ethtool -L {near} combined 1, or rx 1")
    assert pmd.call("status")["uplinks"] == [] and not has_program(near)


@pytest.fixture
def daemon(stopped_daemon, short_tmp, veth, build_dir):
    near, _ = veth()
    short_tmp.chmod(0o755)
    daemonkit.setup(stopped_daemon, short_tmp)
    stopped_daemon.near = near
    stopped_daemon.config.write_text(
        f"uplinks: [{{name: x, kind: af-xdp, device: {near}}}]\nnetworks: [{{name: lan, uplinks: [x]}}]\n"
        "backends: {memory: 64M, hugepages: off}\n")
    stopped_daemon.args += ["--pmd-path", str(build_dir / "pmd-backends/viaduct-pmd")]
    yield stopped_daemon
    pid = backend(stopped_daemon)["pid"]
    stopped_daemon.stop()
    if pid:
        os.kill(pid, signal.SIGKILL)


def backend(d):
    return d.request("GET", "/v1/uplinks")[1]["backend"]


def uplink(d):
    return d.request("GET", "/v1/uplinks")[1]["uplinks"][0]


def test_killed_it_comes_back(daemon):
    d = daemon.start()
    assert eventually(lambda: uplink(d)["state"] == "up"), (uplink(d), backend(d))
    old = backend(d)["pid"]
    os.kill(old, signal.SIGKILL)
    assert eventually(lambda: backend(d)["pid"] not in (0, None, old) and uplink(d)["state"] == "up"), uplink(d)
    assert has_program(daemon.near)


def test_a_program_of_somebody_else_stays(daemon):
    program = "/usr/lib/x86_64-linux-gnu/bpf/xsk_def_xdp_prog_5.3.o"
    ip("link", "set", daemon.near, "xdpgeneric", "obj", program, "sec", "xdp")
    before = ip("-d", "link", "show", daemon.near)
    d = daemon.start()
    assert eventually(lambda: "XDP program" in (uplink(d).get("problem") or "")), (uplink(d), backend(d))
    time.sleep(0.5)
    assert "prog/xdp" in before and ip("-d", "link", "show", daemon.near).count("prog/xdp") == 1
    assert uplink(d)["state"] != "up"

# SPDX-License-Identifier: BSD-3-Clause
"""What the cases of polled ports share: a daemon with uplinks, its backend, transfers that are checked."""

import contextlib
import os
import pathlib
import re
import signal

import pytest
from labkit import Daemon, cli, cli_json, eventually, igb_ports, peer
from operate import api

CONFIG = """uplinks:
  - {{name: wire0, kind: pci, device: "0000:04:00.0", mtu: 9000}}
  - {{name: wire1, kind: pci, device: "0000:05:00.0", mtu: 9000}}
  - {{name: wire2, kind: af-packet, device: lab-sw}}
  - {{name: void, kind: "null"}}
networks:
  - {{name: outside, uplinks: [wire0, wire1]}}
  - {{name: to-host, uplinks: [wire2]}}
  - {{name: inside, uplinks: []}}
  - {{name: mixed, uplinks: ["{pf}", void]}}
backends: {{memory: 64M, hugepages: off, idle: {idle}}}
"""
HOST_END = "lab-host"  # of the cable of wire2
GATEWAY = "10.0.2.2"  # of the emulator's network, at the 82574Ls' cable
ECHO = "10.0.2.100 7"  # there, too: sends back what it gets
MEGABYTES = 10
GRACE_S = 20  # a start that takes 0.2 s on a processor takes seconds on an emulated one that is busy


def config_write(path, idle="adaptive"):
    path.write_text(CONFIG.format(pf=igb_ports()[0], idle=idle))
    return path


@contextlib.contextmanager
def daemon_of(config):
    """A daemon with these uplinks, whose backend ends with it."""
    d = Daemon(config)
    d.start()
    try:
        yield d
    finally:
        d.stop()
        pid = backend_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: backend_pid() != pid, "the backend's end")
        print(d.log_tail(60))


@contextlib.contextmanager
def serving(config):
    """The same, with a cable from the device lab-sw to HOST_END."""
    peer.ip("link", "add", "lab-sw", "type", "veth", "peer", "name", HOST_END)
    for device in ("lab-sw", HOST_END):
        peer.ip("link", "set", device, "up")
    try:
        with daemon_of(config) as d:
            yield d
    finally:
        peer.ip("link", "del", "lab-sw")


@pytest.fixture(scope="module")
def polled(folder):
    # They are the host's way out, and so would not be taken.
    for device in pathlib.Path("/sys/class/net").iterdir():
        if (device / "device").resolve().name in ("0000:04:00.0", "0000:05:00.0"):
            peer.ip("link", "set", device.name, "down")
    with serving(config_write(folder / "polled.yaml")) as daemon:
        yield daemon


def backend_pid():
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended since
            if comm.read_text() == "viaduct-pmd\n":
                return int(comm.parent.name)
    return 0


def successor(sig):
    """Ends the backend: another one serves all ports."""
    eventually(backend_pid, "a viaduct-pmd")
    pid = backend_pid()
    os.kill(pid, sig)
    eventually(lambda: backend_pid() not in (0, pid), "another viaduct-pmd")
    eventually(lambda: all(p["state"] == "running" for p in api.get("/v1/ports/stats")["ports"]), "ports that are served")


def are_served():
    return all(port["state"] == "running" for port in cli_json("port", "stats")["ports"])


def listen(receiver, sink):
    """Port 5000 of that guest into a shell command; /tmp/done is there when the other side has ended and the command, too."""
    receiver.run("[ -p /tmp/hold ] || mkfifo /tmp/hold; rm -f /tmp/done; "
                 f"(nc -l -p 5000 <>/tmp/hold | {sink}; echo >/tmp/done) >/dev/null 2>&1 & "
                 "until netstat -ltn | grep -q :5000; do usleep 20000; done")


def done(receiver, seconds=10):
    receiver.run(f"n=0; until [ -e /tmp/done ]; do n=$((n+1)); [ $n -lt {10 * seconds} ] || exit 1; usleep 100000; done",
                 seconds + 60)


def transfer(sender, receiver, address):
    """So many random bytes over TCP; the same come out."""
    sender.run(f"head -c {MEGABYTES << 20} /dev/urandom > /tmp/out", 120)
    listen(receiver, "cat >/tmp/in")
    sender.run(f"nc {address} 5000 < /tmp/out", 120)
    done(receiver)
    assert sender.run("sha256sum < /tmp/out", 60) == receiver.run("sha256sum < /tmp/in", 60)


def device_of(guest, mac):
    return guest.run(f"grep -l {mac} /sys/class/net/*/address").strip().split("/")[4]


def stats(port):
    reply = api.get("/v1/ports/stats")
    [found] = [p for p in reply["ports"] if f"{p['vm']}/{p['name']}" == port]
    return {**found, "time_ns": reply["time_ns"]}


def port_set(port, **words):
    cli("port", "set", port, *[f"{word}={value}" for word, value in words.items()])


def loss(guest, address, count=5, size=56, interval="0.2"):
    """Percent of lost pings."""
    out = guest.console.run(f"ping -q -c {count} -i {interval} -s {size} -W 1 {address}", 60)[1]
    return int(re.search(r"(\d+)% packet loss", out).group(1))

# SPDX-License-Identifier: BSD-3-Clause
"""The offload matrix at the uplinks: guests with and without checksum and segmentation offload, each to and from a host behind
each kind of uplink that a machine without NICs has, every payload compared."""

import contextlib
import hashlib
import os
import subprocess
import sys

import pytest
from pmdkit import Pmd, pmd_program  # noqa: F401 (fixtures)
from qemu_guest import QemuGuest
from test_pmd_guests import GUESTS, SIZE, initrd  # noqa: F401

FAR_IP, FAR_MAC = "10.9.0.1", "02:00:00:00:00:99"
KINDS = ("tap", "af-packet", "af-xdp")
NAMES = ("all", "none", "small", "packed")
TIMES = 3
RECEIVE = f"""import hashlib, socket
with socket.create_server(("{FAR_IP}", 5000)) as server:
    print("listening", flush=True)
    with server.accept()[0] as s:
        print(hashlib.sha256(b"".join(iter(lambda: s.recv(65536), b""))).hexdigest())"""
SEND = """import socket, sys
with socket.create_connection((sys.argv[1], 5000), 30) as s:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    s.recv(1)"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to make devices")


def ip(*args):
    subprocess.run(["ip", *args], check=True)


class Far:
    """The host behind the uplink: a network namespace, or this one, since a TAP device that leaves it is lost to DPDK."""

    def __init__(self, is_here):
        self.process = None
        if not is_here:
            # The shell's word comes when the namespace is there.
            self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep inf"], stdout=subprocess.PIPE)
            self.process.stdout.readline()

    def argv(self, *argv):
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", *argv] if self.process else argv

    def take(self, device):
        """What comes out of the uplink comes in here. A wire carries no unfinished checksums: none come out of this end."""
        if self.process:
            ip("link", "set", device, "netns", str(self.process.pid))
        for argv in (["ip", "link", "set", device, "address", FAR_MAC, "up"], ["ip", "address", "add", f"{FAR_IP}/24", "dev", device],
                     ["ethtool", "-K", device, "tx", "off"]):
            subprocess.run(self.argv(*argv), check=True, stdout=subprocess.DEVNULL)

    def receive(self):
        return subprocess.Popen(self.argv(sys.executable, "-c", RECEIVE), stdout=subprocess.PIPE, text=True)

    def send(self, address, data):
        subprocess.run(self.argv(sys.executable, "-c", SEND, address), input=data, check=True, timeout=120)

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def uplink(pmd, kind):
    """A network over an uplink of this kind, with the far host behind it."""
    near, far_end = f"vo{os.getpid()}a", f"vo{os.getpid()}b"
    far = Far(kind == "tap")
    try:
        if kind != "tap":
            one = ("numrxqueues", "1", "numtxqueues", "1")
            ip("link", "add", near, *one, "type", "veth", "peer", "name", far_end, *one)
            for end in (near, far_end):
                ip("link", "set", end, "up")
        pmd.call("uplink-add", name="wire", kind=kind, device=near)
        far.take(near if kind == "tap" else far_end)
        pmd.call("network-add", name="lan", uplinks=["wire"], bond="none")
        yield far
    finally:
        far.close()
        # It may have gone with the namespace, or with the process whose device it was.
        subprocess.run(["ip", "link", "del", near], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture
def pmd(pmd_program, short_tmp):  # noqa: F811
    process = Pmd(pmd_program, short_tmp, uplink_kinds=list(KINDS)).start()
    try:
        yield process
    finally:
        process.kill()
    assert "Sanitizer" not in process.text()


@contextlib.contextmanager
def guests_on(pmd, folder, image):
    """Guests on the network with the far host, with addresses 10.9.0.11 and so on."""
    with contextlib.ExitStack() as stack:
        made = []
        for number, name in enumerate(NAMES, 11):
            options, queues = GUESTS[name]
            guest = stack.enter_context(QemuGuest(folder, image, name, options, queues))
            guest.address = f"10.9.0.{number}"
            made.append(guest)
            pmd.port_at(f"vm/{name}", "lan", guest.socket, mac=guest.mac)
        for guest in made:
            guest.wait_ready()
            guest.console.network_up("eth0", guest.address)
            guest.run(f"head -c {SIZE} /dev/urandom > /tmp/out")
        yield made


def out(guest, far):
    with far.receive() as receiver:
        try:
            assert receiver.stdout.readline() == "listening\n"
            guest.run(f"nc {FAR_IP} 5000 < /tmp/out")
            got = receiver.communicate(timeout=120)[0].strip()
        finally:
            receiver.kill()
    assert got == guest.run("sha256sum < /tmp/out").split()[0], f"{guest.name}: other bytes come out"


def back(guest, far):
    data = os.urandom(SIZE)
    guest.run("rm -f /tmp/in /tmp/done; [ -p /tmp/hold ] || mkfifo /tmp/hold; "
              "(nc -l -p 5000 >/tmp/in <>/tmp/hold; echo >/tmp/done) >/dev/null 2>&1 & "
              "until netstat -ltn | grep -q :5000; do usleep 20000; done")
    far.send(guest.address, data)
    guest.run("n=0; until [ -e /tmp/done ]; do n=$((n+1)); [ $n -lt 1000 ] || exit 1; usleep 50000; done")
    assert guest.run("sha256sum < /tmp/in").split()[0] == hashlib.sha256(data).hexdigest(), f"{guest.name}: other bytes come in"


def sent_size(pmd, guest, far):
    """What one transfer out left the guest in, bytes a packet."""
    before = from_guest(pmd, guest)
    out(guest, far)
    sent = {name: value - before[name] for name, value in from_guest(pmd, guest).items()}
    return sent["bytes"] / sent["packets"]


def from_guest(pmd, guest):
    found = next(p for p in pmd.call("stats")["ports"] if p["port"] == f"vm/{guest.name}")["from_guest"]
    return {name: found[name] for name in ("bytes", "packets")}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_every_guest_over_every_uplink(pmd, short_tmp, initrd, kind):  # noqa: F811
    with uplink(pmd, kind) as far, guests_on(pmd, short_tmp, initrd) as guests:
        for guest in guests:
            sizes = [sent_size(pmd, guest, far) for _ in range(TIMES if guest.name == "all" else 1)]
            back(guest, far)
            # What this guest leaves to whoever comes after it is cut and summed before the uplink. How much it leaves is up
            # to its TCP: a slow far end makes it send less at once.
            assert guest.name != "all" or max(sizes) > 1514, sizes
        ports = {p["port"]: p for p in pmd.call("stats")["ports"]}
        for port in ports.values():
            assert port["drops"]["malformed"] == port["drops"]["spoofed"] == port["drops"]["oversize"] == 0, port

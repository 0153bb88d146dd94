# SPDX-License-Identifier: BSD-3-Clause
"""The other PF in a network namespace of its own: the far end of the cable."""

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time

from operate import OperateError

NAME = "peer"


def ip(*args, check=True):
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise OperateError(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def carrier(dev, netns=None):
    prefix = ["ip", "netns", "exec", netns] if netns else []
    done = subprocess.run([*prefix, "cat", f"/sys/class/net/{dev}/carrier"], capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() == "1"


def wait_carrier(dev, up=True, netns=None, timeout=60):
    deadline = time.monotonic() + timeout
    while carrier(dev, netns) != up:
        if time.monotonic() > deadline:
            raise OperateError(f"{dev}: carrier not {'up' if up else 'down'} after {timeout} s")
        time.sleep(0.1)


class Peer:
    """Moves `dev` into the namespace with an address; close() brings it back."""

    def __init__(self, dev, address="10.77.0.1/24"):
        self.dev = dev
        ip("netns", "add", NAME)
        ip("link", "set", dev, "netns", NAME)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", dev, "up")
        self.ip("addr", "add", address, "dev", dev)

    def ip(self, *args):
        return ip("-n", NAME, *args)

    def wait_carrier(self, up=True):
        wait_carrier(self.dev, up, NAME)

    def run(self, *command, **kw):
        return subprocess.run(["ip", "netns", "exec", NAME, *command], **kw)

    def popen(self, *command, **kw):
        return subprocess.Popen(["ip", "netns", "exec", NAME, *command], **kw)

    def sniff(self):
        return Sniffer(self.dev)

    def close(self):
        with contextlib.suppress(OperateError):
            self.ip("link", "set", self.dev, "netns", "1")
        ip("netns", "del", NAME, check=False)


class Sniffer:
    """Every frame that arrives at the peer, as (raw bytes, VLAN tag or None), while it is open."""

    ETH_P_ALL = 3
    SOL_PACKET = 263
    PACKET_AUXDATA = 8
    TP_STATUS_VLAN_VALID = 0x10

    def __init__(self, dev):
        self.frames = []
        self.sock = self._open(dev)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _open(self, dev):
        """A packet socket lives in the namespace it was made in, so enter it for that moment."""
        box = []

        def make():
            with open(f"/var/run/netns/{NAME}") as ns:
                if _setns(ns.fileno()) != 0:
                    box.append(OperateError("cannot enter the peer's network namespace"))
                    return
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(self.ETH_P_ALL))
            sock.setsockopt(self.SOL_PACKET, self.PACKET_AUXDATA, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((dev, 0))
            box.append(sock)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not box or isinstance(box[0], Exception):
            raise box[0] if box else OperateError("no packet socket at the peer")
        return box[0]

    def _loop(self):
        self.sock.settimeout(0.1)
        while not self.stop.is_set():
            with contextlib.suppress(socket.timeout):
                data, aux, _, addr = self.sock.recvmsg(65536, 256)
                if addr[2] != socket.PACKET_OUTGOING:
                    self.frames.append((data, self._vlan(aux)))

    def _vlan(self, aux):
        for level, kind, data in aux:
            if level == self.SOL_PACKET and kind == self.PACKET_AUXDATA and len(data) >= 20:
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
                if status & self.TP_STATUS_VLAN_VALID:
                    return tci & 0xFFF
        return None

    def echo_requests(self):
        """(source MAC, VLAN, payload) of each ICMP echo request seen so far."""
        found = []
        for data, vlan in list(self.frames):
            if vlan is None and data[12:14] == b"\x81\x00":
                vlan = int.from_bytes(data[14:16], "big") & 0xFFF
                data = data[:12] + data[16:]
            if data[12:14] == b"\x08\x00" and data[23] == 1:
                icmp = 14 + (data[14] & 15) * 4
                if data[icmp] == 8:
                    found.append((data[6:12].hex(":"), vlan, data[icmp + 8:]))
        return found

    def close(self):
        self.stop.set()
        self.thread.join()
        self.sock.close()


def _setns(fd):
    import ctypes

    return ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000)


def link_ctl(port, state):
    """Pull or plug the cable at a port of the virtual host."""
    ctl = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "ctl")
    subprocess.run([ctl, "link", port, state], check=True)

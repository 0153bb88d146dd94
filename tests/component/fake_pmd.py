#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""A viaduct-pmd without DPDK that speaks the contract of pmd-backends/pmd_msg.h. A file "words" in its control socket's
folder tells it to misbehave from the next request on: hang (no answer), garbage, lie (counts below 0), huge (a list without end),
refuse=OP (an error of its own), down=UPLINK (no link), broken (its launch fails), slow (it takes as long as that word is
there)."""

import array
import json
import os
import pathlib
import select
import socket
import sys
import time

DROPS = ("rx-full", "spoofed", "vlan", "rate", "storm", "oversize", "malformed", "link-down", "uplink-full", "no-memory")


def receive(sock):
    data, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload)
    return json.loads(data) if data else None, list(fds)


class Refused(Exception):
    pass


class Pmd:
    def __init__(self, sock):
        message, fds = receive(sock)
        if message is None:
            sys.exit(1)
        self.spec, self.listener = message["spec"], socket.socket(fileno=fds[0])
        self.words_file = pathlib.Path(self.listener.getsockname()).with_name("words")
        self.uplinks, self.networks, self.ports, self.asked = {}, {}, {}, []
        self.began = time.monotonic_ns()

    def words(self):
        try:
            return self.words_file.read_text().split()
        except OSError:
            return []

    def uplink(self, up):
        return {**up, "driver": "net_fake", "mac": "02:00:00:00:00:aa", "link": f"down={up['name']}" not in self.words(),
                "speed": 1000, "queues": 1, "promisc": True, "note": "" if up["kind"] == "pci" else "last resort: it is slow"}

    def status(self):
        uplinks = [self.uplink(up) for up in self.uplinks.values()]
        if "huge" in self.words():
            uplinks = [{**self.uplink({"name": f"u{i}", "kind": "null", "device": "", "mtu": 1500})} for i in range(100)]
        return {"name": self.spec["name"], "pid": os.getpid(), "dpdk": "22.11.0", "uptime_ns": time.monotonic_ns() - self.began,
                "lcores": [{"lcore": 0, "cpu": (self.spec["cpus"] or [-1])[0], "busy": -1 if "lie" in self.words() else 0.25, "cycles_hz": 10**9}],
                "uplinks": uplinks,
                "networks": [{**net, "active": net["uplinks"][0] if net["uplinks"] else "",
                              "ports": sum(p["network"] == net["name"] for p in self.ports.values())} for net in self.networks.values()],
                "ports": [{"port": p["port"], "network": p["network"], "lcore": 0, "state": "waiting", "pid": 0, "queues": 0,
                           "features": "0x0", "ring": "split", "error": "", "drops": 0} for p in self.ports.values()],
                "spec": self.spec, "uid": os.getuid(), "asked": self.asked}

    def stats(self, message):
        ports = [p for p in self.ports if message.get("port") in (None, p)]
        counts = {"packets": -1 if "lie" in self.words() else 3, "bytes": 180}
        return {"ports": [{"port": p, "from_guest": counts, "to_guest": counts, "drops": {word: 0 for word in DROPS},
                           "kicks": 1, "calls": 2, "queues": [{"rx_free": 256, "tx_ready": 0}]} for p in ports],
                "uplinks": [{"name": u, "rx": {**counts, "drops": 1}, "tx": {**counts, "drops": 0}} for u in self.uplinks],
                "lcores": [{"lcore": 0, "busy_cycles": 25, "idle_cycles": 75, "packets": 6}]}

    @staticmethod
    def take(table, key, what):
        if key not in table:
            raise Refused(f"no-such-{what}", f"there is no {what} {key}")
        return table[key]

    def answer(self, message):
        op = message["op"]
        if op not in ("status", "stats", "fdb"):
            self.asked.append(op)
        if f"refuse={op}" in self.words():
            raise Refused("device-refused", "it does not want to")
        if op == "status":
            return self.status()
        if op == "stats":
            return self.stats(message)
        if op == "fdb":
            self.take(self.networks, message["network"], "network")
            return {"entries": [{"mac": "02:00:00:00:00:01", "vlan": 0, "at": "fw1/mgt", "age_s": 3, "fixed": True}], "more": False}
        if op == "uplink-add":
            self.uplinks[message["name"]] = {k: message[k] for k in ("name", "kind", "device", "mtu")}
        elif op == "uplink-remove":
            if any(message["name"] in net["uplinks"] for net in self.networks.values()):
                raise Refused("uplink-in-use", "a network has it")
            del self.uplinks[message["name"]]
        elif op == "network-add":
            for name in message["uplinks"]:
                self.take(self.uplinks, name, "uplink")
            self.networks[message["name"]] = {k: message[k] for k in ("name", "uplinks", "bond")}
        elif op == "network-remove":
            if any(port["network"] == message["name"] for port in self.ports.values()):
                raise Refused("network-in-use", "ports are on it")
            del self.networks[message["name"]]
        elif op == "port-add":
            self.take(self.networks, message["network"], "network")
            self.ports[message["port"]] = message
        elif op == "port-set":
            self.take(self.ports, message["port"], "port")["policy"] = message["policy"]
        elif op == "port-remove":
            self.take(self.ports, message["port"], "port")
            del self.ports[message["port"]]
        elif op == "quit":
            return {}
        else:
            raise Refused("unknown-request", f"unknown request {op}")
        return {}

    def reply(self, sock, message):
        if "hang" in self.words():
            return
        if "garbage" in self.words():
            sock.send(b"[1, 2")
            return
        try:
            body = {"ok": True, "result": self.answer(message)}
        except Refused as e:
            body = {"ok": False, "error": {"code": e.args[0], "errno": 22, "text": e.args[1], "hint": ""}}
        sock.send(json.dumps({"v": 1, **body}).encode())
        if message["op"] == "quit":
            sys.exit(0)

    def launch(self, sock):
        while "slow" in self.words():
            time.sleep(0.02)
        if "broken" in self.words():
            sock.send(json.dumps({"v": 1, "ok": False, "error": {"code": "no-memory", "errno": 12, "text": "no memory for packets",
                                                                  "hint": "backends.memory"}}).encode())
            sys.exit(1)
        sock.send(json.dumps({"v": 1, "ok": True, "result": self.status()}).encode())

    def serve(self):
        clients = []
        while True:
            for sock in select.select([self.listener, *clients], [], [])[0]:
                if sock is self.listener:
                    clients.append(sock.accept()[0])
                    continue
                try:
                    message, _ = receive(sock)
                except OSError:
                    message = None
                if message is None:
                    clients.remove(sock)
                    sock.close()
                else:
                    self.reply(sock, message)


def main():
    launch = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
    pmd = Pmd(launch)
    pmd.listener.setblocking(True)
    pmd.launch(launch)
    pmd.serve()


main()

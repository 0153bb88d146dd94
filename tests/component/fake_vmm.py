#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""A viaduct-vmm without KVM that speaks the contract of vmm/vmm_msg.h. Words of the guest's command
line tell it to misbehave: fail, die, silent, garbage, deep, hung, deaf (to the power button), stubborn (and to kill),
slow=N (comes up after N seconds), stuck=FILE (one of its threads writes there), old (knows no statistics, no quarantine and no links), defiant (to quarantine), first (of the first version of the contract: what came later it neither says nor takes), liar (about them), nokvm (has none of KVM's).
"end=REASON" ends it when the power button is pressed, for that reason; "say=TEXT" writes to its console's log."""

import array
import contextlib
import json
import os
import select
import socket
import sys
import threading
import time


LIFE = {"resets": {"triple-fault": 2}, "reset_at": 1700000000, "panics": 0, "panicked_at": 0,
        "crash_kernels": 0, "watchdogs": 0, "watchdog_at": 0}


# Members of STATUS, and requests, that were there from the first.
FIRST_STATUS = ("name", "state", "pid", "uptime_ns", "vcpus", "memory", "start", "guest_resets", "console_bytes",
                "devices", "exits")
FIRST_OPS = ("status", "pause", "resume", "shutdown", "kill")


def receive(sock):
    data, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload)
    return json.loads(data) if data else None, list(fds)


def send(sock, **message):
    with contextlib.suppress(BrokenPipeError):  # who asked has gone
        sock.send(json.dumps({"v": 1, **message}).encode())


class Vm:
    def __init__(self, sock):
        self.launch = sock
        message, fds = receive(sock)
        if message is None:
            sys.exit(1)
        self.fds = dict(zip(message["fds"], fds))
        self.spec = message["spec"]
        self.words = self.spec["boot"]["cmdline"].split()
        self.state = "running"
        self.began = time.monotonic_ns()
        self.asked = 0
        self.quarantined = set()
        self.links = {}
        # Backends connect there, and are kept waiting.
        self.disks = {disk["disk"]: socket.socket(fileno=self.fds[f"disk:{disk['disk']}"]) for disk in self.spec.get("disks", [])}
        self.backends = {name: [] for name in self.disks}

    def disk(self, disk):
        backends = self.backends[disk["disk"]]
        return {"disk": disk["disk"], "size": 0, "readonly": False, "queues": disk["queues"],
                "backend": "connected" if backends else "waiting", "backend_pid": 0, "reconnects": max(len(backends) - 1, 0),
                "driver_active": False, "features": "0x0", "error": ""}

    def net(self, net):
        """As it would be with a backend that has come and gone."""
        return {"port": net["port"], "mac": net["mac"], "queues": net["queues"], "backend": "gone", "backend_pid": 0,
                "reconnects": 1, "link": self.links.get(net["port"], net["link"]) != "down", "driver_active": True,
                "features": "0x1", "ring": "packed", "error": ""}

    def virtio(self):
        """As they would be with a guest that uses them."""
        devices = [name for key, name in (("rng", "rng"), ("virtio_console", "hvc0"), ("vsock", "vsock"))
                   if self.spec.get(key)]
        return [{"device": name, "driver_active": True, "features": "0x1", "to_guest": 5, "from_guest": 7, "error": ""}
                for name in devices]

    def status(self):
        status = {
            "name": self.spec["name"], "state": self.state, "pid": os.getpid(),
            "uptime_ns": time.monotonic_ns() - self.began, "vcpus": self.spec["cpus"]["count"],
            "memory": self.spec["memory"]["size"], "start": [{"step": "ram", "ns": 1000}],
            "cpus": self.spec["cpus"], "ram": self.spec["memory"],
            "ram_nodes": [{"node": 1, "bytes": self.spec["memory"]["size"]}],
            "guest_resets": 2, "console_bytes": 0, "devices": [], "nets": [self.net(net) for net in self.spec.get("nets", [])], "life": LIFE,
            "virtio": self.virtio(),
            "disks": [self.disk(disk) for disk in self.spec.get("disks", [])], "disk_spec": self.spec.get("disks", []),
            "on_panic": self.spec["on_panic"], "watchdog": self.spec["watchdog"],
            "exits": {"io": 0, "mmio": 0, "hlt": 0, "other": 0},
            "quarantined": sorted(self.quarantined), "fds": sorted(self.fds), "uid": os.getuid(), "groups": os.getgroups(),
            "open": sorted(os.listdir("/proc/self/fd"), key=int),
        }
        if "firmware" in self.fds:
            full = "full" in self.words
            status["firmware"] = {"vars": "failed" if full else "stored", "commits": 1,
                                  "error": "No space left on device" if full else ""}
            status["uuid"] = self.spec["uuid"]
        return {name: status[name] for name in FIRST_STATUS} if self.is_first() else status

    def is_first(self):
        return "first" in self.words

    def stats(self):
        """Each request finds more than the one before."""
        self.asked += 1
        kinds = {"io": self.asked, "mmio": 0, "hlt": 0, "other": 0}
        stats = {
            "name": self.spec["name"], "state": self.state, "uptime_ns": 5,
            "exits": kinds, "vcpus": [kinds] * self.spec["cpus"]["count"],
            "regions": [{"space": "pio", "name": "COM1", "reads": 0, "writes": self.asked}],
            "devices": [],
        }
        if "nokvm" in self.words:
            stats["kvm_absent"] = "this host's KVM has no binary statistics"
        else:
            stats["kvm"] = {"vm_names": ["pages_4k"], "vm": [7],
                            "vcpu_names": ["exits", "io_exits", "halt_exits"],
                            "vcpus": [[100 * self.asked, 10, 20]] * self.spec["cpus"]["count"]}
        if "liar" in self.words:
            stats["regions"][0]["writes"] = -1
        return stats

    def end(self, reason, text):
        record = {"v": 1, "name": self.spec["name"], "reason": reason, "text": text,
                  "wall_time": int(time.time()), "uptime_ns": 61 * 10**9, "life": LIFE}
        if self.is_first():
            del record["life"]
        os.write(self.fds["exit_record"], json.dumps(record).encode())
        sys.exit(0)

    def answer(self, sock, message):
        op = message["op"]
        if self.is_first() and (message != {"v": 1, "op": op} or op not in FIRST_OPS):
            send(sock, ok=False, error={"code": "unknown-request", "errno": 95,
                                         "text": f"unknown request {message}", "hint": ""})
        elif op == "status":
            send(sock, ok=True, result=self.status())
        elif op in ("quarantine", "unquarantine") and "old" not in self.words:
            if "defiant" in self.words:
                send(sock, ok=False, error={"code": "", "errno": 5, "text": "it does not", "hint": ""})
                return
            self.quarantined = {*self.quarantined, message["port"]} - ({message["port"]} if op[0] == "u" else set())
            send(sock, ok=True, result=self.status())
        elif op == "set-link" and "old" not in self.words:
            self.links[message["port"]] = message["link"]
            send(sock, ok=True, result=self.status())
        elif op == "stats" and "old" not in self.words:
            send(sock, ok=True, result=self.stats())
        elif op in ("pause", "resume"):
            self.state = "paused" if op == "pause" else "running"
            send(sock, ok=True, result=self.status())
        elif op == "shutdown":
            send(sock, ok=True, result={})
            for word in self.words:
                if word.startswith("end="):
                    self.end(word[4:], "as the test wants it")
            if "deaf" not in self.words and "stubborn" not in self.words:
                self.end("poweroff", "the guest powered off")
        elif op == "kill":
            if "stubborn" in self.words:
                return
            send(sock, ok=True, result={})
            self.end("killed", "by request")
        else:
            send(sock, ok=False, error={"code": "unknown-request", "errno": 95,
                                         "text": f'unknown request "{op}"', "hint": ""})

    @staticmethod
    def stick(path):
        """From now on the process cannot be killed, as long as the file system of that file stands still."""
        writer = threading.Thread(target=lambda: os.write(os.open(path, os.O_WRONLY), b"w"), daemon=True)
        writer.start()
        while "State:\tD" not in open(f"/proc/self/task/{writer.native_id}/status", encoding="ascii").read():
            time.sleep(0.01)

    def begin(self):
        if "die" in self.words:
            print("viaduct-vmm: its last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), 9)
        for word in self.words:
            if word.startswith("stuck="):
                self.stick(word[6:])
        if "silent" in self.words:
            time.sleep(1000)
        for word in self.words:
            if word.startswith("slow="):
                time.sleep(float(word[5:]))
        if "garbage" in self.words:
            self.launch.send(b"[1, 2")
            time.sleep(1000)
        if "fail" in self.words:
            send(self.launch, ok=False, error={"code": "no-luck", "errno": 22,
                                               "text": "the machine has no luck", "hint": "try again"})
            sys.exit(1)
        if "deep" in self.words:
            steps = '[{"step":"x","ns":1},' + "[" * 2040 + "]" * 2040 + ', {"step":7,"ns":1}]'
            self.launch.send(f'{{"v":1,"ok":true,"result":{{"start":{steps}}}}}'.encode())
            return
        for word in self.words:
            if word.startswith("say="):
                os.write(self.fds["console_log_old"], b"older\r\n")
                os.write(self.fds["console_log"], b"\x1b[1m" + word[4:].encode() + b"\r\n")
        send(self.launch, ok=True, result=self.status())
        if "hung" in self.words:
            time.sleep(1000)

    def serve(self):
        listener = socket.socket(fileno=self.fds["listener"])
        console = socket.socket(fileno=self.fds["console"])
        hvc0 = socket.socket(fileno=self.fds["hvc0"]) if "hvc0" in self.fds else None
        clients, consoles = [self.launch], []
        while True:
            ready, _, _ = select.select([listener, console, *([hvc0] if hvc0 else []), *self.disks.values(), *clients, *consoles], [], [])
            for sock in ready:
                if sock is listener:
                    clients.append(listener.accept()[0])
                elif sock in (console, hvc0):
                    consoles.append(sock.accept()[0])
                elif sock in self.disks.values():
                    name = next(name for name, one in self.disks.items() if one is sock)
                    self.backends[name].append(sock.accept()[0])
                elif sock in clients:
                    message = None
                    try:
                        message, _ = receive(sock)
                    except OSError:
                        pass
                    if message is None:
                        clients.remove(sock)
                        sock.close()
                    else:
                        self.answer(sock, message)
                else:
                    data = sock.recv(4096)
                    if data:
                        sock.sendall(data.upper())
                    else:
                        consoles.remove(sock)
                        sock.close()


def main():
    if "--check-kvm" in sys.argv:
        print(json.dumps({"usable": True, "detail": "pretended"}))
        return
    vm = Vm(socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1])))
    vm.begin()
    vm.serve()


main()

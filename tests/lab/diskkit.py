# SPDX-License-Identifier: BSD-3-Clause
"""A viaduct-pmd that serves disks, launched and told by hand as its daemon does it (pmd-backends/pmd_msg.h)."""

import array
import contextlib
import json
import os
import socket
import subprocess


class Refused(Exception):
    """An {"ok": false} reply."""


class Blocks:
    """One process; restart() is a SIGKILL and another one that gets the same disks."""

    def __init__(self, binary, folder, guest_uid=65534, log=None):
        self.binary, self.folder, self.guest_uid, self.log = binary, folder, guest_uid, log
        self.process = self.sock = None
        self.disks = {}

    def start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.path.join(self.folder, "pmd.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with theirs, ours, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            self.process = subprocess.Popen([self.binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
            listener.bind(path)
            listener.listen(4)
            spec = {"name": "disk0", "role": "block", "cpus": [], "idle": "adaptive", "guest_uid": [self.guest_uid, 1]}
            self.ask({"v": 1, "op": "launch", "fds": ["listener"], "spec": spec}, [listener.fileno()], ours)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(path)
        for disk, (image, members) in self.disks.items():
            self._add(disk, image, members)
        return self

    def ask(self, body, fds=(), sock=None):
        sock = sock or self.sock
        sock.settimeout(120)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sock.sendmsg([json.dumps({"v": 1, **body}).encode()], control)
        data = sock.recv(200000)
        if not data:
            raise ConnectionResetError("viaduct-pmd has hung up")
        reply = json.loads(data)
        if not reply["ok"]:
            raise Refused(reply["error"]["text"])
        return reply["result"]

    def _add(self, disk, image, members):
        readonly = members.get("readonly", False)
        fd = os.open(image, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)
        try:
            return self.ask({"op": "disk-add", "disk": disk, "fds": ["image"], **members}, [fd])["disk"]
        finally:
            os.close(fd)

    def add(self, disk, image, socket_path, **members):
        self.disks[disk] = (image, {"socket": socket_path, **members})
        return self._add(disk, *self.disks[disk])

    def resize(self, disk, size):
        os.truncate(self.disks[disk][0], size)
        return self.ask({"op": "disk-resize", "disk": disk})["size"]

    def stats(self, disk):
        return next(d for d in self.ask({"op": "stats"})["disks"] if d["disk"] == disk)

    def kill(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.sock.close()
        self.process = None

    def restart(self):
        self.kill()
        self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.kill()

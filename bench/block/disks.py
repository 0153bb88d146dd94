# SPDX-License-Identifier: BSD-3-Clause
"""The cases, and the processes of one place: the guest, and both backends with an image each."""

import array
import contextlib
import dataclasses
import json
import os
import shutil
import socket
import struct
import subprocess

from processes import Asked, BenchError, Process

BLOCK = 4096
WARM_MS = 50
READY_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Case:
    place: str  # "tmpfs" or "disk"
    write: bool
    depth: int

    @property
    def name(self):
        return f"{self.place}-{'write' if self.write else 'read'}-{self.depth}"


CASES = [Case(place, write, depth) for place in ("tmpfs", "disk") for depth in (1, 32) for write in (False, True)]


def image_make(path, mib):
    """Each block holds its number."""
    words = BLOCK // 8
    with open(path, "wb") as file:
        for block in range(mib * (1 << 20) // BLOCK):
            file.write(struct.pack("<Q", block) * words)
        file.flush()
        os.fsync(file.fileno())


class Guest(Asked):
    """block-gen."""

    def __init__(self, place):
        super().__init__(place, "gen")

    def start(self):
        p = self.place
        self.spawn(["taskset", "-c", str(p.gen_cpu), p.program(p.tools, "bench/block/block-gen")],
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Backend(Process):
    def __init__(self, place, name, index, mib):
        super().__init__(place, name)
        self.index = index
        self.image, self.path = place.folder / f"{name}.img", place.folder / f"{name}.sock"
        image_make(self.image, mib)


class Viaduct(Backend):
    def __init__(self, place, index, mib):
        super().__init__(place, "viaduct", index, mib)

    def start(self, guest):
        p = self.place
        guest.ask("listen", disk=self.index, path=str(self.path))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ours, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(p.folder / "control.sock"))
            listener.listen(1)
            self.spawn(["bash", "-c", f'exec 3<&{theirs.fileno()} && exec "$0" --fd 3', p.program(p.build, "pmd-backends/viaduct-pmd")],
                       pass_fds=(theirs.fileno(),))
            ours.settimeout(READY_SECONDS)
            spec = {"name": "bench", "role": "block", "cpus": [p.backend_cpu], "idle": "adaptive", "guest_uid": [0, 1]}
            self.tell(ours, {"op": "launch", "fds": ["listener"], "spec": spec}, listener.fileno())
            fd = os.open(self.image, os.O_RDWR | os.O_DIRECT)
            try:
                self.tell(ours, {"op": "disk-add", "fds": ["image"], "disk": "bench/disk", "socket": str(self.path)}, fd)
            finally:
                os.close(fd)
            guest.ask("start", disk=self.index, path=str(self.path))

    def tell(self, sock, body, fd):
        sock.sendmsg([json.dumps({"v": 1, **body}).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        reply = json.loads(sock.recv(65536) or b'{"ok": false, "error": {"text": "hung up"}}')
        if not reply["ok"]:
            self.fail(reply["error"]["text"])


class Qemu(Backend):
    """qemu-storage-daemon, with an I/O thread that polls as long as it does by default, O_DIRECT and io_uring as ours."""

    def __init__(self, place, index, mib):
        super().__init__(place, "qemu", index, mib)

    @staticmethod
    def version():
        program = shutil.which("qemu-storage-daemon")
        if program is None:
            raise BenchError("qemu-storage-daemon is not installed: apt-get install qemu-utils")
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]

    def start(self, guest):
        self.spawn(["taskset", "-c", str(self.place.backend_cpu), "qemu-storage-daemon", "--object", "iothread,id=io0",
                    "--blockdev", f"driver=file,node-name=f0,filename={self.image},aio=io_uring,cache.direct=on,discard=unmap",
                    "--export", f"type=vhost-user-blk,id=e0,node-name=f0,addr.type=unix,addr.path={self.path},writable=on,"
                    "num-queues=1,iothread=io0"])
        self.wait_for("it does not listen", self.path.exists, READY_SECONDS)
        guest.ask("start", disk=self.index, path=str(self.path))


class Session:
    def __init__(self, place, mib):
        self.guest = Guest(place)
        self.backends = [Viaduct(place, 0, mib), Qemu(place, 1, mib)]
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            for process in (*self.backends, self.guest):
                self.stack.callback(process.stop)
            self.guest.start()
            for backend in self.backends:
                backend.start(self.guest)
                backend.pause()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def traffic(self, backend, case, ms):
        reply = self.guest.ask("run", disk=backend.index, write=case.write, depth=case.depth, ms=ms)
        if reply["bad"]:
            raise BenchError(f"{case.name}: {backend.name} answered {reply['bad']} requests with an error or other data: {reply}")
        return {"iops": reply["requests"] * 1e9 / reply["ns"], **{key: reply[key] for key in ("p50", "p99", "kicks", "requests")}}

    def slice(self, backend, case, ms):
        backend.resume()
        try:
            self.traffic(backend, case, WARM_MS)
            return self.traffic(backend, case, ms)
        finally:
            backend.pause()

    def rounds(self, case, count, ms):
        """The order turns each round."""
        for number in range(count):
            order = self.backends if number % 2 == 0 else self.backends[::-1]
            yield {backend.name: self.slice(backend, case, ms) for backend in order}

    def check(self):
        """All that was written, ever, is there."""
        for backend in self.backends:
            backend.resume()
            bad = self.guest.ask("check", disk=backend.index)["bad"]
            backend.pause()
            if bad:
                raise BenchError(f"{backend.name}: {bad} blocks are not what was written last")

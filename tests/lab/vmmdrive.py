#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plays the daemon for one viaduct-vmm: sockets, fds, launch message, console, control requests.

By hand, in a host with KVM, as root:
  vmmdrive.py --vmm BUILD/vmm/viaduct-vmm --kernel K --initrd I [--mem MIB] [--do status,pause,resume]
prints the launch's STATUS, the guest's console, the exit record; exit status 0 if the record says
"poweroff" or what --end names.
"""

import argparse
import contextlib
import fcntl
import json
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

SEQMSG_BYTES = 196608
NOBODY = 65534
VHOST_VSOCK_SET_GUEST_CID = 0x4008AF60


class Refused(Exception):
    """An {"ok": false} reply."""

    def __init__(self, error):
        super().__init__(error.get("text"))
        self.error = error


class Console:
    """A client of the console socket; keeps all it has seen."""

    def __init__(self, path, echo=False):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.seen = ""
        self.echo = echo

    def read_some(self, timeout):
        if not select.select([self.sock], [], [], max(timeout, 0))[0]:
            return True
        with contextlib.suppress(ConnectionResetError):
            data = self.sock.recv(SEQMSG_BYTES)
            if data:
                text = data.decode(errors="replace")
                self.seen += text
                if self.echo:
                    print(text, end="", flush=True)
                return True
        return False

    def wait(self, text, timeout, start=0):
        """Reads until text is there; the position behind it, or None at the end of time or guest."""
        end = time.monotonic() + timeout
        while text not in self.seen[start:]:
            if time.monotonic() > end or not self.read_some(end - time.monotonic()):
                return None
        return self.seen.index(text, start) + len(text)

    def write(self, text):
        self.sock.sendall(text.encode())


class Vmm:
    """One viaduct-vmm process. Use as a context manager: it is killed at the end."""

    def __init__(self, binary, uid=NOBODY, stderr=None):
        self.folder = tempfile.TemporaryDirectory(prefix="vmmdrive-")
        self.record_path = os.path.join(self.folder.name, "exit.json")
        self.log_path = os.path.join(self.folder.name, "console.log")
        self.listener = self._listen("control", socket.SOCK_SEQPACKET)
        self.console_listener = self._listen("console", socket.SOCK_STREAM)
        self.vhosts = {}
        self.disks = {}
        self.images = {}  # disk -> path: what the VMM keeps open of them
        self.launch_sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [binary, "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                preexec_fn=lambda: self._become(uid),
            )

    @staticmethod
    def _become(uid):
        with contextlib.suppress(ValueError):  # containers refuse; only devices need it
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
        if uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def _listen(self, name, kind):
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.bind(self.path(name))
        sock.listen(8)
        sock.setblocking(False)
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for sock in (self.launch_sock, self.listener, self.console_listener, *self.vhosts.values(),
                     *self.disks.values()):
            sock.close()
        self.folder.cleanup()

    def vhost(self, port):
        """The path of a port's vhost-user socket, made at the first call."""
        if port not in self.vhosts:
            self.vhosts[port] = self._listen(f"vhost-{port}", socket.SOCK_STREAM)
        return self.path(f"vhost-{port}")

    def hvc0(self):
        """A descriptor of the virtio console's socket; its path is path("hvc0")."""
        with self._listen("hvc0", socket.SOCK_STREAM) as sock:
            return os.dup(sock.fileno())

    @staticmethod
    def vsock(cid):
        """A file of the kernel's vsock device that has this CID."""
        file = open("/dev/vhost-vsock", "r+b", buffering=0)
        try:
            fcntl.ioctl(file, VHOST_VSOCK_SET_GUEST_CID, struct.pack("Q", cid))
        except OSError:
            file.close()
            raise
        return file

    def disk(self, name):
        """The path of a disk's vhost-user socket, made at the first call."""
        if name not in self.disks:
            self.disks[name] = self._listen(f"disk-{name}", socket.SOCK_STREAM)
        return self.path(f"disk-{name}")

    def spec_fds(self, kernel, initrd=None, devices=(), firmware=None):
        """The fds of a launch message as (name, fd); close with close_fds. firmware: the files CODE and VARS."""
        fds = [
            ("kvm", os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)),
            ("listener", os.dup(self.listener.fileno())),
            ("console", os.dup(self.console_listener.fileno())),
            ("exit_record", os.open(self.record_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)),
            ("console_log", os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)),
        ]
        if kernel:
            fds.append(("kernel", os.open(kernel, os.O_RDONLY | os.O_CLOEXEC)))
        if firmware:
            fds.append(("firmware", os.open(firmware[0], os.O_RDONLY | os.O_CLOEXEC)))
            fds.append(("vars", os.open(firmware[1], os.O_RDWR | os.O_CLOEXEC)))
        if initrd:
            fds.append(("initrd", os.open(initrd, os.O_RDONLY | os.O_CLOEXEC)))
        if devices:
            fds.append(("container", os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC)))
        for group in sorted({device["group"] for device in devices}):
            fds.append((f"group:{group}", os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC)))
        return fds

    @staticmethod
    def spec(mem_mib=192, cpus=1, cmdline="console=ttyS0 quiet", name="t1", **more):
        memory = {"size": mem_mib << 20}
        memory.update({k: more.pop(k) for k in ("hugepage", "low_limit") if k in more})
        return {
            "name": name,
            "memory": memory,
            "cpus": {"count": cpus, "pin": more.pop("pin", []),
                     **{k: more.pop(k) for k in ("dedicated", "own") if k in more}},
            "boot": {"cmdline": cmdline},
            "devices": [],
            **more,
        }

    def send_launch(self, spec, fds, **body):
        message = {"v": 1, "op": "launch", "fds": [name for name, _ in fds], "spec": spec, **body}
        socket.send_fds(self.launch_sock, [json.dumps(message).encode()], [fd for _, fd in fds])

    def launch(self, spec, kernel, initrd=None, timeout=60, firmware=None, without=()):
        """Sends the launch message, without the fds of these names; STATUS, or Refused."""
        fds = self.spec_fds(kernel, initrd, spec["devices"], firmware)
        for net in spec.get("nets", ()):
            self.vhost(net["port"])
            fds.append((f"vhost:{net['port']}", os.dup(self.vhosts[net["port"]].fileno())))
        for disk in spec.get("disks", ()):
            self.disk(disk["disk"])
            fds.append((f"disk:{disk['disk']}", os.dup(self.disks[disk["disk"]].fileno())))
        fds += [(f"image:{disk}", os.open(path, os.O_RDWR | os.O_CLOEXEC)) for disk, path in self.images.items()]
        if spec.get("virtio_console"):
            fds.append(("hvc0", self.hvc0()))
        if "vsock" in spec:
            with self.vsock(spec["vsock"]["cid"]) as file:
                fds.append(("vhost_vsock", os.dup(file.fileno())))
        try:
            self.send_launch(spec, [(name, fd) for name, fd in fds if name not in without])
        finally:
            for _, fd in fds:
                os.close(fd)
        return self.reply(self.launch_sock, timeout)

    @staticmethod
    def reply(sock, timeout=60):
        sock.settimeout(timeout)
        data = sock.recv(SEQMSG_BYTES)
        if not data:
            raise ConnectionResetError("the VMM closed its socket")
        message = json.loads(data)
        if not message.get("ok"):
            raise Refused(message["error"])
        return message["result"]

    def request(self, op, sock=None, timeout=60, **body):
        sock = sock or self.launch_sock
        sock.sendall(json.dumps({"v": 1, "op": op, **body}).encode())
        return self.reply(sock, timeout)

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.path("control"))
        return sock

    def console(self, echo=False):
        return Console(self.path("console"), echo)

    def wait(self, timeout):
        return self.process.wait(timeout)

    def record(self):
        """The exit record, or None if nothing was written."""
        with open(self.record_path, encoding="utf-8") as f:
            text = f.read()
        return json.loads(text) if text else None


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vmm", required=True)
    parser.add_argument("--kernel")
    parser.add_argument("--firmware", help="CODE,VARS: OVMF's code, and a VM's variables")
    parser.add_argument("--initrd")
    parser.add_argument("--mem", type=int, default=256, help="MiB")
    parser.add_argument("--low-limit", type=int, default=0, help="MiB")
    parser.add_argument("--hugepage", type=int, default=0, help="bytes")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--pin", default="")
    parser.add_argument("--cmdline", default="console=ttyS0 quiet")
    parser.add_argument("--device", action="append", default=[], help="PORT,ADDRESS,GROUP")
    parser.add_argument("--wait-for", default="VIADUCT-GUEST ready", help="console text before --do")
    parser.add_argument("--do", default="", help="requests, or sleep, one after the other")
    parser.add_argument("--end", default="poweroff", help="expected reason")
    parser.add_argument("--timeout", type=float, default=90)
    return parser.parse_args()


def drive(args, vmm):
    devices = [dict(zip(("port", "address", "group"), d.split(","))) for d in args.device]
    spec = vmm.spec(args.mem, args.cpus, args.cmdline, hugepage=args.hugepage,
                    low_limit=args.low_limit << 20,
                    pin=[int(p) for p in args.pin.split(",") if p],
                    devices=[{**d, "group": int(d["group"])} for d in devices])
    begin = time.monotonic()
    console = vmm.console(echo=True)
    print(json.dumps(vmm.launch(spec, args.kernel, args.initrd,
                                firmware=args.firmware and args.firmware.split(","))))
    if console.wait(args.wait_for, args.timeout) is None:
        print(f"\nvmmdrive: no {args.wait_for!r} on the console")
        with contextlib.suppress(OSError, Refused):
            print(json.dumps(vmm.request("status")))
        return 1
    print(f"\nvmmdrive: {args.wait_for!r} after {time.monotonic() - begin:.2f} s")
    for op in filter(None, args.do.split(",")):
        if op == "sleep":
            time.sleep(1)
        else:
            print(f"vmmdrive: {op}: {json.dumps(vmm.request(op))}")
    end = time.monotonic() + args.timeout
    while vmm.process.poll() is None and time.monotonic() < end:
        if not console.read_some(0.2):
            break
    status = vmm.wait(60)
    record = vmm.record()
    print(f"vmmdrive: exit status {status}, {json.dumps(record)}")
    return 0 if record and record["reason"] == args.end else 1


def main():
    args = parse()
    with Vmm(args.vmm) as vmm:
        try:
            sys.exit(drive(args, vmm))
        except Refused as e:
            sys.exit(f"vmmdrive: refused: {json.dumps(e.error)}")
        except ConnectionResetError as e:
            sys.exit(f"vmmdrive: {e}; exit status {vmm.wait(60)}")


if __name__ == "__main__":
    main()

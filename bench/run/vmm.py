# SPDX-License-Identifier: BSD-3-Clause
"""viaduct-vmm and viaduct-pmd without their daemon, each told by its contract (vmm/vmm_msg.h, pmd-backends/pmd_msg.h): for guests
of two monitors on one polled backend, where nothing but the monitor may differ."""

import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess

from . import BenchError, TrialError
from .ends import with_us
from .operator import command

MESSAGE_MAX = 1 << 20
SECONDS = 120
UID = 65534
PMD_MIB = 128
GRACE_MS = 3000


def program(name, folder):
    """Beside the command, as installed; or in the build tree."""
    here = pathlib.Path(command()).resolve().parent
    for path in (here / name, here.parent / folder / name):
        if os.access(path, os.X_OK):
            return path
    raise BenchError(f"{name} is neither beside {command()} nor in its build tree")


def listener(path, kind):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    sock.listen(8)
    return sock


class Contract:
    """A process that is launched through one end of a socket pair and asked there."""

    def __init__(self, name, binary, log, become=None):
        self.name, self.log = name, log
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(SECONDS)
        with theirs, open(log, "ab") as out:
            # The number of the contract, whatever this process uses it for.
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec 3<&{theirs.fileno()} && exec "$0" --fd 3', str(binary)], pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                preexec_fn=with_us(signal.SIGKILL, become),
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # the leak checker traces: the sandbox kills for that

    def call(self, op, fds=(), **members):
        """fds: (name, file descriptor)."""
        body = {"v": 1, "op": op, **members, **({"fds": [name for name, _ in fds]} if fds else {})}
        try:
            socket.send_fds(self.sock, [json.dumps(body).encode()], [fd for _, fd in fds])
            data = self.sock.recv(MESSAGE_MAX)
        except OSError as e:
            raise TrialError(f"{self.name}: {op}: {e}; {self.tail()}") from e
        if not data:
            raise TrialError(f"{self.name} has ended; {self.tail()}")
        reply = json.loads(data)
        if not reply.get("ok"):
            error = reply.get("error", {})
            raise BenchError(f"{self.name}: {op}: {error.get('text')} {error.get('hint') or ''}".rstrip())
        return reply["result"]

    def tail(self):
        with contextlib.suppress(OSError):
            return "its log ends with:\n" + self.log.read_text("utf-8", "replace")[-1500:]
        return "it has no log"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.sock.close()


class Pmd(Contract):
    """One viaduct-pmd with networks lan0, lan1... and no uplink."""

    def __init__(self, folder, cpu, hugepages, networks=1):
        super().__init__("viaduct-pmd", program("viaduct-pmd", "pmd-backends"), folder / "pmd.log")
        spec = {"name": f"bench{os.getpid()}", "cpus": [cpu], "memory": PMD_MIB << 20, "hugepages": hugepages, "idle": "poll",
                "guest_uid": [0, UID]}
        try:
            path = folder / "pmd.control"
            with listener(path, socket.SOCK_SEQPACKET) as control:
                self.call("launch", [("listener", control.fileno())], spec=spec)
            # The first connection was for the launch.
            self.sock.close()
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.sock.settimeout(SECONDS)
            self.sock.connect(str(path))
            for index in range(networks):
                self.call("network-add", name=f"lan{index}", uplinks=[], bond="none")
        except BaseException:
            self.stop()
            raise

    def port_add(self, name, path, mac, network=0):
        """The other side listens at that path, or will."""
        self.call("port-add", port=f"{name}/lan{network}", network=f"lan{network}", socket=str(path),
                  policy={"mac": mac, "trust": "promisc", "spoofchk": False})

    def busy_cycles(self):
        return sum(lcore["busy_cycles"] for lcore in self.call("stats")["lcores"])


def become_nobody():
    with contextlib.suppress(ValueError, OSError):  # only functions need it
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)


class Vmm(Contract):
    """One viaduct-vmm with a polled port for each MAC, whose backends connect to `vhosts`."""

    def __init__(self, folder, name, macs, guest):
        super().__init__(f"viaduct-vmm {name}", program("viaduct-vmm", "vmm"), folder / f"{name}.vmm.log",
                         become_nobody if os.geteuid() == 0 else None)
        self.vhosts, self.hvc0 = [folder / f"{name}.vhost{i}" for i in range(len(macs))], folder / f"{name}.hvc0"
        try:
            self.launch(folder, name, macs, guest)
        except BaseException:
            self.stop()
            raise

    def launch(self, folder, name, macs, guest):
        nets = [{"port": f"lan{i}", "mac": mac, "mtu": 1500, "queues": 1, "queue_size": 256, "link": "auto", "grace_ms": GRACE_MS,
                 "backend_uid": 0} for i, mac in enumerate(macs)]
        sockets = {"listener": ("control", socket.SOCK_SEQPACKET), "console": ("console", socket.SOCK_STREAM),
                   "hvc0": ("hvc0", socket.SOCK_STREAM),
                   **{f"vhost:lan{i}": (path.name.removeprefix(f"{name}."), socket.SOCK_STREAM)
                      for i, path in enumerate(self.vhosts)}}
        with contextlib.ExitStack() as ours:
            fds = [(key, ours.enter_context(listener(folder / f"{name}.{ending}", kind)).fileno())
                   for key, (ending, kind) in sockets.items()]
            for key, path, flags in (("kvm", "/dev/kvm", os.O_RDWR), ("kernel", guest.kernel, os.O_RDONLY),
                                     ("initrd", guest.initrd, os.O_RDONLY),
                                     ("exit_record", folder / f"{name}.exit", os.O_RDWR | os.O_CREAT),
                                     ("console_log", folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
                fds.append((key, os.open(path, flags | os.O_CLOEXEC, 0o600)))
                ours.callback(os.close, fds[-1][1])
            spec = {"name": name, "memory": {"size": guest.memory_mib << 20}, "boot": {"cmdline": guest.cmdline}, "devices": [],
                    "cpus": {"count": guest.vcpus, "pin": list(guest.pin)}, "nets": nets, "virtio_console": True}
            self.call("launch", fds, spec=spec)

    def exits(self):
        """{name of KVM's: number} of each vCPU."""
        kvm = self.call("stats")["kvm"]
        return [dict(zip(kvm["vcpu_names"], vcpu)) for vcpu in kvm["vcpus"]]

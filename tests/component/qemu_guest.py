# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest in QEMU without KVM, whose virtio-net is served over vhost-user: QEMU listens, as viaduct-vmm does."""

import pathlib
import subprocess
import sys
import time

from daemonkit import PATIENCE_S

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lab"))
from operate.console import Console  # noqa: E402
from vlab.cache import Cache  # noqa: E402


class QemuGuest:
    """options: of the virtio-net device, such as host_tso4=off."""

    def __init__(self, folder, initrd, name, options="", queues=1):
        self.name, self.folder = name, folder
        self.socket, self.console_path = folder / f"{name}.vhost", folder / f"{name}.console"
        self.log = open(folder / f"{name}.log", "w", encoding="utf-8")
        self.mac = f"02:00:00:00:01:{sum(name.encode()) % 256:02x}"
        device = f"virtio-net-pci,netdev=n,mac={self.mac},romfile=,disable-legacy=on,mq={'on' if queues > 1 else 'off'}"
        self.process = subprocess.Popen([
            "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot",
            "-object", "memory-backend-memfd,id=m,size=256M,share=on", "-numa", "node,memdev=m",
            "-kernel", Cache().bzimage, "-initrd", str(initrd), "-append", "console=ttyS0 quiet no_timer_check",
            "-chardev", f"socket,id=console,path={self.console_path},server=on,wait=off", "-serial", "chardev:console",
            "-chardev", f"socket,id=v,path={self.socket},server=on,wait=on",
            "-netdev", f"vhost-user,id=n,chardev=v,queues={queues}",
            "-device", device + ("," + options if options else "")], stdout=self.log, stderr=self.log)
        self.console = self.console_now()

    def console_now(self):
        """At once: what the guest prints while nobody listens is gone. The socket is there a moment before QEMU listens."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return Console(self.console_path)
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None and time.monotonic() < deadline, f"QEMU: see {self.log.name}"
                time.sleep(0.02)

    def wait_ready(self, timeout=4 * PATIENCE_S):
        """After a backend has connected, for which QEMU waits."""
        self.console.wait_ready(timeout)

    def run(self, command, timeout=2 * PATIENCE_S):
        return self.console.check(command, timeout)

    def close(self):
        self.console.close()
        self.process.kill()
        self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

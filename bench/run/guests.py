# SPDX-License-Identifier: BSD-3-Clause
"""Bench guests: one image, under `viaduct vm run`, under viaduct-vmm alone, and under QEMU. Each has `lines` (viaduct-reflect in
it, JSON lines on hvc0), exits() (KVM's counts so far, or None) and stop()."""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import time

from . import BenchError, TrialError
from .ends import with_us
from .lines import READY, Console
from .operator import TOP, NoAnswer, viaduct, vm_delete
from .qmp import Qmp
from .signals import held
from .vmm import Vmm

BOOT_SECONDS = 240  # an emulated host's guest, beside others
CONNECT_SECONDS = 30
VCPU_THREAD = "CPU {}/KVM"  # as QEMU names it with debug-threads
CMDLINE = "console=ttyS0 quiet mitigations=off"
POLLER = "isolcpus=1 nohz_full=1 rcu_nocbs=1"  # the guest's own work and its tick stay on its first vCPU
OTHERS = "other_vcpus"  # of exits: what all vCPUs but the polling one did


@dataclasses.dataclass(frozen=True)
class Image:
    """What every guest boots. pin: the host's CPU of each vCPU; empty: one vCPU, anywhere."""
    kernel: pathlib.Path
    initrd: pathlib.Path
    memory_mib: int = 384
    cmdline: str = CMDLINE
    pin: tuple = ()

    @property
    def vcpus(self):
        return max(1, len(self.pin))

    def polling(self, house, cpu):
        """The same with a vCPU on the host's CPU `cpu` that does nothing but poll, and another one on `house` for the rest."""
        return dataclasses.replace(self.with_words(POLLER), pin=(house, cpu))

    def with_words(self, words):
        """The same with more words of the kernel's command line (bench/guest/script has what they mean)."""
        return dataclasses.replace(self, cmdline=f"{self.cmdline} {words}")


def image_of(options, folder):
    """The files that were named; of a source tree: those that its own tools make."""
    kernel, initrd = options.guest_kernel, options.guest_image
    try:
        if kernel is None:
            kernel = made(TOP / "lab/setup-cache", "--print", "bzimage").strip()
        if initrd is None:
            initrd = folder / "bench-guest.cpio"
            made(TOP / "bench/guest-image", "-o", initrd)
    except FileNotFoundError as e:
        raise BenchError(f"which guest? --guest-kernel FILE --guest-image FILE, or run it from a source tree ({e})") from e
    for path in (kernel, initrd):
        if not pathlib.Path(path).is_file():
            raise BenchError(f"{path}: there is no such file")
    return Image(pathlib.Path(kernel).resolve(), pathlib.Path(initrd).resolve())


def made(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise BenchError(f"{words[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def console_at(name, path):
    """The socket is there a moment before its guest."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return Console(name, path)
        except TrialError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def polling_exits(vcpus):
    """vcpus: {name of KVM's: number} of each. Those of the last one, which polls, and with OTHERS, if there are any, the exits of the
    others."""
    others = sum(each["exits"] for each in vcpus[:-1])
    return {**vcpus[-1], **({OTHERS: others} if len(vcpus) > 1 else {})}


class Guest:
    lines = None

    def exits(self):
        return None

    def stop(self):
        if self.lines is not None:
            self.lines.stop()
            self.lines = None

    def wait_ready(self):
        try:
            self.lines.wait_for(READY, BOOT_SECONDS)
        except TrialError as e:
            raise TrialError(f"{e}\n{self.tail()}") from e

    def tail(self):
        return ""


class VmRun(Guest):
    """Through the daemon, as an operator does."""

    def __init__(self, folder, name, image, ports, extra=()):
        self.name = name
        pin = f", pin: {list(image.pin)}" if image.pin else ""
        file = folder / f"{name}.yaml"
        file.write_text("\n".join([
            f"name: {name}", f"memory: {{size: {image.memory_mib}M}}", f"cpus: {{count: {image.vcpus}{pin}}}", "virtio_console: true",
            f"boot: {{kernel: {image.kernel}, initrd: {image.initrd}, cmdline: {image.cmdline}}}",
            *(["ports:", *(f"  - {{{port}}}" for port in ports)] if ports else []), *extra]) + "\n", encoding="utf-8")
        with held(f"the guest {name} runs"):  # a start that is not waited for would come true behind us
            try:
                viaduct("vm", "run", file)
            except NoAnswer:
                vm_delete(name)
                raise
        try:
            self.shown = viaduct("vm", "show", name)
            self.lines = console_at(f"the guest {name}", viaduct("vm", "console", name, "--port", "hvc0")["socket"])
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def tail(self):
        with contextlib.suppress(OSError, KeyError, AttributeError):
            folder = pathlib.Path(self.shown["log"]).parent
            return "\n".join(f"{path}: {path.read_text('utf-8', 'replace')[-800:]}" for path in sorted(folder.glob("*.log")))
        return ""

    def stats(self):
        return viaduct("vm", "stats", self.name)

    def exits(self):
        return polling_exits(self.stats()["kvm"]["vcpus"])

    def stop(self):
        super().stop()
        vm_delete(self.name)


class VmmAlone(Guest):
    """viaduct-vmm on a backend of ours. ports: (network, MAC)."""

    def __init__(self, folder, name, image, pmd, ports):
        self.folder, self.name = folder, name
        self.vmm = Vmm(folder, name, [mac for _, mac in ports], image)
        try:
            for path, (network, mac) in zip(self.vmm.vhosts, ports):
                pmd.port_add(name, path, mac, network)
            self.lines = console_at(f"the guest {name}", self.vmm.hvc0)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def tail(self):
        with contextlib.suppress(OSError):
            return (self.folder / f"{self.name}.log").read_text("utf-8", "replace")[-1500:]
        return ""

    def exits(self):
        return polling_exits(self.vmm.exits())

    @property
    def process(self):
        return self.vmm.process

    def stop(self):
        super().stop()
        self.vmm.stop()


def vcpu_pin(process, number, cpu):
    """The thread that is QEMU's vCPU of that number, and no other: so viaduct pins its own. TrialError: there is none."""
    name = VCPU_THREAD.format(number)
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        for comm in pathlib.Path(f"/proc/{process.pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):  # threads end
                if comm.read_text().strip() == name:
                    os.sched_setaffinity(int(comm.parent.name), {cpu})
                    return
        if process.poll() is not None or time.monotonic() > deadline:
            raise TrialError(f"QEMU has no thread {name!r}: its vCPU cannot be pinned")
        time.sleep(0.05)


class Qemu(Guest):
    """QEMU's q35 with KVM on the same backend: kernel, image, memory and port are the same."""

    def __init__(self, folder, name, image, pmd, ports):
        [(network, mac)] = ports
        self.log = folder / f"{name}.log"
        vhost, hvc0, qmp = (folder / f"{name}.{what}" for what in ("vhost", "hvc0", "qmp"))
        self.qmp = None
        size = f"{image.memory_mib}M"
        with open(self.log, "ab") as out:
            try:
                self.process = subprocess.Popen([
                    "qemu-system-x86_64", "-name", "bench,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                    "-machine", "q35,accel=kvm", "-cpu", "host", "-smp", str(image.vcpus), "-m", size,
                    "-object", f"memory-backend-memfd,id=m,size={size},share=on", "-numa", "node,memdev=m",
                    "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", image.cmdline, "-serial", "stdio",
                    "-chardev", f"socket,id=v,path={vhost},server=on,wait=on", "-netdev", "vhost-user,id=n,chardev=v,queues=1",
                    "-device", f"virtio-net-pci,netdev=n,mac={mac},romfile=,disable-legacy=on,mq=off,packed=on",
                    "-chardev", f"socket,id=h,path={hvc0},server=on,wait=off", "-device", "virtio-serial-pci",
                    "-device", "virtconsole,chardev=h", "-qmp", f"unix:{qmp},server=on,wait=off"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                    preexec_fn=with_us(signal.SIGKILL))
            except OSError as e:
                raise BenchError(f"QEMU cannot be run: {e}; leave out --against qemu") from e
        try:
            pmd.port_add(name, vhost, mac, network)
            self.lines = console_at(f"the guest {name}", hvc0)
            self.qmp = Qmp(qmp)
            for number, cpu in enumerate(image.pin):
                vcpu_pin(self.process, number, cpu)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def tail(self):
        with contextlib.suppress(OSError):
            return self.log.read_text("utf-8", "replace")[-1500:]
        return ""

    def exits(self):
        found = sorted(self.qmp.ask("query-stats", target="vcpu"), key=lambda vcpu: int(re.search(r"(\d+)\D*$", vcpu["qom-path"]).group(1)))
        return polling_exits([{row["name"]: row["value"] for row in vcpu["stats"] if isinstance(row["value"], int)} for vcpu in found])

    def stop(self):
        super().stop()
        if self.qmp is not None:
            self.qmp.close()
        self.process.kill()
        self.process.wait()

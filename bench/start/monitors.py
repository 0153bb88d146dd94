# SPDX-License-Identifier: BSD-3-Clause
"""The monitors under test: each starts the same guest and says when its console showed what.

Times are CLOCK_MONOTONIC of the virtual host, counted from the monitor's exec: for QEMU just before the
fork, for viaduct-vmm the start of its process (/proc/PID/stat, 10 ms ticks, rounded down)."""

import dataclasses
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import time

from operate.viaduct import cli, cli_json

INIT = "VIADUCT-GUEST init"  # the first thing that the guest's init does
READY = "VIADUCT-GUEST ready"  # and when the drivers of its devices are loaded, with seconds since the kernel began
UPTIME = re.compile(READY + r" ([0-9]+\.[0-9]+)\s")
CMDLINE = "console=ttyS0 quiet mitigations=off"
MEM_MIB = 512
QEMU = "qemu-system-x86_64"
OVMF_CODE = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = pathlib.Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
TIMEOUT_S = 300


class StartError(Exception):
    """A guest that did not come up; the text says which and how its console ends."""


@dataclasses.dataclass
class Guest:
    """What is started, the same for all monitors: one vCPU, MEM_MIB of memory."""
    kernel: pathlib.Path
    initrd: pathlib.Path
    folder: pathlib.Path  # for VM files
    pf: str  # its first VF is viaduct's
    qemu_vf: str  # its second VF, bound to vfio-pci
    has_vf: bool
    has_firmware: bool = False  # stock OVMF starts the kernel; its variables are those of the round before


@dataclasses.dataclass
class Start:
    """Seconds from the monitor's exec to the guest's init and to its drivers loaded."""
    init: float
    ready: float
    private_kib: int  # anonymous memory of the monitor; guest RAM of viaduct is shared memory
    run: float = 0  # from `viaduct vm run` to the guest's init
    steps: dict = dataclasses.field(default_factory=dict)
    page_bytes: int = 0
    entry: float = 0  # seconds to the kernel's own zero of time


class Watch:
    """Reads a console and notes when each mark was first seen."""

    def __init__(self, fd):
        self.fd = fd
        self.text = ""
        self.at = {}
        self.end = time.monotonic() + TIMEOUT_S

    def read_until_ready(self):
        while not UPTIME.search(self.text):
            left = self.end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise StartError(f"no {READY!r} in {TIMEOUT_S} s; the console ends with:\n{self.text[-800:]}")
            data = os.read(self.fd, 65536)
            if not data:
                raise StartError(f"the guest ended before {READY!r}; its console:\n{self.text[-800:]}")
            now = time.monotonic()
            self.text += data.decode(errors="replace")
            for mark in (INIT, READY):
                if mark in self.text:
                    self.at.setdefault(mark, now)

    def times_since(self, began):
        """The fields of Start that all monitors have."""
        uptime = float(UPTIME.search(self.text).group(1))
        return {"init": self.at[INIT] - began, "ready": self.at[READY] - began, "entry": self.at[READY] - began - uptime}


def private_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise StartError(f"/proc/{pid}/status has no RssAnon")


def process_began(pid):
    """When the process began, on CLOCK_MONOTONIC."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ahead = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") - ahead


def _viaduct_file(guest, name):
    lines = [f"name: {name}", f"memory: {{size: {MEM_MIB}M}}",
             f"boot: {{kernel: {guest.kernel}, initrd: {guest.initrd}, cmdline: {CMDLINE}, ready: {INIT}}}"]
    if guest.has_firmware:
        lines[-1] = lines[-1][:-1] + ", firmware: ovmf}"
    if guest.has_vf:
        lines.append(f"ports: [{{name: wan, vf: '{guest.pf}#0'}}]")
    file = guest.folder / f"{name}.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def start_viaduct(guest):
    name = "bench-uefi" if guest.has_firmware else "bench"
    file = _viaduct_file(guest, name)
    asked = time.monotonic()
    cli("vm", "run", str(file), timeout=TIMEOUT_S)
    try:
        vm = cli_json("vm", "show", name)
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(vm["console"])
            watch = Watch(console.fileno())
            watch.read_until_ready()
        began = process_began(vm["pid"])
        vm = cli_json("vm", "show", name)
        return Start(**watch.times_since(began), private_kib=private_kib(vm["pid"]), run=watch.at[INIT] - asked,
                     steps={s["step"]: s["ns"] / 1e9 for s in vm["start_steps"]}, page_bytes=vm["page_size"])
    finally:
        cli("vm", "kill", name)


def _start_qemu(guest, *machine):
    command = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", *machine,
               "-cpu", "host", "-m", str(MEM_MIB), "-smp", "1", "-kernel", str(guest.kernel),
               "-initrd", str(guest.initrd), "-append", CMDLINE, "-serial", "stdio"]
    if guest.has_firmware:
        variables = guest.folder / "qemu-vars.fd"
        if not variables.exists():
            shutil.copy(OVMF_VARS, variables)
        command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                    "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
    if guest.has_vf:
        command += ["-device", f"vfio-pci,host={guest.qemu_vf}"]
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            watch = Watch(process.stdout.fileno())
            watch.read_until_ready()
            return Start(**watch.times_since(began), private_kib=private_kib(process.pid))
        finally:
            process.kill()


def start_q35(guest):
    return _start_qemu(guest, "-machine", "q35,accel=kvm")


def start_microvm(guest):
    return _start_qemu(guest, "-machine", "microvm,accel=kvm,acpi=on,pcie=on,rtc=on")


MONITORS = {"viaduct": start_viaduct, "qemu-q35": start_q35, "qemu-microvm": start_microvm}

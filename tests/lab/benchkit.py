# SPDX-License-Identifier: BSD-3-Clause
"""viaduct-reflect on the host and in a guest, for lab cases."""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess

from labkit import TOP, Guest, cli, cli_json
from operate.console import Console
from operate.viaduct import build_dir

READY = "VIADUCT-BENCH ready"
ANSWER = r"\{.*\}\n"
HOST_PAGES = 48  # of 2 MiB
MEMORY = "512M"
SYSFS = pathlib.Path("/sys/bus/pci")


class Asked:
    """One line, one answer."""

    def say(self, line):
        raise NotImplementedError

    def answer(self, op, **members):
        return json.loads(self.say(json.dumps({"op": op, **members}) + "\n"))

    def ask(self, op, **members):
        answer = self.answer(op, **members)
        assert answer.get("ok") is True, (op, members, answer)
        return answer

    @contextlib.contextmanager
    def running(self, mode="reflect", idle="poll"):
        self.ask("start", mode=mode, idle=idle, **{"from": "a"})
        yield self
        self.ask("stop")


class HostReflector(Asked):
    """On a VF that is leased and with vfio-pci; from a copy, since the first reading of a file takes long in deterministic time."""

    def __init__(self, pf, cpu):
        """cpu: the one that it polls on."""
        self.pages = pathlib.Path("/proc/sys/vm/nr_hugepages")
        self.had = self.pages.read_text(encoding="ascii")
        self.pages.write_text(str(HOST_PAGES), encoding="ascii")
        self.vf = cli_json("vf", "alloc", "--pf", pf, "--name", "bench")["address"]
        self.bind("vfio-pci")
        program = pathlib.Path("/dev/shm/viaduct-reflect")
        shutil.copy(build_dir() / "bench/reflect/viaduct-reflect", program)
        self.log = open("/tmp/viaduct-reflect.log", "w", encoding="utf-8")
        self.process = subprocess.Popen([program, "-m", "64", f"--lcores=0@0,1@{cpu}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def bind(self, driver):
        device = SYSFS / "devices" / self.vf
        if (device / "driver").exists():
            (device / "driver/unbind").write_text(self.vf, encoding="ascii")
        (device / "driver_override").write_text(driver or "\n", encoding="ascii")
        if driver:
            (SYSFS / "drivers_probe").write_text(self.vf, encoding="ascii")

    def say(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.log.close()
        self.bind(None)
        cli("vf", "release", "bench")
        self.pages.write_text(self.had, encoding="ascii")


class GuestReflector(Asked):
    """In a guest of bench/guest-image: lines on hvc0, commands on the serial console."""

    def __init__(self, guest):
        guest.console.wait_for(re.escape(READY) + r" hvc0\n", 120)
        self.console = Console(cli_json("vm", "console", guest.name, "--port", "hvc0")["socket"])
        self.console.wait_for(re.escape(READY) + r"\n", 60)

    def say(self, line):
        self.console.type(line)
        return self.console.wait_for(ANSWER, 120).group(0)

    def close(self):
        self.console.close()


def image(folder):
    """The guest's initramfs, made once per folder."""
    path = folder / "bench.cpio"
    if not path.exists():
        subprocess.run([TOP / "bench/guest-image", "-o", path], check=True)
    return path


def bench_guest(folder, name, pf, mac, like=None):
    """like: an Image, for its vCPUs and its kernel's words."""
    more = {"cpus": f"{like.vcpus}, pin: {list(like.pin)}", "cmdline": like.cmdline} if like else {}
    return Guest(folder, name, [f'name: wan, pf: "{pf}", mac: "{mac}"'], initrd=image(folder), memory=MEMORY,
                 extra=["virtio_console: true", "rng: false"], **more)

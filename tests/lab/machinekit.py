# SPDX-License-Identifier: BSD-3-Clause
"""Whole machines from a disk: stock Debian in stock OVMF, kept by the daemon (`vm create`)."""

import contextlib
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from labkit import PEER_IP, Failed, cli, cli_json, eventually, mac_of
from operate.console import Console

TOP = pathlib.Path(__file__).resolve().parents[2]
BOOT_S = 400  # of deterministic time: what it costs to read the host's own files is in it
UP, DOWN, ENTER = "\x1b[A", "\x1b[B", "\r"
VARIABLE = "/sys/firmware/efi/efivars/Lab-76696164-7563-7400-8000-000000000001"


def cached(what):
    done = subprocess.run([TOP / "lab/setup-cache", "--print", what], check=True, text=True, capture_output=True)
    return pathlib.Path(done.stdout.strip())


def debian_disk(out, entry="debian", wait=0):
    """A copy of the lab's Debian disk whose GRUB starts `entry` after `wait` seconds (-1: waits for a key)."""
    if not (cached("disk") / "disk.raw").exists():
        pytest.skip("the guests' Debian disk is not in the cache: scripts/setup builds it")
    subprocess.run([TOP / "lab/disk-image", "--entry", entry, "--wait", str(wait), "-o", out], check=True)
    return out


def debian_kernel():
    """(kernel, its release) of the lab's Debian disk."""
    folder = cached("disk")
    if not (folder / "vmlinuz").exists():
        pytest.skip("the guests' Debian disk is not in the cache: scripts/setup builds it")
    return folder / "vmlinuz", (folder / "release").read_text().strip()


class Machine:
    """A VM that is kept, with the Debian disk in memory; a context manager that leaves nothing behind."""

    def __init__(self, name, cpus=1, memory="1G", ports=(), entry="debian", wait=0, by_firmware=True):
        self.name = name
        # What is read over 9p costs seconds of an idle clock.
        self.folder = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.folder.chmod(0o755)
        self.disk = debian_disk(self.folder / "root.raw", entry, wait)
        self.file = self.folder / f"{name}.yaml"
        lines = [f"name: {name}", f"memory: {{size: {memory}}}", f"cpus: {{count: {cpus}}}",
                 self._boot(by_firmware), f"disks: [{{name: root, path: {self.disk}}}]"]
        if ports:
            lines += ["ports:", *(f"  - {{{port}}}" for port in ports)]
        self.file.write_text("\n".join(lines) + "\n")
        self.console = None

    def _boot(self, by_firmware):
        if by_firmware:
            return "boot: {firmware: ovmf, order: [root]}"
        for name in ("vmlinuz", "initrd"):
            shutil.copy(cached("disk") / name, self.folder)
        return (f"boot: {{kernel: {self.folder}/vmlinuz, initrd: {self.folder}/initrd, "
                'cmdline: "root=LABEL=viaduct-root ro console=ttyS0 quiet lab.loader=none"}')

    def __enter__(self):
        cli("vm", "create", str(self.file))
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            log = pathlib.Path(f"/run/viaduct/vm/{self.name}/vmm.log")
            print(f"{log}:", log.read_text("utf-8", "replace")[-4000:] if log.exists() else "none")
            print("console:", self.console.text[-3000:] if self.console else "none")
        self._hang_up()
        with contextlib.suppress(Failed):
            cli("vm", "delete", self.name, "--force")
        shutil.rmtree(self.folder)

    def _hang_up(self):
        if self.console:
            self.console.close()
            self.console = None

    def start(self):
        """Starts it with its console watched from the first byte that is kept."""
        self._hang_up()
        cli("vm", "start", self.name, timeout=300)
        self.console = Console(cli_json("vm", "console", self.name)["socket"])

    def login(self):
        self.console.login(BOOT_S)

    def run(self, command, timeout=120):
        return self.console.check(command, timeout)

    def send(self, command):
        """A command after which the guest does not answer any more."""
        self.console.type(f"T0\n{command}\n")

    def show(self):
        return cli_json("vm", "show", self.name)

    def power_off(self):
        """From inside; waits for the end and returns what the daemon says of it."""
        self.send("poweroff")
        eventually(lambda: self.show()["pid"] is None, "the end of the VM", BOOT_S)
        return self.show()["exit"]


DEVICE = "basename $(dirname $(ls -d /sys/class/net/*/device))"


def uses_network(vm, number):
    """The VF of machine `number` has its MAC, and reaches the far end."""
    device = vm.run(DEVICE).strip()
    assert vm.run(f"cat /sys/class/net/{device}/address").strip() == mac_of(number)
    vm.console.network_up(device, f"10.77.0.{number}")
    assert vm.console.ping_loss(PEER_IP, 3) == 0


def _by_menu(vm):
    """GRUB's menu waits: one down, and it starts what is there."""
    vm.console.wait_for("Debian, second entry", BOOT_S)
    vm.console.wait_for(r"memtest86\+", BOOT_S)
    vm.console.type(DOWN)
    vm.console.type(ENTER)
    vm.login()
    assert "lab.loader=grub-second" in vm.run("cat /proc/cmdline").split()


def _by_systemd_boot(vm):
    """GRUB's menu starts systemd-boot, whose menu starts the entry that it would not by itself."""
    vm.console.wait_for("Debian, second entry", BOOT_S)
    vm.console.wait_for(r"memtest86\+", BOOT_S)
    vm.console.type(DOWN + DOWN)
    vm.console.type(ENTER)
    vm.console.wait_for("systemd-bootx64", BOOT_S)
    shown = [vm.console.wait_for("Debian(, second| by systemd-boot)", BOOT_S).group(1) for _ in range(2)]
    assert sorted(shown) == [" by systemd-boot", ", second"]
    vm.console.type(UP if shown[0] == ", second" else DOWN)
    vm.console.type(ENTER)
    vm.login()
    assert "lab.loader=systemd-boot-second" in vm.run("cat /proc/cmdline").split()


def _write_variable(vm):
    folder = VARIABLE.rpartition("/")[0]
    vm.run(f"mountpoint -q {folder} || mount -t efivarfs none {folder}")
    vm.run(f"printf '\\007\\000\\000\\000kept' >{VARIABLE}")


def _has_variable(vm):
    assert vm.run(f"cat {VARIABLE} | tail -c +5") == "kept"  # efivarfs cannot seek


def stock_debian(pf, number):
    """From the disk by OVMF and GRUB, whose menu answers keys on the serial port, with a VF; through a reboot, a power off
    and a start, which goes by systemd-boot. A variable of the firmware's outlives all of it."""
    begin = time.monotonic()
    with Machine(f"debian{number}", cpus=2, ports=[f'name: wan, pf: "{pf}", mac: "{mac_of(number)}"'], wait=-1) as vm:
        vm.start()
        _by_menu(vm)
        assert vm.run("nproc").strip() == "2"
        print(f"login {time.monotonic() - begin:.1f} s after its disk was asked for")
        assert vm.run("cat /sys/class/dmi/id/product_uuid").strip().lower() == vm.show()["firmware"]["uuid"]
        uses_network(vm, number)
        _write_variable(vm)
        begin = time.monotonic()
        vm.send("reboot")
        _by_menu(vm)
        print(f"login again {time.monotonic() - begin:.1f} s after `reboot`")
        _has_variable(vm)
        uses_network(vm, number)
        assert vm.power_off()["reason"] == "poweroff"
        vm.start()
        _by_systemd_boot(vm)
        _has_variable(vm)
        assert vm.show()["disks"][0]["vmm"]["reconnects"] == 0
        assert vm.power_off()["reason"] == "poweroff"


# The clocks of the emulator's processors differ, so nothing of unstable ones.
COMPLAINTS = "BIOS bug|firmware bug|ACPI.*error|no compatible bridge window|BAR.*failed|not reserved|call trace|lockup"


def kernel_facts(guest):
    """What a guest with busybox says of its machine."""
    ranges = [line.split(" : ")[0].strip().split("-")
              for line in guest.run("grep 'System RAM' /proc/iomem").splitlines() if not line.startswith(" ")]
    return {"release": guest.run("uname -r").strip(), "cpus": int(guest.run("grep -c ^processor /proc/cpuinfo")),
            "mib": int(guest.run("sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo")) >> 10,
            "above_4g": sum(int(end, 16) + 1 - int(start, 16) for start, end in ranges if int(start, 16) >= 1 << 32),
            "complaints": guest.run(f"dmesg | grep -iE '{COMPLAINTS}' || true").strip()}


@contextlib.contextmanager
def set_firmware(daemon, which):
    """The daemon with OVMF of "this" Debian or of the "next" one."""
    if which == "this":
        yield
        return
    code = cached("ovmf") / "OVMF_CODE_4M.fd"
    if not code.exists():
        pytest.skip("the next Debian's ovmf is not in the cache: scripts/setup fetches it")
    with tempfile.NamedTemporaryFile("w", dir="/dev/shm", suffix=".yaml") as file:
        file.write(f"firmware: {shutil.copy(code, '/dev/shm')}\n")
        file.flush()
        shutil.copy(code.with_name("OVMF_VARS_4M.fd"), "/dev/shm")
        before, daemon.config = daemon.config, file.name
        daemon.restart(signal.SIGTERM)
        try:
            yield
        finally:
            daemon.config = before
            daemon.restart(signal.SIGTERM)

# SPDX-License-Identifier: BSD-3-Clause
"""A block device of the host as the disk of a VM: what its guest sees of it and of its growth. Which devices may be disks, and
who else has them: tests/component/test_block_devices.py."""

import contextlib
import os
import signal
import subprocess

import pytest
from labkit import Guest, cli, cli_json, eventually, refused, vmfile
from test_vm_disks import backend_pid

MIB = 1 << 20


def run(*argv):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def in_use(device):
    """Would who wants it for himself alone be refused?"""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return True
    return False


@pytest.fixture
def loop(tmp_path):
    """(device, file) of 16 MiB."""
    run("modprobe", "loop")
    file = tmp_path / "backing"
    file.touch()
    os.truncate(file, 16 * MIB)
    device = run("losetup", "--show", "-f", file)
    yield device, file
    run("losetup", "-d", device)


@contextlib.contextmanager
def allowed(daemon, path, device):
    path.write_text(f"block_devices: [{device}]\n")
    daemon.config = path
    daemon.restart()
    try:
        yield
    finally:
        daemon.config = None
        daemon.restart()


@pytest.mark.timeout(600)
def test_a_block_device_is_a_disk(daemon, loop, folder, tmp_path):
    device, file = loop
    extra = [f"disks: [{{path: {device}, name: root}}]"]
    path = vmfile.write(folder, "blocky", extra=extra, memory="256M")
    assert f"block_devices: [{device}]" in refused("vm", "run", str(path))
    with allowed(daemon, tmp_path / "viaductd.yaml", device):
        with open(device, "r+b") as out:
            out.write(b"first".ljust(512, b"\0"))
            os.fsync(out.fileno())
        with Guest(folder, "blocky", extra=extra) as vm:
            device_is_the_guests(vm, device, file)
            device_grows(vm, device, file)
            vm.run("! dmesg | grep -iE 'I/O error|Buffer I/O'")
        eventually(lambda: not in_use(device), "that the device is free again")


class Frail:
    """A device-mapper disk whose storage can go and come back. No udev: its tools make the node themselves."""

    PATH = "/dev/mapper/frail"

    def __init__(self, below):
        self.good = f"0 {16 * MIB // 512} linear {below} 0"
        self.dmsetup("create", "--table", self.good)

    def dmsetup(self, verb, *words):
        subprocess.run(["dmsetup", verb, "frail", *words], check=True, env={**os.environ, "DM_DISABLE_UDEV": "1"})

    def become(self, table):
        self.dmsetup("load", "--table", table)
        self.dmsetup("suspend", "--noflush")
        self.dmsetup("resume")

    def break_down(self):
        self.become(f"0 {16 * MIB // 512} error")

    def mend(self):
        self.become(self.good)


@pytest.fixture
def frail(loop):
    run("modprobe", "dm-mod")
    made = Frail(loop[0])
    yield made
    made.dmsetup("remove")


def fsync_fails(vm):
    said = vm.run("echo lost | dd of=/dev/vda bs=4096 conv=sync,fsync 2>/dev/null && echo stored || echo refused")
    # Its kernel's words about it come to the same console.
    assert ("stored" in said) != ("refused" in said), said
    return "refused" in said


@pytest.mark.timeout(600)
def test_what_the_page_cache_lost_is_never_said_to_be_stored(daemon, frail, folder, tmp_path):
    """The kernel reports a failed write once, to whoever had the file open then; a backend that starts later would not hear of it."""
    extra = [f"disks: [{{path: {Frail.PATH}, name: root, cache: buffered}}]"]
    with allowed(daemon, tmp_path / "viaductd.yaml", Frail.PATH):
        with Guest(folder, "frail", extra=extra) as vm:
            assert not fsync_fails(vm)
            frail.break_down()
            assert fsync_fails(vm)
            frail.mend()
            eventually(lambda: cli_json("disk", "show", "frail/root")["flush_failed"], "what the daemon knows")
            os.kill(backend_pid(), signal.SIGKILL)
            eventually(lambda: vm.show()["disks"][0]["vmm"]["reconnects"] == 1, "the next backend")
            assert fsync_fails(vm)
            found = next(a for a in cli_json("alarms")["alarms"] if a["kind"] == "disk-errors")
            assert found["object"] == "frail/root" and "until the VM is started again" in found["text"]
        with Guest(folder, "frail", extra=extra) as vm:
            assert not fsync_fails(vm)


def device_is_the_guests(vm, device, file):
    vm.run(f"[ $(cat /sys/block/vda/size) = {16 * MIB // 512} ] && dd if=/dev/vda bs=5 count=1 2>/dev/null | grep -q first")
    vm.run("echo second | dd of=/dev/vda bs=512 seek=1 conv=sync,fsync 2>/dev/null")
    assert file.read_bytes()[512:518] == b"second"
    # Nobody mounts it, formats it or puts it into a RAID meanwhile.
    assert in_use(device)
    with pytest.raises(subprocess.CalledProcessError):
        run("mke2fs", "-q", device)


def device_grows(vm, device, file):
    """By its own tools; then its guest is told."""
    assert "only its own tools" in refused("disk", "resize", "blocky/root", "32M")
    os.truncate(file, 32 * MIB)
    run("losetup", "-c", device)
    cli("disk", "resize", "blocky/root")
    grown = f"[ $(cat /sys/block/vda/size) = {32 * MIB // 512} ]"
    vm.run(f"for i in 1 2 3 4 5; do {grown} && break; sleep 1; done; {grown}")
    vm.run("echo behind | dd of=/dev/vda bs=1M seek=31 conv=sync,fsync 2>/dev/null")
    with open(file, "rb") as now:
        now.seek(31 * MIB)
        assert now.read(6) == b"behind"

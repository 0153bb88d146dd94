# SPDX-License-Identifier: BSD-3-Clause
"""Block devices as disks: loop devices, by the real viaductd and viaduct-pmd. A guest that has one: tests/lab/test_block_devices.py."""

import contextlib
import os
import signal
import stat
import subprocess

import pytest
from daemonkit import eventually
from disk_front import SECTOR
from test_vm_disks import MIB, UIDS, disk, host  # noqa: F401


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
def loop(host):  # noqa: F811
    """(device, file) of 8 MiB."""
    file = host.image("backing")
    try:
        device = run("losetup", "--show", "-f", file)
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"no loop device can be had here: {e}")
    yield device, file
    host.kill_all()
    assert eventually(lambda: not in_use(device)), "the device is not free again"
    run("losetup", "-d", device)


def allow(host, what):  # noqa: F811
    host.daemon.stop()
    host.daemon.config.write_text(f"{UIDS}block_devices: [{what}]\n")
    host.daemon.start()


def test_only_devices_of_the_list_are_disks(host, loop):  # noqa: F811
    device, _ = loop
    for text in (None, "/dev/vg0/*", "/dev/loo?", f"{device}x"):
        if text:
            allow(host, text)
        error = host.refused(disks=disk(device))
        assert error["code"] == "device-not-allowed" and f"block_devices: [{device}]" in error["hint"], (text, error)
    allow(host, "/dev/loop*")
    # What leads to one is none of the list; what lies there and is no block device is none, whatever it is called.
    link = host.folder / "link"
    link.symlink_to(device)
    assert host.refused(disks=disk(link))["code"] == "symlink"
    tty = host.folder / "loop-tty"
    os.mknod(tty, stat.S_IFCHR | 0o600, os.makedev(5, 0))
    allow(host, tty)
    assert host.refused(disks=disk(tty))["code"] == "image-kind"
    assert host.daemon.request("GET", "/v1/vms")[1]["vms"] == [] and not in_use(device)


def test_a_device_that_the_host_uses_is_refused(host, loop):  # noqa: F811
    device, _ = loop
    allow(host, device)
    run("mke2fs", "-q", device)
    mounted = host.folder / "mounted"
    mounted.mkdir()
    run("mount", device, mounted)
    try:
        for more in ("", ", readonly: true"):
            error = host.refused(disks=disk(device, more=more))
            assert error["code"] == "device-busy" and f"lsblk {device}" in error["hint"], error
    finally:
        run("umount", mounted)
    fd = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        assert host.refused(disks=disk(device))["code"] == "device-busy"
    finally:
        os.close(fd)
    host.ok(disks=disk(device))


def test_a_device_is_its_vms_alone_through_kills(host, loop):  # noqa: F811
    device, _ = loop
    allow(host, device)
    vm = host.ok(disks=disk(device))
    assert vm["disks"][0]["size"] == 8 * MIB
    assert in_use(device)
    with pytest.raises(subprocess.CalledProcessError):
        run("mke2fs", "-q", device)
    assert "vm1/root" in host.refused("vm2", disks=disk(device))["text"]
    assert host.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    os.kill(host.pmd_pid(), signal.SIGKILL)
    assert eventually(lambda: host.pmd_pid() is None) and in_use(device)
    host.daemon.start()
    assert eventually(lambda: "vm1/root" in host.served()), host.daemon.text()
    assert host.holds(host.pmd_pid(), device) and in_use(device)


def test_what_is_written_is_on_the_device_and_it_grows(host, loop):  # noqa: F811
    device, file = loop
    allow(host, device)
    host.ok(disks=disk(device))
    with host.front() as front:
        front.write(1, b"first".ljust(SECTOR, b"\0"))
        assert front.read(1, SECTOR)[:5] == b"first"
        front.flush()
        assert file.read_bytes()[SECTOR:SECTOR + 5] == b"first"
        said = host.daemon.cli("disk", "resize", "vm1/root", "16M")
        assert said.returncode != 0 and "only its own tools" in said.stderr, said
        os.truncate(file, 16 * MIB)
        run("losetup", "-c", device)
        assert host.daemon.cli("disk", "resize", "vm1/root").returncode == 0
        assert host.served()["vm1/root"]["size"] == host.vm()["disks"][0]["size"] == 16 * MIB
        front.write(15 * MIB // SECTOR, b"behind".ljust(SECTOR, b"\0"))
        with contextlib.suppress(OSError):
            run("blockdev", "--flushbufs", device)
        with open(file, "rb") as now:
            now.seek(15 * MIB)
            assert now.read(6) == b"behind"

# SPDX-License-Identifier: BSD-3-Clause
"""Disks of a VM file, by an operator's commands: what the guest has of them, and what is in the image when the backend or
the daemon has been killed."""

import os
import pathlib
import signal

import pytest
from labkit import Guest as Machine
from labkit import cli, cli_json, eventually, refused, vmfile

MIB = 1 << 20
BOOT_S = 240  # of a guest on a busy machine


class Guest(Machine):
    """One that may take its time, and whose disks are shown where it does not come up."""

    def __enter__(self):
        cli("vm", "run", str(self.file))
        try:
            self.connect()
            self.console.wait_ready(BOOT_S)
        except BaseException:
            print(cli("disk", "show", f"{self.name}/root"), pathlib.Path(f"/run/viaduct/pmd/disk-{self.name}/pmd.log").read_text())
            print(cli("vm", "show", self.name))
            self.__exit__(None, None, None)
            raise
        return self


def disk(name="disky/root"):
    return next(d for d in cli_json("disk", "list")["disks"] if f"{d['vm']}/{d['name']}" == name)


def backend_pid():
    """Of a viaduct-pmd that serves disks."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (path / "comm").read_text() == "viaduct-pmd\n" and "/pmd-disk-" in (path / "cgroup").read_text():
                return int(path.name)
        except OSError:
            continue
    return None


def image_make(path, size=16 * MIB):
    path.touch()
    os.truncate(path, size)
    return path


@pytest.mark.timeout(900)
def test_disks_of_a_vm_file(daemon, folder, tmp_path):
    root, fixed = image_make(tmp_path / "root.img"), image_make(tmp_path / "fixed.img", 4 * MIB)
    fixed.write_bytes(b"fixed" + bytes(4 * MIB - 5))
    disks = f"disks: [{{path: {root}, name: root, serial: s-1}}, {{path: {fixed}, name: fixed, readonly: yes}}]"
    with Guest(folder, "disky", extra=[disks]) as vm:
        vm.run("[ $(cat /sys/block/vda/serial) = s-1 ] && [ $(cat /sys/block/vdb/ro) = 1 ]")
        vm.run("dd if=/dev/vdb bs=5 count=1 2>/dev/null | grep -q fixed")
        vm.run("echo first | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null")
        assert root.read_bytes()[:5] == b"first"
        # Counted by viaduct-pmd, looked at once a second.
        eventually(lambda: disk()["state"] == "running" and disk()["stats"]["writes"] > 0, "a write that is counted")
        assert "disk root: 16 MiB" in cli("vm", "show", "disky")
        path = vmfile.write(folder, "second", extra=[f"disks: [{{path: {root}}}]"], memory="256M")
        assert "disky/root" in refused("vm", "run", str(path))

        # Whatever has the image's name now, and whoever is killed.
        kept = root.rename(tmp_path / "kept.img")
        image_make(root)
        first = backend_pid()
        os.kill(first, signal.SIGKILL)
        vm.run("echo second | dd of=/dev/vda bs=512 seek=1 conv=sync,fsync 2>/dev/null")
        assert kept.read_bytes()[512:518] == b"second" and root.read_bytes()[512:518] == bytes(6)
        eventually(lambda: backend_pid() not in (None, first), "the next backend")

        cli("disk", "resize", "disky/root", "32M")
        grown = f"[ $(cat /sys/block/vda/size) = {32 * MIB // 512} ]"
        vm.run(f"for i in 1 2 3 4 5; do {grown} && break; sleep 1; done; {grown}")
        cli("disk", "set", "disky/root", "iops=1000", "bandwidth=10M")
        assert disk()["iops"] == 1000
        vm.run("! dmesg | grep -iE 'I/O error|Buffer I/O'")
    eventually(lambda: backend_pid() is None, "the end of the backend that nobody needs")
    assert cli_json("disk", "list")["disks"] == []


@pytest.mark.timeout(900)
def test_two_vms_have_two_backends(daemon, folder, tmp_path):
    """One that stands still and is killed is nothing to the other VM, which writes meanwhile; its own goes on after it."""
    one, two = image_make(tmp_path / "one.img"), image_make(tmp_path / "two.img")
    with Guest(folder, "disky", extra=[f"disks: [{{path: {one}, name: root}}]"], memory="256M") as first, \
            Guest(folder, "disky2", extra=[f"disks: [{{path: {two}, name: root}}]"], memory="256M") as second:
        pids = [disk(f"{vm}/root")["backend"]["pid"] for vm in ("disky", "disky2")]
        assert pids[0] != pids[1]
        os.kill(pids[0], signal.SIGSTOP)
        first.run("(echo one | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null; touch /tmp/done) & true")
        second.run("echo two | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null")
        assert two.read_bytes()[:3] == b"two"
        eventually(lambda: disk()["backend"]["pid"] not in (None, pids[0]), "the next backend of the one that was silent")
        first.run("for i in 1 2 3 4 5 6 7 8 9; do [ -e /tmp/done ] && break; sleep 1; done; [ -e /tmp/done ]")
        assert one.read_bytes()[:3] == b"one" and disk("disky2/root")["backend"]["pid"] == pids[1]
        assert [vm.show()["disks"][0]["vmm"]["reconnects"] for vm in (second, first)] == [0, 1]
    eventually(lambda: backend_pid() is None, "the end of both")

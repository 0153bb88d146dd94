# SPDX-License-Identifier: BSD-3-Clause
"""VMs whose VFs get their memory through iommufd, on a host whose kernel has it; and type1 in the same place."""

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import pathlib
import re
import signal
import struct
import threading

import pytest
from labkit import SYSFS, Failed, Guest, cli, cli_json, eventually, mac_of, open_files, vfs
from test_audit import FOREIGN, MIB, audit, check_proven, of_vm

pytestmark = [pytest.mark.host("iommufd"), pytest.mark.timeout(400)]
SYS_PIDFD_GETFD = 438
IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP = 0x3B85, 0x3B86
MAP_FIXED_READ_WRITE = 7


def port(pf, n=1, name="wan"):
    return f'name: {name}, pf: "{pf}", mac: "{mac_of(n)}"'


def free(pf):
    return all(v["state"] == "free" for v in vfs(pf).values())


def group_errno(group):
    """0: nobody has it."""
    try:
        os.close(os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC))
    except OSError as e:
        return e.errno
    return 0


def check_custody(guest, api):
    """The VMM has what joins its kind of DMA space and nothing of the other; the daemon has kept no copy."""
    show = guest.show()
    assert show["dma"] == api and re.search(rf"^DMA through: +{api}$", cli("vm", "show", guest.name), re.M)
    held = sorted({f for f in open_files(show["pid"]) if f.startswith(("/dev/vfio", "/dev/iommu"))})
    files = sorted(f"/dev/vfio/devices/{f.name}" for p in show["ports"] for f in (SYSFS / p["vf"] / "vfio-dev").iterdir())
    groups = sorted(f"/dev/vfio/{p['iommu_group']}" for p in show["ports"])
    assert held == sorted(["/dev/iommu", *files] if api == "iommufd" else ["/dev/vfio/vfio", *groups]), held
    assert not [f for f in open_files(cli_json("version")["pid"]) if f.startswith(("/dev/vfio", "/dev/iommu"))]
    assert all(group_errno(p["iommu_group"]) == errno.EBUSY for p in show["ports"])


@contextlib.contextmanager
def foreign_page(pid):
    """A page of this process, reachable by the VM's functions at FOREIGN: what only root can do."""
    number = next(int(f.name) for f in pathlib.Path(f"/proc/{pid}/fd").iterdir() if os.readlink(f) == "/dev/iommu")
    pidfd = os.pidfd_open(pid)
    fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
    os.close(pidfd)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    page = mmap.mmap(-1, 4096)
    page[:4] = b"mine"
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))

    def mapped(ioas):
        try:
            fcntl.ioctl(fd, IOMMU_IOAS_MAP, struct.pack("<IIIIQQQ", 40, MAP_FIXED_READ_WRITE, ioas, 0, address, 4096, FOREIGN))
        except OSError:
            return False
        return True

    try:
        # Nothing but the IOAS of the VM takes a map; its number is among the first.
        ioas = next(n for n in range(16) if mapped(n))
        yield
        fcntl.ioctl(fd, IOMMU_IOAS_UNMAP, struct.pack("<IIQQ", 24, ioas, FOREIGN, 4096))
    finally:
        os.close(fd)


def test_a_vm_over_iommufd_is_proven_and_gives_back(pf, far, folder):
    try:
        reply = cli_json("host", "check")
    except Failed as failed:  # of the virtual host's other rows
        reply = json.loads(failed.out)
    rows = {c["id"]: c for c in reply["checks"]}
    assert rows["dma"]["status"] == "pass" and rows["dma"]["detail"].startswith("iommufd (dma: auto)"), rows["dma"]
    with Guest(folder, "one", [port(pf)], memory="256M") as guest:
        check_custody(guest, "iommufd")
        guest.network_up("10.77.0.2")
        assert guest.ping()
        check_proven(of_vm(audit("--vm", "one"), "one"), 256 * MIB)
        with foreign_page(guest.show()["pid"]):
            fn = of_vm(audit("--vm", "one"), "one")["functions"][0]
            assert (fn["verdict"], fn["code"], fn["iova"]) == ("violated", "foreign-page", hex(FOREIGN)), fn
        assert guest.ping()
        assert cli_json("vm", "stop", "one")["exit"]["reason"] == "poweroff"
        assert free(pf)


def test_two_functions_share_one_address_space(pf, far, folder):
    with Guest(folder, "two", [port(pf, 1), port(pf, 2, "lan")], memory="640M", extra=["test: {low_ram_limit: 256M}"]) as guest:
        check_custody(guest, "iommufd")
        guest.network_up("10.77.0.2")
        assert guest.ping()
        one = of_vm(audit("--vm", "two"), "two")
        assert one["verdict"] == "proven" and [f["bytes"] for f in one["functions"]] == [640 * MIB] * 2, one
        first, second = one["functions"]
        assert first["domain"] == second["domain"], one
    eventually(lambda: free(pf), "the VFs being free")


def test_a_killed_vmm_leaves_the_vf_usable(pf, far, folder, daemon):
    with Guest(folder, "victim", [port(pf)], memory="256M") as guest:
        group = guest.port()["iommu_group"]
        # A daemon that comes back finds the VM, and what it goes through.
        daemon.restart(signal.SIGKILL)
        check_custody(guest, "iommufd")
        os.kill(guest.show()["pid"], signal.SIGKILL)
        eventually(lambda: guest.show()["state"] in ("failed", "unknown"), "the VM being failed")
    eventually(lambda: free(pf), "the VF being free")
    assert group_errno(group) in (0, errno.ENOENT)
    with Guest(folder, "heir", [port(pf, 9)], memory="256M") as guest:
        check_custody(guest, "iommufd")
        guest.network_up("10.77.0.3")
        assert guest.ping()


def test_the_host_takes_the_vf_back(pf, folder):
    """Nobody blocks: the VMM lets the device file go as it lets a group go."""
    address = cli_json("pf", "show", pf)["address"]
    with Guest(folder, "evicted", [port(pf)], memory="256M") as guest:
        thread = threading.Thread(target=(SYSFS / address / "sriov_numvfs").write_text, args=("0",), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), "the write to sriov_numvfs still blocks after 30 s"
        eventually(lambda: not guest.console.network_devices(), "the guest's device being gone")
        assert guest.show()["state"] == "running"
        assert not [f for f in open_files(guest.show()["pid"]) if f.startswith("/dev/vfio")]
    cli("pf", "apply", pf, "--vfs", "2")
    assert free(pf)


def test_type1_can_be_forced_and_does_the_same(pf, far, folder, daemon):
    config = folder / "type1.yaml"
    config.write_text("dma: type1\n")
    before = daemon.config
    daemon.config = config
    try:
        daemon.restart(signal.SIGTERM)
        with Guest(folder, "old", [port(pf, 5)], memory="256M") as guest:
            check_custody(guest, "type1")
            guest.network_up("10.77.0.2")
            assert guest.ping()
            check_proven(of_vm(audit("--vm", "old"), "old"), 256 * MIB)
        eventually(lambda: free(pf), "the VF being free")
    finally:
        daemon.config = before
        daemon.restart(signal.SIGTERM)

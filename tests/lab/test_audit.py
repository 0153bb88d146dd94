# SPDX-License-Identifier: BSD-3-Clause
"""iommu audit: VMs are proven, a page mapped behind the VMM's back is found, and hosts that forbid it say so."""

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import pathlib
import struct

import pytest
from labkit import Failed, Guest, cli, cli_json, eventually

MIB = 1 << 20
FOREIGN = 0x2_0000_0000  # an address at which no guest here has anything
SYS_PIDFD_GETFD = 438
VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA = 0x3B71, 0x3B72


def audit(*args):
    """The reply of an audit, proven or not; its exit status says the same."""
    try:
        reply = cli_json("iommu", "audit", *args)
        status = 0
    except Failed as failed:
        status, reply = failed.status, json.loads(failed.out)
    assert (status == 0) == (reply["verdict"] == "proven"), reply
    return reply


def of_vm(reply, name):
    return next(a for a in reply["audits"] if a["vm"] == name)


def container_of(pid):
    """A second descriptor of the VMM's VFIO container: what only root can do."""
    fds = pathlib.Path(f"/proc/{pid}/fd")
    number = next(int(f.name) for f in fds.iterdir() if os.readlink(f) == "/dev/vfio/vfio")
    pidfd = os.pidfd_open(pid)
    try:
        fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
    finally:
        os.close(pidfd)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


@contextlib.contextmanager
def foreign_page(pid):
    """A page of this process, reachable by the VM's functions at FOREIGN."""
    fd = container_of(pid)
    page = mmap.mmap(-1, 4096)
    page[:4] = b"mine"
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    try:
        fcntl.ioctl(fd, VFIO_IOMMU_MAP_DMA, struct.pack("<IIQQQ", 32, 3, address, FOREIGN, 4096))
        yield
        fcntl.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, struct.pack("<IIQQ", 24, 0, FOREIGN, 4096))
    finally:
        os.close(fd)


def check_proven(one, size):
    assert one["verdict"] == "proven" and one["ram"] == size and one["text"] is None, one
    for fn in one["functions"]:
        pages = fn["pages"]
        assert fn["bytes"] == size == pages["4K"] * 4096 + pages["2M"] * 2 * MIB + pages["1G"] * 1024 * MIB, fn
        assert fn["stage"] == "second" and fn["port"] == "wan", fn


def alarms():
    return {(a["kind"], a["object"]) for a in cli_json("alarms")["alarms"]}


@pytest.mark.host("iomem-relaxed")
def test_two_vms_are_proven_and_a_foreign_page_is_found(daemon, pf, folder):
    with Guest(folder, "a", [f"name: wan, pf: {pf}"], memory="512M") as a, \
            Guest(folder, "b", [f"name: wan, pf: {pf}"], memory="256M"):
        a.network_up("10.77.0.2")
        reply = audit()
        first, second = of_vm(reply, "a"), of_vm(reply, "b")
        check_proven(first, 512 * MIB)
        check_proven(second, 256 * MIB)
        fn = first["functions"][0]
        assert 1 <= fn["interrupts"] <= fn["entries"]["remapped"], fn
        assert fn["domain"] != second["functions"][0]["domain"]
        with foreign_page(a.show()["pid"]):
            reply = audit()
            fn = of_vm(reply, "a")["functions"][0]
            assert fn["verdict"] == "violated" and fn["code"] == "foreign-page", fn
            assert fn["iova"] == hex(FOREIGN), fn
            check_proven(of_vm(reply, "b"), 256 * MIB)
            eventually(lambda: ("isolation-violated", "a") in alarms(), "the alarm")
            assert a.show()["audit"]["verdict"] == "violated"
        # The kernel keeps the table that it took the page from: all zero behind a present entry, so no longer proven.
        one = of_vm(audit("--vm", "a"), "a")
        assert one["verdict"] == "not-provable" and one["code"] == "table-zero", one
        assert ("isolation-violated", "a") in alarms()
        check_proven(of_vm(audit("--vm", "b"), "b"), 256 * MIB)
        print(cli("iommu", "audit", "--vm", "b"))
    eventually(lambda: ("isolation-violated", "a") not in alarms(), "the alarm's end")


def check_refused(daemon, pf, folder):
    with Guest(folder, "a", [f"name: wan, pf: {pf}"], memory="256M"):
        one = of_vm(audit("--vm", "a"), "a")
    assert one["verdict"] == "not-provable" and one["functions"] == [], one
    return one


def test_without_the_boot_option_nothing_is_provable(daemon, pf, folder):
    one = check_refused(daemon, pf, folder)
    assert one["code"] == "registers-closed" and "iomem=relaxed" in one["hint"], one


@pytest.mark.host("locked-down")
def test_a_locked_down_kernel_says_so(daemon, pf, folder):
    one = check_refused(daemon, pf, folder)
    assert one["code"] == "kernel-locked-down" and "lockdown" in one["hint"], one

# SPDX-License-Identifier: BSD-3-Clause
"""What the lab cases share: a daemon, the PFs, a peer, and guests that end with the case."""

import contextlib
import os
import pathlib
import struct
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "lab"), str(TOP / "bench")]

from operate import OperateError, peer, vmfile  # noqa: E402
from operate.console import Console  # noqa: E402
from operate.host import guest_kernel, host_irqs, igb_ports  # noqa: E402
from operate.viaduct import Daemon, Failed, cli, cli_json  # noqa: E402

__all__ = ["Daemon", "Failed", "Guest", "OperateError", "cli", "cli_json", "eventually", "host_irqs",
           "peer", "pvh_kernel", "refused", "vfs", "vmfile", "SYSFS", "PEER_IP"]

SYSFS = pathlib.Path("/sys/bus/pci/devices")
PEER_IP = "10.77.0.1"


def vfs(pf=None):
    """{address: VF} as the daemon lists them, of one PF or all."""
    return {v["address"]: v for v in cli_json("vf", "list")["vfs"] if pf in (None, v["pf_name"])}


def eventually(condition, what="the condition", timeout=60):
    """Waits for what another process, the kernel or a guest does when the machine lets it; a wait that comes true costs nothing."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {timeout} s")
        time.sleep(0.1)


def refused(*args, status=None):
    """Runs a viaduct command that must fail with one clear error; returns its text."""
    with pytest.raises(Failed) as info:
        cli(*args)
    if status is not None:
        assert info.value.status == status, info.value
    assert info.value.status in (1, 2), info.value
    lines = [line for line in info.value.err.splitlines() if line.strip()]
    assert lines and lines[0].startswith("viaduct: "), info.value.err
    return info.value.err


def pvh_kernel(path, code):
    """A kernel that is nothing but this code, entered in 32-bit mode without an IDT."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x1000000)
    at = 64 + 2 * 56
    notes = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(note), len(note), 4)
    load = struct.pack("<IIQQQQQQ", 1, 5, at + len(note), 0, 0x1000000, len(code), len(code), 1)
    path.write_bytes((header + notes + load + note + code).ljust(4096, b"\0"))
    return path


class Guest:
    """A running VM with its console; a context manager that leaves nothing behind. Its kernel need not unpack itself and its RAM is little,
    which saves a third of a start here. Kernels that unpack themselves: test_vmm.py, test_debian.py, test_firmware.py and the main job."""

    def __init__(self, folder, name, ports=(), **options):
        self.name = name
        self.file = vmfile.write(folder, name, ports, **{"kernel": guest_kernel("vmlinux"), "memory": "192M", **options})
        self.console = None

    def __enter__(self):
        cli("vm", "run", str(self.file))
        try:
            self.connect()
            self.console.wait_ready(90)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def connect(self):
        self.console = Console(cli_json("vm", "console", self.name)["socket"])

    def __exit__(self, *exc):
        if exc[0] is not None:
            log = pathlib.Path(f"/run/viaduct/vm/{self.name}/vmm.log")
            print(f"{log}:", log.read_text("utf-8", "replace")[-4000:] if log.exists() else "none")
        if self.console:
            self.console.close()
        with contextlib.suppress(Failed):
            cli("vm", "kill", self.name)

    def show(self):
        return cli_json("vm", "show", self.name)

    def port(self, index=0):
        return self.show()["ports"][index]

    def run(self, command, timeout=60):
        return self.console.check(command, timeout)

    def network_up(self, address, dev="eth0"):
        self.console.network_up(dev, address)

    def ping(self, address=PEER_IP, count=3):
        """True if every one of count pings was answered."""
        return self.console.ping_loss(address, count) == 0

    def interrupts(self, dev="eth0"):
        return self.console.interrupts(dev)


def mac_of(n):
    return f"02:76:69:61:00:{n:02x}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files that operators name must not sit behind a symbolic link or a private folder."""
    path = pathlib.Path("/tmp/lab-vms")
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session")
def daemon():
    d = Daemon()
    d.start()
    yield d
    d.stop()
    print(d.log_tail(60))


@pytest.fixture(scope="session")
def ports():
    """Names of the two 82576 PFs, both up with carrier."""
    names = igb_ports()
    assert len(names) == 2, names
    for name in names:
        peer.ip("link", "set", name, "up")
    for name in names:
        peer.wait_carrier(name)
    return names


@pytest.fixture(scope="session")
def far(ports):
    """The second PF in its own namespace, at the far end of the cable."""
    p = peer.Peer(ports[1], f"{PEER_IP}/24")
    p.wait_carrier()
    yield p
    p.close()


def tidy(pf):
    """What a case that failed has left costs the next one, and no more than that."""
    for vm in cli_json("vm", "list")["vms"]:
        with contextlib.suppress(Failed):
            cli("vm", "kill", vm["name"])
    for address, vf in vfs(pf).items():
        with contextlib.suppress(Failed):
            cli("vf", *(("release", vf["lease"]) if vf["lease"] else ("scrub", address)))


@pytest.fixture
def pf(daemon, ports):
    """The first PF with two free VFs, none of them bound to another owner."""
    name = ports[0]
    have = cli_json("pf", "show", name)
    if have["sriov"]["num_vfs"] != 2:
        cli("pf", "apply", name, "--vfs", "2")
        peer.wait_carrier(name)
    try:
        eventually(lambda: all(v["state"] == "free" for v in vfs(name).values()), "all VFs free")
    except AssertionError:
        tidy(name)
        raise
    yield name


def open_files(pid):
    return [os.readlink(f) for f in pathlib.Path(f"/proc/{pid}/fd").iterdir()]

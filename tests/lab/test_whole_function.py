# SPDX-License-Identifier: BSD-3-Clause
"""Whole functions in a guest: a NIC without SR-IOV and an NVMe controller, taken from the host and given back."""

import hashlib
import os
import pathlib
import random
import signal
import subprocess

import pytest
from labkit import SYSFS, Guest, cli, cli_json, eventually, host_irqs, peer, refused

GATEWAY = "10.0.2.2"  # of the network outside
MIB = 1 << 20


def find(driver):
    """The only function with this driver and without VFs."""
    found = [p.parent.name for p in SYSFS.glob("*/driver") if p.resolve().name == driver]
    assert len(found) == 1, found
    return found[0]


def driver(address):
    link = SYSFS / address / "driver"
    return link.resolve().name if link.exists() else None


def function(address):
    return cli_json("function", "show", address)


def entry(name, address, take=False):
    return [f'functions: [{{name: {name}, address: "{address}"{", take: true" if take else ""}}}]']


def is_hosts(address, name):
    """The host's driver has it, and nothing of viaduct's is left."""
    now = function(address)
    assert driver(address) == name == now["driver"] and now["state"] == "host" and now["owner"] is None, now
    assert (SYSFS / address / "driver_override").read_text().strip() == "(null)"


@pytest.fixture
def nic(daemon):
    """The 82574L, up as the lab leaves it, and again so afterwards: the lab has no udev to name it."""
    address = find("e1000e")
    [name] = os.listdir(SYSFS / address / "net")
    yield address, name
    eventually(lambda: (SYSFS / address / "net").is_dir(), "the NIC's network device")
    [now] = os.listdir(SYSFS / address / "net")
    if now != name:
        peer.ip("link", "set", now, "name", name)
    peer.ip("link", "set", name, "up")


@pytest.fixture
def disk(daemon):
    address = find("nvme")
    yield address, block(address)


def block(address):
    """The NVMe controller's block device, once it is there."""
    ctrl = SYSFS / address / "nvme"

    def look():
        heads = [p for p in pathlib.Path("/sys/class/block").glob("nvme*n*")
                 if ctrl.is_dir() and not (p / "partition").exists() and "c" not in p.name]
        return heads[0] if heads else None

    eventually(look, "the NVMe namespace")
    return pathlib.Path("/dev") / look().name


def outside(guest):
    """An address by DHCP, and an answer from the gateway."""
    guest.run("ip link set eth0 up; n=0; until [ \"$(cat /sys/class/net/eth0/carrier)\" = 1 ]; do n=$((n+1)); "
              "[ $n -lt 100 ] || exit 1; usleep 100000; done", 30)
    lease = guest.run("udhcpc -i eth0 -n -q -t 10 -s /bin/true 2>&1", 60)
    assert f"from {GATEWAY}" in lease or "obtained" in lease, lease
    guest.run("ip addr add 10.0.2.15/24 dev eth0 2>/dev/null || true")
    return guest.ping(GATEWAY)


def test_nic_without_sriov(nic, folder):
    address, name = nic
    text = refused("vm", "run", str(Guest(folder, "nic", extra=entry("out", address)).file))
    # Up, with an address or the way out: whatever the network outside has told it by now.
    assert "the host uses it: " in text and name in text and "take: true" in text
    is_hosts(address, "e1000e")

    with Guest(folder, "nic", extra=entry("out", address, take=True)) as guest:
        assert guest.console.network_devices() == ["eth0"] and guest.console.driver("eth0") == "e1000e"
        assert outside(guest)
        [out] = guest.show()["functions"]
        assert out["address"] == address and out["kind"] == "network" and out["host_driver"] == "e1000e"
        assert out["host_name"] == name and out["bus_mastering"] and out["vectors"] >= 2
        assert out["interrupts"] > 0 and host_irqs(address)[1].startswith("IR-")
        now = function(address)
        assert now["state"] == "assigned" and now["owner"] == "nic/out" and now["driver"] == "vfio-pci"
        assert not now["assignable"] and "nic/out has it" in now["reason"]
        text = refused("vm", "run", str(Guest(folder, "other", extra=entry("out", address, take=True)).file))
        assert "nic/out has it" in text and "viaduct vm stop nic" in text

        guest.console.sock.sendall(b"T0\nreboot -f\n")
        guest.console.wait_ready(150)
        assert outside(guest)
        assert cli_json("vm", "stop", "nic")["exit"]["reason"] == "poweroff"
    is_hosts(address, "e1000e")
    assert os.listdir(SYSFS / address / "net")


def test_nvme_controller(disk, folder):
    address, dev = disk
    data = random.randbytes(4 * MIB)
    dev.write_bytes(data)
    with Guest(folder, "store", extra=entry("disk", address)) as guest:
        assert not dev.exists()
        dev_name = "/dev/nvme0n1"
        said = guest.run(f"dd if={dev_name} bs=1M count=4 2>/dev/null | sha256sum", 90)
        assert said.split()[0] == hashlib.sha256(data).hexdigest()
        wrote = guest.run(f"dd if=/dev/urandom of=/tmp/x bs=1M count=4 2>/dev/null; sha256sum /tmp/x; "
                          f"dd if=/tmp/x of={dev_name} bs=1M seek=8 conv=fsync 2>/dev/null", 90).split()[0]
        [out] = guest.show()["functions"]
        assert out["kind"] == "nvme" and out["interrupts"] > 0 and out["vectors"] >= 2
        guest.console.sock.sendall(b"T0\nreboot -f\n")
        guest.console.wait_ready(150)
        said = guest.run(f"dd if={dev_name} bs=1M skip=8 count=4 2>/dev/null | sha256sum", 90)
        assert said.split()[0] == wrote
        assert cli_json("vm", "stop", "store")["exit"]["reason"] == "poweroff"
    is_hosts(address, "nvme")
    with open(block(address), "rb") as f:
        f.seek(8 * MIB)
        assert hashlib.sha256(f.read(4 * MIB)).hexdigest() == wrote


def test_what_the_host_needs_is_not_taken(disk, folder):
    address, dev = disk
    file = Guest(folder, "store", extra=entry("disk", address, take=True)).file
    subprocess.run(["mkswap", str(dev)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", str(dev)], check=True)
    try:
        for verb in ("check", "run"):
            text = refused("vm", verb, str(file))
            assert f"{dev.name} is swap" in text and f"swapoff {dev}" in text
        assert not function(address)["assignable"]
    finally:
        subprocess.run(["swapoff", str(dev)], check=True)
    # Held by somebody whom no list names: a loop device's claim, a mount in another namespace.
    holder = os.open(dev, os.O_RDONLY | os.O_EXCL)
    try:
        assert f"{dev.name} is in use" in refused("vm", "run", str(file))
    finally:
        os.close(holder)
    is_hosts(address, "nvme")
    assert "viaduct vm" not in cli("vm", "check", str(file))


def test_pf_with_vfs_and_vfs_are_refused(pf, disk, folder):
    address = cli_json("pf", "show", pf)["address"]
    text = refused("vm", "run", str(Guest(folder, "bad", extra=entry("x", address, take=True)).file))
    assert "PF with 2 VFs" in text and f"viaduct pf apply {address} --vfs 0" in text
    vf = cli_json("vf", "list")["vfs"][0]
    text = refused("vm", "run", str(Guest(folder, "bad", extra=entry("x", vf["address"])).file))
    assert "not a whole function" in text and vf["id"] in text
    bridge = next(p.name for p in SYSFS.iterdir() if (p / "class").read_text().startswith("0x0604"))
    assert "bridge" in refused("vm", "run", str(Guest(folder, "bad", extra=entry("x", bridge)).file))
    assert "no PCI address" in refused("vm", "check", str(Guest(folder, "bad", extra=entry("x", "nvme0")).file))


def test_given_back_after_a_killed_vmm(nic, folder):
    address, _ = nic
    with Guest(folder, "victim", extra=entry("out", address, take=True)) as guest:
        assert outside(guest)
        os.kill(guest.show()["pid"], signal.SIGKILL)
        eventually(lambda: guest.show()["state"] in ("failed", "unknown"), "the VM being failed")
    is_hosts(address, "e1000e")
    assert os.listdir(SYSFS / address / "net")


def test_daemon_killed_while_a_vm_has_one(disk, folder, daemon):
    address, dev = disk
    with Guest(folder, "survivor", extra=entry("disk", address)) as guest:
        pid = guest.show()["pid"]
        daemon.restart(signal.SIGKILL)
        assert guest.show()["pid"] == pid and guest.show()["state"] == "running"
        assert function(address)["owner"] == "survivor/disk"
        guest.console.close()
        guest.connect()
        guest.run("dd if=/dev/nvme0n1 of=/dev/null bs=1M count=1")
        # Both gone: whoever comes next gives it back.
        daemon.stop(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the VMM's end")
        assert driver(address) == "vfio-pci" and not dev.exists()
        daemon.start()
        assert guest.show()["state"] in ("failed", "unknown")
    is_hosts(address, "nvme")
    assert block(address).exists()


def word(config, off, value):
    """A shell command of the guest that writes 16 bits of configuration space."""
    return f"printf '\\{value & 255:03o}\\{value >> 8:03o}' | dd of={config} bs=2 seek={off // 2} conv=notrunc 2>/dev/null"


def test_memory_bit_d3_and_flr_under_a_reader(disk, folder):
    """A PF's memory bit really gates its BARs; one vCPU reads them while another does all that switches them off."""
    address, _ = disk
    with Guest(folder, "gate", extra=entry("disk", address), cpus=2) as guest:
        pid = guest.show()["pid"]
        dev = guest.run("basename $(readlink -f /sys/class/nvme/nvme0/device)").strip()
        sysfs = f"/sys/bus/pci/devices/{dev}"
        config = f"{sysfs}/config"
        bar = guest.run(f"awk 'NR == 1 {{print $1}}' {sysfs}/resource").strip()
        guest.run(f"echo {dev} >/sys/bus/pci/drivers/nvme/unbind; dd if={config} of=/tmp/head bs=64 count=1 2>/dev/null")
        guest.run(f"{word(config, 4, 2)}; (until [ -e /tmp/stop ]; do devmem {bar} 32; done >/tmp/reads 2>&1) &")
        turn = [word(config, 4, 0), word(config, 4, 2),  # memory decoding off and on
                word(config, 0x64, 3), word(config, 0x64, 0),  # D3hot and D0
                word(config, 0x88, 0x8000),  # function-level reset, after which the BARs are to be set again
                f"dd if=/tmp/head of={config} bs=4 skip=4 seek=4 count=6 conv=notrunc 2>/dev/null", word(config, 4, 2)]
        guest.run(f"n=0; while [ $n -lt 25 ]; do n=$((n+1)); {'; '.join(turn)}; done; touch /tmp/stop", 200)
        seen = set(guest.run("sort -u /tmp/reads").split())
        assert "0xFFFFFFFF" in seen and len(seen) == 2, seen  # switched off, and the register itself
        guest.run(f"echo 1 >{sysfs}/remove; echo 1 >/sys/bus/pci/rescan; n=0; "
                  "until [ -e /dev/nvme0n1 ]; do n=$((n+1)); [ $n -lt 100 ] || exit 1; usleep 100000; done", 40)
        guest.run("dd if=/dev/nvme0n1 of=/dev/null bs=1M count=1")
        assert guest.show()["pid"] == pid and guest.show()["state"] == "running"
    is_hosts(address, "nvme")

# SPDX-License-Identifier: BSD-3-Clause
"""A guest with a VF: traffic, interrupts, several guests, large RAM, and what happens when things end."""

import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest
from labkit import (
    PEER_IP, SYSFS, Guest, cli, cli_json, eventually, host_irqs, mac_of, open_files, refused, vfs,
)


def wan(pf, n=1):
    return [f'name: wan, pf: "{pf}", mac: "{mac_of(n)}"']


def serve_file(far, folder, size):
    """An HTTP server at the peer with a file of random bytes; returns (process, sha256)."""
    data = random.randbytes(size)
    www = folder / "www"
    www.mkdir(exist_ok=True)
    (www / "data").write_bytes(data)
    proc = far.popen("/usr/bin/python3", "-m", "http.server", "--bind", PEER_IP, "-d", str(www), "8000",
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: "8000" in far.run("ss", "-ltn", capture_output=True, text=True).stdout, "the HTTP server")
    import hashlib

    return proc, hashlib.sha256(data).hexdigest()


def test_ping_transfer_interrupts_and_custody(pf, far, folder):
    with Guest(folder, "one", wan(pf)) as guest:
        assert guest.console.network_devices() == ["eth0"]
        assert guest.console.driver("eth0") == "igbvf"
        assert guest.console.mac("eth0") == mac_of(1)
        guest.network_up("10.77.0.2")
        assert guest.ping(count=5)

        server, digest = serve_file(far, folder, 10 << 20)
        try:
            said = guest.run(f"wget -q -O - http://{PEER_IP}:8000/data | sha256sum", 110)
        finally:
            server.kill()
            server.wait()
        assert said.split()[0] == digest

        show = guest.show()
        port = show["ports"][0]
        assert show["state"] == "running" and port["bus_mastering"]
        assert show["dma_remapping"] and show["interrupt_remapping"]
        vf = vfs(pf)[port["vf"]]
        assert vf["state"] == "assigned" and vf["owner"] == "one/wan"
        assert vf["iommu_group"] == port["iommu_group"]

        def single_pings_count_alike():
            """Under load several host interrupts may be one to the guest, never the other way."""
            before = guest.interrupts(), host_irqs(port["vf"])[0]
            guest.ping(count=1)
            time.sleep(0.3)
            after = guest.interrupts(), host_irqs(port["vf"])[0]
            assert 0 < after[0] <= after[1]
            return after[0] - before[0] == after[1] - before[1] > 0

        assert host_irqs(port["vf"])[1].startswith("IR-")
        eventually(single_pings_count_alike, "guest and host counting the same interrupts")
        assert abs(host_irqs(port["vf"])[0] - guest.port()["interrupts"]) < 50

        # The VMM holds what it was given and nothing else; the daemon kept no copy.
        held = open_files(show["pid"])
        assert not [f for f in held if f.startswith("/") and not f.startswith(("/dev/", "/run/viaduct/"))
                    and "memfd" not in f and "/guest.cpio" not in f and "/vmlinu" not in f], held
        daemon_pid = cli_json("version")["pid"]
        assert not [f for f in open_files(daemon_pid) if f.startswith("/dev/vfio")]
        status = pathlib.Path(f"/proc/{show['pid']}/status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status
        assert "Uid:\t0" not in status
        refused("pf", "apply", pf, "--vfs", "1")
        assert port["vf"] in refused("vf", "release", port["vf"])


def test_power_button_stops_in_order(pf, folder):
    with Guest(folder, "button", wan(pf)) as guest:
        show = cli_json("vm", "stop", "button")
        assert show["state"] == "stopped" and show["exit"]["reason"] == "poweroff"
        guest.console.wait_for("power button", 60)
    assert all(v["state"] == "free" for v in vfs(pf).values())


def test_two_guests_with_two_vfs(pf, far, folder):
    with Guest(folder, "left", wan(pf, 1)) as left, Guest(folder, "right", wan(pf, 2)) as right:
        left.network_up("10.77.0.11")
        right.network_up("10.77.0.12")
        assert left.ping() and right.ping()
        # VF to VF is switched inside the card.
        assert left.ping("10.77.0.12")
        assert {left.port()["vf"], right.port()["vf"]} == set(vfs(pf))
        assert left.port()["iommu_group"] != right.port()["iommu_group"]
        text = refused("vm", "run", str(left.file))
        assert "left" in text
        assert left.ping()


def test_reboot_keeps_the_vf(pf, far, folder):
    with Guest(folder, "again", wan(pf)) as guest:
        guest.network_up("10.77.0.2")
        assert guest.ping()
        guest.console.sock.sendall(b"T0\nreboot -f\n")
        guest.console.wait_ready(90)
        guest.network_up("10.77.0.2")
        assert guest.ping()
        assert guest.console.mac("eth0") == mac_of(1)
        assert guest.show()["state"] == "running"


def test_killed_vmm_leaves_the_vf_usable(pf, far, folder):
    with Guest(folder, "victim", wan(pf)) as guest:
        guest.network_up("10.77.0.2")
        assert guest.ping()
        os.kill(guest.show()["pid"], signal.SIGKILL)
        eventually(lambda: guest.show()["state"] in ("failed", "unknown"), "the VM being failed")
        assert guest.show()["exit"]["text"]
    eventually(lambda: all(v["state"] == "free" for v in vfs(pf).values()), "the VF being free")
    with Guest(folder, "heir", wan(pf, 9)) as guest:
        guest.network_up("10.77.0.3")
        assert guest.ping()
        assert guest.console.mac("eth0") == mac_of(9)


def test_daemon_killed_while_a_vm_runs(pf, far, folder, daemon):
    with Guest(folder, "survivor", wan(pf)) as guest:
        guest.network_up("10.77.0.2")
        before = guest.show()
        daemon.restart(signal.SIGKILL)
        after = guest.show()
        assert after["state"] == "running" and after["pid"] == before["pid"]
        assert after["ports"][0]["vf"] == before["ports"][0]["vf"]
        assert guest.ping()
        guest.console.close()
        guest.connect()
        assert guest.run("echo still here").strip() == "still here"
        assert vfs(pf)[after["ports"][0]["vf"]]["owner"] == "survivor/wan"
        refused("pf", "apply", pf, "--vfs", "0")
        assert cli_json("vm", "stop", "survivor")["exit"]["reason"] == "poweroff"
    assert all(v["state"] == "free" for v in vfs(pf).values())


def test_vm_that_ended_while_the_daemon_was_away(pf, folder, daemon):
    with Guest(folder, "orphan", wan(pf)) as guest:
        pid = guest.show()["pid"]
        daemon.stop(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the VMM's end")
        daemon.start()
        assert guest.show()["state"] in ("failed", "unknown")
    assert all(v["state"] == "free" for v in vfs(pf).values())


def test_host_takes_the_vfs_back(pf, folder, daemon):
    """`echo 0 > sriov_numvfs` by hand while a guest holds a VF: nobody may block for ever."""
    address = cli_json("pf", "show", pf)["address"]
    with Guest(folder, "evicted", wan(pf)) as guest:
        done = []

        def write_zero():
            (SYSFS / address / "sriov_numvfs").write_text("0")
            done.append(True)

        thread = threading.Thread(target=write_zero, daemon=True)
        thread.start()
        thread.join(60)
        assert done, "the write to sriov_numvfs still blocks after a minute"
        # Pulled as a card is: the guest loses the device and lives on.
        eventually(lambda: not guest.console.network_devices(), "the guest's device being gone")
        assert guest.show()["state"] == "running"
        assert cli_json("vm", "stop", "evicted")["exit"]["reason"] == "poweroff"
    cli("pf", "apply", pf, "--vfs", "2")
    assert all(v["state"] == "free" for v in vfs(pf).values())


def test_ram_above_4g_with_a_vf(pf, far, folder):
    options = {"memory": "640M", "extra": ["test: {low_ram_limit: 256M}"]}
    with Guest(folder, "split", wan(pf), **options) as guest:
        ranges = guest.run("grep 'System RAM' /proc/iomem; dmesg | grep e820").lower()
        assert "0x0000000100000000" in ranges or "100000000-" in ranges
        total = int(guest.run("awk '/MemTotal/ {print $2}' /proc/meminfo"))
        assert total > 500 << 10, "RAM above 4 GiB is missing"
        guest.network_up("10.77.0.2")
        # Fill low memory's share, so that packets use the upper slot too.
        guest.run("mount -t tmpfs -o size=400M t /mnt 2>/dev/null || mkdir -p /mnt && "
                  "mount -t tmpfs -o size=400M t /mnt; dd if=/dev/urandom of=/mnt/x bs=1M count=64", 90)
        server, digest = serve_file(far, folder, 10 << 20)
        try:
            said = guest.run(f"wget -q -O - http://{PEER_IP}:8000/data | sha256sum", 110)
        finally:
            server.kill()
            server.wait()
        assert said.split()[0] == digest


def test_two_vcpus_pause_and_resume(pf, far, folder):
    with Guest(folder, "smp", wan(pf), cpus=2) as guest:
        assert guest.run("nproc").strip() == "2"
        guest.network_up("10.77.0.2")
        text = cli("vm", "pause", "smp")
        assert "DMA" in text, "pause must say that a VF's DMA goes on"
        assert guest.show()["state"] == "paused"
        cli("vm", "resume", "smp")
        assert guest.show()["state"] == "running"
        assert guest.ping()


@pytest.mark.parametrize("count", [2])
def test_the_same_vf_many_times(pf, folder, count):
    """Binding, attributes and release leave nothing that hurts the next start."""
    for n in range(count):
        with Guest(folder, "serial", wan(pf, 20 + n)) as guest:
            assert guest.console.mac("eth0") == mac_of(20 + n)
    assert not list(pathlib.Path("/run/viaduct/vm").glob("*/control.sock"))

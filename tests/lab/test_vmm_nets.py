# SPDX-License-Identifier: BSD-3-Clause
"""A polled port of viaduct-vmm, without its daemon, served by a backend of another make: DPDK's testpmd, which
answers pings by itself. What the guest sees when its backend comes, dies and stays away."""

import pathlib
import subprocess
import time

import pytest
from labkit import eventually
from vmmdrive import Refused, Vmm

TOP = pathlib.Path(__file__).resolve().parents[2]
CMDLINE = "console=ttyS0 quiet mitigations=off"
MAC = "02:76:69:61:10:01"
GRACE_MS = 12000  # DPDK needs seconds to start in here
SCRIPT = """\
echo "script runs"
while read -r line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    (folder / "script").write_text(SCRIPT)
    subprocess.run([TOP / "lab/guest-image", "--script", folder / "script", "-o", folder / "initrd"], check=True)
    kernel = subprocess.run([TOP / "lab/setup-cache", "--print", "vmlinux"], check=True, text=True,
                            capture_output=True).stdout.strip()
    return kernel, folder / "initrd"


class Backend:
    """testpmd on that socket; kill() is SIGKILL."""

    def __init__(self, path, queues=1, log=None):
        self.log = log
        self.process = subprocess.Popen(
            ["dpdk-testpmd", "--lcores=0@(0-1),1@(0-1)", "--no-pci", "--no-huge", "-m", "64", "--no-telemetry",
             f"--vdev=net_vhost0,iface={path},client=1,queues={queues},tso=1", "--", "--forward-mode=icmpecho",
             "--auto-start", "--total-num-mbufs=2048", f"--rxq={queues}", f"--txq={queues}", "--no-flush-rx"],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()


class Guest:
    def __init__(self, vmm, images, mem_mib=192, low_limit=0, **net):
        spec = {"port": "mgt", "mac": MAC, "mtu": 1500, "queues": 1, "queue_size": 256, "link": "auto",
                "grace_ms": GRACE_MS, "backend_uid": 0, **net}
        self.vmm = vmm
        self.serial = vmm.console()
        self.count = 0
        vmm.launch(vmm.spec(mem_mib, 2, CMDLINE, low_limit=low_limit, nets=[spec]), *images)
        assert self.serial.wait("script runs", 150), self.serial.seen

    def run(self, command, timeout=60):
        """What it prints."""
        self.count += 1
        begin = len(self.serial.seen)
        self.serial.write(f"{command}; echo end-$(({self.count} + 1000))-$?\n")
        end = self.serial.wait(f"end-{self.count + 1000}-", timeout, begin)
        assert end, self.serial.seen[begin:]
        self.serial.wait("\n", 60, end)
        return self.serial.seen[begin:]

    def carrier(self):
        return "carrier=1" in self.run("echo carrier=$(cat /sys/class/net/eth0/carrier)")

    def carrier_changes(self):
        text = self.run("echo changes=$(cat /sys/class/net/eth0/carrier_changes).")
        return int(text.split("changes=")[-1].split(".")[0])

    def net(self):
        return self.vmm.request("status")["nets"][0]

    def ping(self, count=3):
        return ", 0% packet loss" in self.run(f"ping -q -A -c {count} -W 2 10.9.0.1 | grep loss")


@pytest.fixture
def vmm(build_dir, tmp_path):
    log = tmp_path / "vmm.log"
    with log.open("w") as out, Vmm(str(build_dir / "vmm/viaduct-vmm"), stderr=out) as vmm:
        yield vmm
    print(log.read_text())


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "testpmd.log"
    with path.open("w") as out:
        yield out
    print(path.read_text()[-6000:])


def test_pings_through_a_backend_that_comes_dies_and_stays_away(vmm, images, log):
    guest = Guest(vmm, images)
    net = guest.net()
    assert net["backend"] == "waiting" and not net["link"] and net["mac"] == MAC
    guest.run("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up")
    assert not guest.carrier()

    with Backend(vmm.vhost("mgt"), log=log):
        eventually(lambda: guest.net()["backend"] == "connected", "a backend")
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen
        net = guest.net()
        assert net["driver_active"] and net["ring"] == "split" and net["error"] == "" and net["backend_pid"] > 0
        stats = vmm.request("stats")
        doorbells = [r for r in stats["regions"] if r["name"] == "mgt (virtio-net)"][0]
        guest.ping(50)
        again = [r for r in vmm.request("stats")["regions"] if r["name"] == "mgt (virtio-net)"][0]
        assert again == doorbells, "a send or a received packet makes no trapped access"

    # Within the grace, which is long here, the guest sees nothing but lost packets.
    before = guest.carrier_changes()
    assert guest.net()["link"] and guest.carrier()
    with Backend(vmm.vhost("mgt"), log=log):
        eventually(lambda: guest.net()["backend"] == "connected", "a backend")
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen
        assert guest.net()["reconnects"] == 1
        assert guest.carrier_changes() == before
        begin = time.monotonic()

    eventually(lambda: not guest.net()["link"], "loss of carrier")
    assert time.monotonic() - begin >= GRACE_MS / 1000
    assert not guest.carrier() and guest.net()["backend"] == "gone"
    with Backend(vmm.vhost("mgt"), log=log):
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen


def test_pairs_pause_and_reset_with_ram_above_4_gib(vmm, images, log):
    """Two pairs, two regions of RAM; the rings are taken away by a pause and by a reset, and given again."""
    guest = Guest(vmm, images, mem_mib=512, low_limit=256 << 20, queues=2, mtu=1400)
    with Backend(vmm.vhost("mgt"), queues=2, log=log):
        eventually(lambda: guest.net()["backend"] == "connected", "a backend")
        guest.run("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up")
        assert "mtu=1400" in guest.run("echo mtu=$(cat /sys/class/net/eth0/mtu)")
        assert "rings=2" in guest.run("echo rings=$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)")
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen
        net = guest.net()
        assert net["queues"] == 2 and net["ring"] == "split", net

        vmm.request("pause")
        assert guest.net()["link"]
        vmm.request("resume")
        assert guest.ping(20), guest.serial.seen

        begin = len(guest.serial.seen)
        guest.serial.write("reboot -f\n")
        assert guest.serial.wait("script runs", 150, begin), guest.serial.seen[begin:]
        guest.run("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up")
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen
        # This time the backend was there before the driver, which chooses what it has.
        net = guest.net()
        assert net["queues"] == 2 and net["ring"] == "packed", net
        vmm.request("pause")
        vmm.request("resume")
        assert guest.ping(300), guest.serial.seen

        # The driver lets go and comes back: the device's own reset.
        guest.run("echo virtio0 >/sys/bus/virtio/drivers/virtio_net/unbind")
        assert not guest.net()["driver_active"]
        guest.run("echo virtio0 >/sys/bus/virtio/drivers/virtio_net/bind")
        guest.run("ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up")
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen
        assert guest.net()["error"] == "" and guest.net()["reconnects"] == 0

    # Killed in a lap of its packed rings, which hold 256: the next one finds its place.
    assert guest.carrier()
    with Backend(vmm.vhost("mgt"), queues=2, log=log):
        eventually(lambda: guest.net()["reconnects"] == 1, "another backend")
        eventually(guest.carrier, "carrier")
        assert guest.ping(20), guest.serial.seen
        assert guest.net()["ring"] == "packed"

        assert vmm.request("set-link", port="mgt", link="down")["nets"][0]["link"] is False
        eventually(lambda: not guest.carrier(), "loss of carrier")
        assert vmm.request("set-link", port="mgt", link="auto")["nets"][0]["link"] is True
        with pytest.raises(Refused):
            vmm.request("set-link", port="wan", link="up")
        guest.serial.write("poweroff -f\n")
        assert vmm.wait(60) == 0

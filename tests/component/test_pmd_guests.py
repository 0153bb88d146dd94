# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests of QEMU, without KVM, on ports of viaduct-pmd: a front end of another make, drivers of another make.
The offload matrix: who sends and who receives with and without checksum and segmentation offload, each with each other
over the switch, every payload compared."""

import contextlib
import itertools

import pytest
from pmdkit import pmd, pmd_program  # noqa: F401 (fixtures)
from qemu_guest import QemuGuest

SIZE = 1 << 20
OFF = "csum=off,guest_csum=off,host_tso4=off,host_tso6=off,guest_tso4=off,guest_tso6=off,host_ecn=off,guest_ecn=off"
# Device features (virtio 1.2, 5.1.3): segmentation by the device, and into the guest.
HOST_TSO4, GUEST_TSO4, MRG_RXBUF = 1 << 11, 1 << 7, 1 << 15
RING_PACKED = 1 << 34  # virtio 1.2, 6
GUESTS = {
    "all": ("", 1),
    "none": (OFF, 1),
    "small": ("mrg_rxbuf=off,indirect_desc=off,event_idx=off,guest_tso4=off,guest_tso6=off", 1),
    "many": ("packed=off", 2),
    "packed": ("packed=on", 1),
}


@pytest.fixture(scope="module")
def initrd(tmp_path_factory):
    from operate.console import guest_initrd

    return guest_initrd(tmp_path_factory.mktemp("initrd") / "initrd")


@pytest.fixture
def guests(pmd, short_tmp, initrd):
    """All kinds of guests on one network, with addresses 10.9.0.11 and so on."""
    with contextlib.ExitStack() as stack:
        made = {}
        pmd.call("network-add", name="lan", uplinks=[], bond="none")
        for name, (options, queues) in GUESTS.items():
            made[name] = stack.enter_context(QemuGuest(short_tmp, initrd, name, options, queues))
            pmd.port_at(f"vm/{name}", "lan", made[name].socket, mac=made[name].mac)
        for number, guest in enumerate(made.values(), 11):
            guest.wait_ready()
            guest.address = f"10.9.0.{number}"
            guest.console.network_up("eth0", guest.address)
        yield made


def transfer(sender, receiver):
    """SIZE random bytes over TCP; both say what they sent and got."""
    sender.run(f"[ -e /tmp/out ] || head -c {SIZE} /dev/urandom > /tmp/out")
    # Its standard input never ends: nc would tell the sender, which then stops to send.
    receiver.run("rm -f /tmp/in /tmp/done; [ -p /tmp/hold ] || mkfifo /tmp/hold; "
                 "(nc -l -p 5000 >/tmp/in <>/tmp/hold; echo >/tmp/done) >/dev/null 2>&1 & "
                 "until netstat -ltn | grep -q :5000; do usleep 20000; done")
    sender.run(f"nc {receiver.address} 5000 < /tmp/out")
    receiver.run("n=0; until [ -e /tmp/done ]; do n=$((n+1)); [ $n -lt 1000 ] || exit 1; usleep 50000; done")
    sums = [guest.run(f"sha256sum < {path}").split()[0] for guest, path in ((sender, "/tmp/out"), (receiver, "/tmp/in"))]
    assert sums[0] == sums[1], f"{sender.name} -> {receiver.name}: other bytes arrive"


@pytest.mark.timeout(900)
def test_every_guest_with_every_other(pmd, guests):
    features = {p["port"]: int(p["features"], 16) for p in pmd.call("status")["ports"]}
    assert features["vm/all"] & HOST_TSO4 and features["vm/all"] & GUEST_TSO4 and features["vm/all"] & MRG_RXBUF
    assert not features["vm/none"] & (HOST_TSO4 | GUEST_TSO4 | 3)
    assert features["vm/small"] & HOST_TSO4 and not features["vm/small"] & (MRG_RXBUF | GUEST_TSO4)
    rings = {p["port"]: p["ring"] for p in pmd.call("status")["ports"]}
    assert features["vm/packed"] & RING_PACKED and rings == {f"vm/{name}": "packed" if name == "packed" else "split" for name in GUESTS}
    for a, b in itertools.permutations(guests.values(), 2):
        transfer(a, b)
    stats = {p["port"]: p for p in pmd.call("stats")["ports"]}
    # The one that can leaves segmentation to whoever comes after it: fewer and larger frames than its wire would carry.
    sent = stats["vm/all"]["from_guest"]
    assert sent["bytes"] / sent["packets"] > 1514
    for port in stats.values():
        assert port["drops"]["malformed"] == port["drops"]["spoofed"] == port["drops"]["oversize"] == 0, port

# SPDX-License-Identifier: BSD-3-Clause
"""The small virtio devices of VMs: random numbers, the virtio console, vsock. What a Linux guest has of them, through a
pause, a reboot and a driver that comes and goes, with viaduct-vmm alone; and what an operator types to have them."""

import contextlib
import pathlib
import socket
import subprocess
import threading
import time

import pytest
from labkit import Guest as Machine
from labkit import cli, cli_json, eventually, refused, vmfile
from vmmdrive import Console, Refused, Vmm

TOP = pathlib.Path(__file__).resolve().parents[2]
CMDLINE = "console=ttyS0 quiet mitigations=off"
CID = 4711
SCRIPT = """\
echo "script runs"
while read -r line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory, build_dir):
    folder = tmp_path_factory.mktemp("virtio")
    (folder / "script").write_text(SCRIPT)
    peer = build_dir / "tests/guest/vsock/vsock-peer"
    subprocess.run([TOP / "lab/guest-image", "--script", folder / "script", "--file", f"{peer}:bin/vsock-peer",
                    "-o", folder / "initrd"], check=True)
    kernel = subprocess.run([TOP / "lab/setup-cache", "--print", "vmlinux"], check=True, text=True,
                            capture_output=True).stdout.strip()
    return kernel, folder / "initrd"


class Guest:
    def __init__(self, vmm, images, **devices):
        self.vmm = vmm
        self.serial = vmm.console()
        self.count = 0
        vmm.launch(vmm.spec(cpus=2, cmdline=CMDLINE, **devices), *images)
        self.wait_up()

    def wait_up(self, begin=0):
        assert self.serial.wait("script runs", 150, begin), self.serial.seen

    def run(self, command, timeout=60):
        """What it prints."""
        self.count += 1
        begin = len(self.serial.seen)
        self.serial.write(f"{command}; echo end-$(({self.count} + 1000))-$?\n")
        end = self.serial.wait(f"end-{self.count + 1000}-", timeout, begin)
        assert end, self.serial.seen[begin:]
        self.serial.wait("\n", 60, end)
        return self.serial.seen[begin:]

    def reboot(self):
        begin = len(self.serial.seen)
        self.serial.write("reboot -f\n")
        self.wait_up(begin)

    def device(self, name):
        return next(d for d in self.vmm.request("status")["virtio"] if d["device"] == name)


@pytest.fixture
def vmm(build_dir, tmp_path):
    log = tmp_path / "vmm.log"
    with log.open("w") as out, Vmm(str(build_dir / "vmm/viaduct-vmm"), stderr=out) as vmm:
        yield vmm
    print(log.read_text())


def check_rng(guest):
    assert "hw=virtio_rng.0" in guest.run("echo hw=$(cat /sys/class/misc/hw_random/rng_current)")
    before = guest.device("rng")["to_guest"]
    # Two reads of the same numbers would be one number.
    text = guest.run("for i in 1 2; do echo sum=$(dd if=/dev/hwrng bs=512 count=4 2>/dev/null | md5sum)-; done")
    sums = [line.split()[0] for line in text.split("sum=")[-2:]]
    assert sums[0] != sums[1] and all(len(s) == 32 for s in sums), text
    assert guest.device("rng")["to_guest"] >= before + 2 * 2048


def test_random_numbers_and_no_more_than_a_host_can_spare(vmm, images):
    guest = Guest(vmm, images, rng=True)
    check_rng(guest)
    cpu = host_seconds(vmm)
    begin, before = time.monotonic(), guest.device("rng")["to_guest"]
    # Linux asks for 64 bytes at a time: 6400 kicks.
    guest.run("dd if=/dev/hwrng of=/dev/null bs=4096 count=100 2>/dev/null", 120)
    taken, seconds = guest.device("rng")["to_guest"] - before, time.monotonic() - begin
    assert taken >= 100 * 4096 - 65536
    # 1 MiB a second, and a quarter of it at once.
    assert taken <= (seconds + 1) * (1 << 20), f"{taken} bytes in {seconds} s"
    assert host_seconds(vmm) - cpu < seconds, "the main thread does not spin"
    vmm.request("pause")
    vmm.request("resume")
    check_rng(guest)
    guest.reboot()
    check_rng(guest)
    guest.serial.write("poweroff -f\n")
    assert vmm.wait(60) == 0


def host_seconds(vmm):
    """CPU time of the VMM's main thread."""
    pid = vmm.process.pid
    fields = pathlib.Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# Opened once: who closes a terminal last throws away what was typed.
ECHO = "(exec <>/dev/hvc0 >&0; stty raw -echo; echo echo-runs; while read -r l; do echo \"<$l>\"; done) & true"


def check_hvc(guest, client):
    begin = len(client.seen)
    guest.run(ECHO)
    assert client.wait("echo-runs", 60, begin), client.seen[begin:]
    client.write("over here\n")
    assert client.wait("<over here>", 60, begin), client.seen[begin:]
    guest.run("echo from the guest >/dev/hvc0")
    assert client.wait("from the guest", 60, begin), client.seen[begin:]


def test_a_virtio_console_beside_the_serial_one(vmm, images):
    guest = Guest(vmm, images, virtio_console=True)
    client = Console(vmm.path("hvc0"))
    check_hvc(guest, client)

    # A reader that does not read keeps the guest from nothing, and is told what it has missed.
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as deaf:
        deaf.connect(vmm.path("hvc0"))
        before = guest.device("hvc0")["from_guest"]
        guest.run("tr '\\0' x </dev/zero | dd bs=4096 count=1000 iflag=fullblock of=/dev/hvc0 2>/dev/null", 120)
        eventually(lambda: guest.device("hvc0")["from_guest"] >= before + 1000 * 4096, "the flood's end")
        deaf.settimeout(10)
        got = b""
        while b"bytes of console output lost" not in got:
            got += deaf.recv(65536)
    # One that types without end is read as the guest reads.
    begin = len(client.seen)
    line = "y" * 100 + "\n"
    client.sock.settimeout(60)
    writer = threading.Thread(target=client.write, args=(line * 200,))
    writer.start()
    eventually(lambda: client.read_some(1) and client.seen.count("<" + line.strip() + ">", begin) == 200,
               "200 answers", 120)
    writer.join()

    vmm.request("pause")
    client.write("while paused\n")
    vmm.request("resume")
    assert client.wait("<while paused>", 60, begin), client.seen[begin:]
    guest.reboot()
    check_hvc(guest, client)
    guest.serial.write("poweroff -f\n")
    assert vmm.wait(60) == 0


def ask_guest(data, port=1234):
    with contextlib.closing(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)) as sock:
        sock.settimeout(60)
        sock.connect((CID, port))
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b""
        while chunk := sock.recv(65536):
            got += chunk
        sender.join()
        return got


def guest_answers():
    with contextlib.suppress(OSError):
        return ask_guest(b"hello") == b"hello"
    return False


def echo_in_guest(guest):
    guest.run("vsock-peer echo 1234 & true")
    eventually(guest_answers, "an answer of the guest's")


def check_vsock(guest, listener):
    echo_in_guest(guest)
    pattern = bytes(i * 7 % 251 for i in range(300000))
    assert guest.device("vsock")["driver_active"]
    assert ask_guest(pattern) == pattern

    def answer():
        peer, address = listener.accept()
        with peer:
            assert address[0] == CID
            peer.sendall(b"host heard " + peer.recv(4096))

    answerer = threading.Thread(target=answer)
    answerer.start()
    assert "host heard guest-word" in guest.run(f"vsock-peer send 2 {listener.getsockname()[1]} guest-word")
    answerer.join()
    assert guest.device("vsock")["error"] == ""


def test_sockets_between_guest_and_host(vmm, images):
    guest = Guest(vmm, images, vsock={"cid": CID})
    assert guest.device("vsock")["cid"] == CID
    with contextlib.closing(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)) as listener:
        listener.bind((socket.VMADDR_CID_ANY, 5000))
        listener.listen()
        listener.settimeout(60)
        check_vsock(guest, listener)

        # A connection lives through a pause.
        with contextlib.closing(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)) as sock:
            sock.settimeout(60)
            sock.connect((CID, 1234))
            sock.sendall(b"one")
            assert sock.recv(16) == b"one"
            vmm.request("pause")
            sock.sendall(b"two")
            time.sleep(0.5)
            vmm.request("resume")
            assert sock.recv(16) == b"two"

        # The device's own reset, then the machine's.
        guest.run("killall vsock-peer; echo virtio0 >/sys/bus/virtio/drivers/vmw_vsock_virtio_transport/unbind")
        assert not guest.device("vsock")["driver_active"]
        guest.run("echo virtio0 >/sys/bus/virtio/drivers/vmw_vsock_virtio_transport/bind")
        check_vsock(guest, listener)
        guest.reboot()
        check_vsock(guest, listener)
    guest.serial.write("poweroff -f\n")
    assert vmm.wait(60) == 0
    # Who ends gives his CID back.
    vmm.vsock(CID).close()


def test_all_three_and_a_cid_that_is_taken(vmm, build_dir, images):
    guest = Guest(vmm, images, rng=True, virtio_console=True, vsock={"cid": CID})
    with pytest.raises(OSError):
        vmm.vsock(CID)
    check_rng(guest)
    client = Console(vmm.path("hvc0"))
    check_hvc(guest, client)
    echo_in_guest(guest)
    guest.reboot()
    check_rng(guest)
    check_hvc(guest, client)
    echo_in_guest(guest)
    with Vmm(str(build_dir / "vmm/viaduct-vmm")) as other, pytest.raises(Refused) as info:
        other.launch(other.spec(256, 1, CMDLINE, virtio_console=True), *images, without=("hvc0",))
    assert "hvc0" in str(info.value)


def test_a_vm_file_that_asks_for_all_of_them(daemon, folder):
    assert {c["id"]: c["status"] for c in cli_json("host", "check")["checks"]}["vsock"] == "pass"
    with Machine(folder, "small", extra=["virtio_console: true", "vsock: true"]) as vm:
        devices = {d["device"]: d for d in vm.show()["virtio"]}
        assert set(devices) == {"rng", "hvc0", "vsock"}
        assert f"vsock of CID {devices['vsock']['cid']}" in cli("vm", "show", "small")
        vm.run("dd if=/dev/hwrng of=/tmp/r bs=64 count=1 && [ $(wc -c </tmp/r) = 64 ]")
        client = Console(cli_json("vm", "console", "small", "--port", "hvc0")["socket"])
        vm.run("echo from the guest >/dev/hvc0")
        assert client.wait("from the guest", 60), client.seen
        # A guest that listens is reached by the CID that was shown; nobody listens here, and it says so itself.
        eventually(lambda: {d["device"]: d for d in vm.show()["virtio"]}["vsock"]["driver_active"], "the driver")
        with contextlib.closing(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)) as sock:
            with pytest.raises(ConnectionResetError):
                sock.connect((devices["vsock"]["cid"], 1234))
        # The same CID twice: by a VM, and by another program.
        path = vmfile.write(folder, "second", extra=[f"vsock: {devices['vsock']['cid']}"])
        assert "VM small has the CID" in refused("vm", "run", str(path))
        with Vmm.vsock(CID):
            path = vmfile.write(folder, "second", extra=[f"vsock: {CID}"])
            assert "another program has the CID 4711" in refused("vm", "run", str(path))
    assert "second" not in [vm["name"] for vm in cli_json("vm", "list")["vms"]]

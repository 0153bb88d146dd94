# SPDX-License-Identifier: BSD-3-Clause
"""Disks of viaduct-vmm, without its daemon, served by a real viaduct-pmd: what a Linux guest sees when it makes a file
system, when its backend is killed again and again, when the disk grows, and what is in the image afterwards."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest
from diskkit import Blocks
from labkit import eventually
from vmmdrive import Vmm

TOP = pathlib.Path(__file__).resolve().parents[2]
CMDLINE = "console=ttyS0 quiet mitigations=off"
MIB = 1 << 20
VARS_IMAGE = 0x84000
SCRIPT = """\
/init load-module crc32c_generic
/init load-module ext4
echo "script runs"
while read -r line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disks")
    (folder / "script").write_text(SCRIPT)
    subprocess.run([TOP / "lab/guest-image", "--script", folder / "script", "--module", "crc32c_generic", "--module", "ext4",
                    "-o", folder / "initrd"], check=True)
    kernel = subprocess.run([TOP / "lab/setup-cache", "--print", "vmlinux"], check=True, text=True,
                            capture_output=True).stdout.strip()
    return kernel, folder / "initrd"


class Guest:
    def __init__(self, vmm, images, disks, cpus=2):
        self.vmm = vmm
        self.serial = vmm.console()
        self.count = 0
        self.status = vmm.launch(vmm.spec(cpus=cpus, cmdline=CMDLINE, disks=disks), *images)
        self.boots(0)

    def boots(self, begin):
        assert self.serial.wait("script runs", 400, begin), self.serial.seen[begin:]

    def run(self, command, timeout=240):
        """What it prints, if it succeeds."""
        self.count += 1
        begin = len(self.serial.seen)
        self.serial.write(f"{command}; echo end-$(({self.count} + 1000))-$?.\n")
        end = self.serial.wait(f"end-{self.count + 1000}-", timeout, begin)
        assert end and self.serial.wait(".", 60, end), self.serial.seen[begin:]
        text = self.serial.seen[begin:]
        assert f"end-{self.count + 1000}-0." in text, text
        return text

    def disk(self, at=0):
        return self.vmm.request("status")["disks"][at]

    def has_no_errors(self):
        self.run("! dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)|Buffer I/O|blocked for'")


@pytest.fixture
def vmm(build_dir, tmp_path):
    log = tmp_path / "vmm.log"
    with log.open("w") as out, Vmm(str(build_dir / "vmm/viaduct-vmm"), stderr=out) as vmm:
        yield vmm
    print(log.read_text())


@pytest.fixture
def blocks(build_dir, tmp_path):
    log = tmp_path / "pmd.log"
    with log.open("w") as out, Blocks(str(build_dir / "pmd-backends/viaduct-pmd"), tmp_path, log=out) as blocks:
        yield blocks
    print(log.read_text()[-6000:])


def image_make(folder, name, data=b"", size=64 * MIB):
    path = folder / name
    path.write_bytes(data)
    os.truncate(path, size)
    return path


def numbers_on_disk(image, count):
    """Which of the sectors 1 to count hold their own number."""
    with open(image, "rb") as file:
        data = file.read((count + 1) * 512)
    return {i for i in range(1, count + 1) if data[i * 512:].startswith(f"{i}\n".encode())}


@pytest.mark.timeout(1500)
def test_a_file_system_on_a_disk_that_grows_pauses_and_reboots(vmm, blocks, images, tmp_path):
    mark = hashlib.sha256(b"a disk").digest() * 16
    image = image_make(tmp_path, "root.img", mark)
    fixed = image_make(tmp_path, "fixed.img", mark[::-1], 4 * MIB)
    features = int(blocks.add("t1/root", image, vmm.disk("root"), queues=2)["features"], 0)
    blocks.add("t1/fixed", fixed, vmm.disk("fixed"), readonly=True, serial="fixed-1")
    guest = Guest(vmm, images, [{"disk": "root", "queues": 2, "backend_uid": 0}, {"disk": "fixed", "backend_uid": 0}])
    root, other = guest.status["disks"]
    assert root["size"] == 64 * MIB and root["backend"] == "connected" and not root["readonly"], root
    assert other["size"] == 4 * MIB and other["readonly"] and other["disk"] == "fixed", other
    assert hashlib.md5(mark).hexdigest() in guest.run("dd if=/dev/vda bs=512 count=1 2>/dev/null | md5sum")
    assert "queues=2" in guest.run("echo queues=$(ls /sys/block/vda/mq | wc -l)")

    assert "ro=1" in guest.run("echo ro=$(cat /sys/block/vdb/ro) serial=$(cat /sys/block/vdb/serial).")
    assert "serial=fixed-1." in guest.serial.seen
    guest.run("! dd if=/dev/zero of=/dev/vdb count=1 conv=fsync 2>/dev/null")
    assert hashlib.md5(mark[::-1]).hexdigest() in guest.run("dd if=/dev/vdb bs=512 count=1 2>/dev/null | md5sum")
    assert fixed.read_bytes()[:512] == mark[::-1]

    guest.run("dd if=/dev/urandom of=/dev/vda bs=1M seek=32 count=4 conv=fsync 2>/dev/null")
    held = image.stat().st_blocks
    guest.run("blkdiscard -o 33554432 -l 4194304 /dev/vda")
    assert image.stat().st_blocks < held, f"nothing was given back: {features:#x}"

    guest.run("mke2fs /dev/vda >/dev/null && mkdir /disk && mount -t ext4 /dev/vda /disk")
    guest.run("for i in 1 2 3 4; do dd if=/dev/urandom of=/disk/$i bs=256k count=8 2>/dev/null; done; sync; "
              "md5sum /disk/? >/disk/sums")
    guest.run("umount /disk && mount -t ext4 /dev/vda /disk && md5sum -c /disk/sums >/dev/null")

    assert blocks.resize("t1/root", 96 * MIB) == 96 * MIB
    eventually(lambda: "size=196608." in guest.run("echo size=$(cat /sys/block/vda/size)."), "the new size")
    assert guest.disk()["size"] == 96 * MIB and guest.disk()["reconnects"] == 0

    # Under load: requests are under way when it comes.
    begin = len(guest.serial.seen)
    guest.serial.write("for i in 5 6 7 8; do dd if=/dev/urandom of=/disk/$i bs=64k count=32 conv=fsync 2>/dev/null || "
                       "echo fail-ed; done; md5sum /disk/? >/disk/sums; echo load-$((1+1))\n")
    for _ in range(5):
        vmm.request("pause")
        vmm.request("resume")
    assert guest.serial.wait("load-2", 300, begin), guest.serial.seen[begin:]
    assert "fail-ed\r\n" not in guest.serial.seen[begin:].replace("echo fail-ed", "")
    guest.run("echo 3 >/proc/sys/vm/drop_caches; md5sum -c /disk/sums >/dev/null && umount /disk")
    guest.has_no_errors()

    begin = len(guest.serial.seen)
    guest.serial.write("reboot -f\n")
    guest.boots(begin)
    guest.run("mkdir /disk && mount -t ext4 /dev/vda /disk && md5sum -c /disk/sums >/dev/null && umount /disk")
    root = guest.disk()
    assert root["driver_active"] and root["error"] == "" and root["reconnects"] == 0, root
    # The driver lets go and comes back: the device's own reset.
    guest.run("d=$(basename $(readlink -f /sys/block/vda/device)); echo $d >/sys/bus/virtio/drivers/virtio_blk/unbind && "
              "echo $d >/sys/bus/virtio/drivers/virtio_blk/bind && mount -t ext4 /dev/vda /disk && "
              "md5sum -c /disk/sums >/dev/null && umount /disk")
    guest.has_no_errors()
    guest.serial.write("poweroff -f\n")
    assert vmm.wait(60) == 0


@pytest.mark.timeout(1500)
def test_ten_backends_die_and_no_request_is_lost(vmm, blocks, images, tmp_path):
    image = image_make(tmp_path, "root.img")
    vmm.images["root"] = image
    blocks.add("t1/root", image, vmm.disk("root"), queues=2)
    guest = Guest(vmm, images, [{"disk": "root", "queues": 2, "backend_uid": 0}], cpus=1)
    guest.run("mke2fs /dev/vda >/dev/null && mkdir /disk && mount -t ext4 /dev/vda /disk")
    begin = len(guest.serial.seen)
    # Two writers and a reader, until the last backend has come.
    guest.serial.write("write() { n=0; while [ ! -e /stop ]; do n=$((n+1)); dd if=/dev/urandom of=/disk/$1$((n%6)) bs=32k count=16 "
                       "conv=fsync 2>/dev/null || echo bad-write; (cd /disk; md5sum $1$((n%6))) >/sum-$1$((n%6)); done; }; "
                       "look() { while [ ! -e /stop ]; do dd if=/dev/vda of=/dev/null bs=64k count=256 iflag=direct 2>/dev/null || "
                       "echo bad-read; done; }; write a & write b & look &\n")
    for i in range(1, 11):
        done = blocks.stats("t1/root")["writes"] + 20
        eventually(lambda: blocks.stats("t1/root")["writes"] > done, "writes")
        blocks.restart()
        eventually(lambda: guest.disk()["reconnects"] == i and guest.disk()["backend"] == "connected", "the next backend")
    guest.run("touch /stop; wait; echo 3 >/proc/sys/vm/drop_caches; cat /sum-* >/sums; cd /disk; md5sum -c /sums >/dev/null && "
              "cd / && umount /disk && mount -t ext4 /dev/vda /disk && cd /disk && md5sum -c /sums >/dev/null && cd / && "
              "umount /disk", 300)
    said = guest.serial.seen[begin:].replace("echo bad-write", "").replace('echo bad-read', "")
    assert "bad-write" not in said and "bad-read" not in said, said
    guest.has_no_errors()
    assert guest.disk()["error"] == "", guest.disk()

    # A backend dies with requests under way, and the guest is reset before the next one comes.
    begin = len(guest.serial.seen)
    guest.serial.write("rm /stop; look & look & echo look-$((1+1))\n")
    assert guest.serial.wait("look-2", 120, begin), guest.serial.seen[begin:]
    blocks.kill()
    guest.serial.write("reboot -f\n")
    # Its driver reads the first sector, which takes until there is a backend.
    assert guest.serial.wait("VIADUCT-GUEST init", 300, begin), guest.serial.seen[begin:]
    blocks.start()
    guest.boots(begin)
    guest.run("mkdir /disk && mount -t ext4 /dev/vda /disk && ls /disk/a1 && umount /disk")
    guest.has_no_errors()

    # What the guest was told is stored is in the file, whatever ends its backend and its VMM.
    begin = len(guest.serial.seen)
    guest.serial.write("i=0; while :; do i=$((i+1)); echo $i | dd of=/dev/vda bs=512 seek=$i conv=fsync,sync 2>/dev/null && "
                       "echo told-$i.; done\n")
    assert guest.serial.wait("told-40.", 300, begin), guest.serial.seen[begin:]
    blocks.kill()
    vmm.process.kill()
    while guest.serial.read_some(1):
        pass
    told = {int(word.split(".")[0]) for word in guest.serial.seen[begin:].split("told-")[1:] if word.split(".")[0].isdigit()}
    assert len(told) >= 40 and told <= numbers_on_disk(image, max(told)), told - numbers_on_disk(image, max(told))


@pytest.mark.host("icount")
@pytest.mark.timeout(420)
def test_firmware_tries_disks_in_the_order_it_is_given(build_dir, tmp_path):
    """Empty disks: stock OVMF says from which it cannot boot, one after the other, and then starts its own shell."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    folder.chmod(0o755)
    ovmf = pathlib.Path("/usr/share/OVMF")
    variables = folder / "vars.fd"
    variables.write_bytes((ovmf / "OVMF_VARS_4M.fd").read_bytes() + bytes(VARS_IMAGE + 4096))
    code = shutil.copy(ovmf / "OVMF_CODE_4M.fd", folder)
    with Blocks(str(build_dir / "pmd-backends/viaduct-pmd"), tmp_path) as blocks, Vmm(str(build_dir / "vmm/viaduct-vmm")) as vmm:
        for name in "abc":
            blocks.add(f"t1/{name}", image_make(folder, name, size=MIB), vmm.disk(name))
        console = vmm.console()
        disks = [{"disk": "a", "boot": 2, "backend_uid": 0}, {"disk": "b", "boot": 1, "backend_uid": 0},
                 {"disk": "c", "backend_uid": 0}]
        vmm.launch(vmm.spec(mem_mib=256, disks=disks), None, firmware=(code, variables))
        assert console.wait("EFI Internal Shell", 300), console.seen[-3000:]
        tried = re.findall(r"BdsDxe: failed to load \S+ .*? from PciRoot\(0x0\)/Pci\(0x(\d+),0x0\)/Pci\(0x0,0x0\)", console.seen)
        assert tried == ["2", "1"], console.seen[-3000:]
        reads = {name: blocks.stats(f"t1/{name}")["reads"] for name in "abc"}
        assert reads["a"] and reads["b"], reads
        print(f"reads of each disk: {reads}")
        vmm.request("kill")
        assert vmm.wait(60) == 0
    shutil.rmtree(folder)

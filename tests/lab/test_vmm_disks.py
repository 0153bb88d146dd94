# SPDX-License-Identifier: BSD-3-Clause
"""Disks of viaduct-vmm, without its daemon, served by a real viaduct-pmd: what a Linux guest sees when it makes a file
system, when its backend is killed again and again, when the disk grows, and what is in the image afterwards."""

import hashlib
import os
import pathlib
import subprocess

import pytest
from diskkit import Blocks
from labkit import eventually
from vmmdrive import Refused, Vmm

TOP = pathlib.Path(__file__).resolve().parents[2]
CMDLINE = "console=ttyS0 quiet mitigations=off"
MIB = 1 << 20
SCRIPT = """\
/init load-module ext4
echo "script runs"
while read -r line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disks")
    (folder / "script").write_text(SCRIPT)
    subprocess.run([TOP / "lab/guest-image", "--script", folder / "script", "--module", "ext4", "-o", folder / "initrd"],
                   check=True)
    kernel = subprocess.run([TOP / "lab/setup-cache", "--print", "bzimage"], check=True, text=True,
                            capture_output=True).stdout.strip()
    return kernel, folder / "initrd"


class Guest:
    def __init__(self, vmm, images, disks, mem_mib=256):
        self.vmm = vmm
        self.serial = vmm.console()
        self.count = 0
        self.status = vmm.launch(vmm.spec(mem_mib, 2, CMDLINE, disks=disks), *images)
        self.boots(0)

    def boots(self, begin):
        assert self.serial.wait("script runs", 200, begin), self.serial.seen[begin:]

    def run(self, command, timeout=120):
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


def test_a_file_system_keeps_what_is_written_and_grows(vmm, blocks, images, tmp_path):
    mark = hashlib.sha256(b"a disk").digest() * 16
    image = image_make(tmp_path, "root.img", mark)
    blocks.add("t1/root", image, vmm.disk("root"), queues=2)
    guest = Guest(vmm, images, [{"disk": "root", "queues": 2, "backend_uid": 0}])
    said = guest.status["disks"][0]
    assert said["size"] == 64 * MIB and said["backend"] == "connected" and not said["readonly"], said
    want = hashlib.md5(mark).hexdigest()
    assert want in guest.run("dd if=/dev/vda bs=512 count=1 2>/dev/null | md5sum")
    said = guest.disk()
    assert said["driver_active"] and said["queues"] == 2 and said["error"] == "" and said["reconnects"] == 0, said
    assert "queues=2" in guest.run("echo queues=$(ls /sys/block/vda/mq | wc -l)")

# SPDX-License-Identifier: BSD-3-Clause
"""Storage that hangs: whoever has a disk on it waits, and nobody else does."""

import os
import struct
import subprocess
import time

import pytest
from daemonkit import eventually
from disk_front import T_OUT, T_ZEROES
from diskkit import MIB, Disks
from pmdkit import PmdError
from vhost_front import NEED_REPLY, SET_VRING_CALL, SET_VRING_ENABLE, SET_VRING_KICK


@pytest.fixture
def frozen(tmp_path):
    """A file system that can stand still: (folder, function that stops it or lets it go on)."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    image, folder, is_frozen = tmp_path / "fs.img", tmp_path / "fs", []
    image.touch()
    os.truncate(image, 64 * MIB)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False).returncode != 0:
        pytest.skip("no loop devices here")

    def freeze(on):
        subprocess.run(["fsfreeze", "-f" if on else "-u", str(folder)], check=True)
        is_frozen[:] = [True] if on else []

    try:
        yield folder, freeze
    finally:
        if is_frozen:
            freeze(False)
        subprocess.run(["umount", "-l", str(folder)], check=True)


def others_go_on(disks, other, least=8):
    """What a VM beside one whose storage hangs has: its I/O, its flushes, its VMM's answers, an operator's look. Each in a moment."""
    begin = time.monotonic()
    for i in range(least):
        other.write(8 * i, bytes([i + 1]) * 4096)
        assert other.read(8 * i, 4096) == bytes([i + 1]) * 4096
    other.flush()
    other.order(SET_VRING_CALL, struct.pack("<Q", 0), (other.calls[0],))
    assert disks.status("vm/other")["state"] == "running"
    assert time.monotonic() - begin < 5


def test_a_disk_whose_image_hangs_goes_by_itself_and_keeps_nobody_waiting(disks, frozen):
    folder, freeze = frozen
    path = folder / "disk.img"
    path.write_bytes(bytes(MIB))
    with disks.front("vm/root") as front, disks.front("vm/other") as other:
        disks.add("vm/root", path)
        disks.add("vm/other", disks.image())
        front.connect()
        other.connect()
        freeze(True)
        slot = front.begin(T_OUT, data=b"w" * 4096)
        front.kick(0)
        eventually(lambda: disks.stats("vm/root")["in_flight"] == 1)
        others_go_on(disks, other)
        # A message that waits until nothing is under way.
        front.tell(SET_VRING_CALL, struct.pack("<Q", 0), (front.calls[0],), 1 | NEED_REPLY)
        others_go_on(disks, other)
        for _ in range(2):
            begin = time.monotonic()
            with pytest.raises(PmdError) as e:
                disks.pmd.call("disk-remove", disk="vm/root")
            assert e.value.code == "disk-busy" and time.monotonic() - begin < 2
            others_go_on(disks, other)
        assert disks.status("vm/root")["state"] == "leaving"
        with pytest.raises(PmdError) as e:
            disks.add("vm/root", disks.image("next.img"))
        assert e.value.code == "disk-busy"
        freeze(False)
        eventually(lambda: [d["disk"] for d in disks.pmd.call("status")["disks"]] == ["vm/other"])
        assert path.read_bytes()[:4096] == b"w" * 4096, "what was under way has ended"
        disks.add("vm/root", path)
        front.connect()
        assert front.wait(slot)[1] == 0, "answered by the first, or taken again by the second"
        assert front.read(0, 4096) == b"w" * 4096


def test_an_image_that_does_not_answer_is_opening_and_keeps_nobody_waiting(disks, frozen):
    folder, freeze = frozen
    path = folder / "disk.img"
    path.write_bytes(bytes(MIB))
    with disks.front("vm/root") as front, disks.front("vm/other") as other:
        disks.add("vm/other", disks.image())
        other.connect()
        freeze(True)
        begin = time.monotonic()
        assert disks.add("vm/root", path)["state"] == "opening"
        assert time.monotonic() - begin < 2
        for _ in range(5):
            others_go_on(disks, other)
            time.sleep(0.1)
        assert "does not answer" in disks.status("vm/root")["error"]
        with pytest.raises(PmdError) as e:
            disks.pmd.call("disk-resize", disk="vm/root")
        assert e.value.code == "disk-busy"
        freeze(False)
        front.connect()
        front.write(0, b"w" * 4096)
        # One that is taken away while its image does not answer.
        disks.pmd.call("disk-remove", disk="vm/root")
        freeze(True)
        disks.add("vm/root", path)
        with pytest.raises(PmdError) as e:
            disks.pmd.call("disk-remove", disk="vm/root")
        assert e.value.code == "disk-busy"
        others_go_on(disks, other)
        freeze(False)
        eventually(lambda: [d["disk"] for d in disks.pmd.call("status")["disks"]] == ["vm/other"])


@pytest.mark.parametrize("kind", ["zeroes", "writes", "direct writes"])
def test_requests_that_hang_leave_the_kernels_threads_to_others(disks, frozen, kind):
    """However many of a VM's requests hang, a flush of another VM's is done."""
    folder, freeze = frozen
    path = folder / "disk.img"
    path.write_bytes(bytes(4 * MIB))
    with disks.front("vm/root", slots=42) as front, disks.front("vm/other") as other:
        disks.add("vm/root", path, os.O_RDWR | (os.O_DIRECT if kind == "direct writes" else 0))
        disks.add("vm/other", disks.image())
        front.connect()
        other.connect()
        freeze(True)
        slots = [front.begin(T_ZEROES, data=struct.pack("<QII", 8 * i, 8, 0)) if kind == "zeroes" else
                 front.begin(T_OUT, 8 * i, b"w" * 4096) for i in range(42)]
        front.kick(0)
        eventually(lambda: disks.stats("vm/root")["in_flight"] == 42)
        time.sleep(0.3)
        others_go_on(disks, other)
        freeze(False)
        assert [front.wait(slot)[1] for slot in slots] == [0] * 42, "those that waited have their turn"


def test_at_the_end_all_disks_go_but_the_one_that_hangs(disks, frozen, build_dir, short_tmp):
    folder, freeze = frozen
    path, other = folder / "disk.img", disks.image()
    path.write_bytes(bytes(MIB))
    with disks.front("vm/root") as front:
        disks.add("vm/other", other)
        disks.add("vm/root", path)
        disks.add("vm/third", disks.image("third.img"))
        front.connect()
        freeze(True)
        front.begin(T_OUT, data=b"w" * 4096)
        front.kick(0)
        eventually(lambda: disks.stats("vm/root")["in_flight"] == 1)
        disks.pmd.call("quit")
        (short_tmp / "b").mkdir()
        second = Disks(str(build_dir / "pmd-backends" / "viaduct-pmd"), short_tmp / "b")
        try:
            second.add("vm/other", other)
            second.add("vm/third", short_tmp / "third.img")
            eventually(lambda: [second.status(d)["state"] for d in ("vm/other", "vm/third")] == ["waiting"] * 2)
            assert second.pmd.stop() == 0
        finally:
            second.pmd.kill()
        freeze(False)
        disks.pmd.kill()


def test_a_ring_is_set_up_while_another_has_requests_under_way(disks, frozen):
    folder, freeze = frozen
    path = folder / "disk.img"
    path.write_bytes(bytes(MIB))
    with disks.front("vm/root", queues=2) as front:
        disks.add("vm/root", path, queues=2)
        front.connect()
        front.order(SET_VRING_ENABLE, struct.pack("<II", 1, 0))
        freeze(True)
        slot = front.begin(T_OUT, data=b"w" * 4096)
        front.kick(0)
        assert eventually(lambda: disks.stats("vm/root")["in_flight"] == 1)
        begin = time.monotonic()
        front.order(SET_VRING_CALL, struct.pack("<Q", 1), (front.calls[1],))
        front.order(SET_VRING_KICK, struct.pack("<Q", 1), (front.kicks[1],))
        front.order(SET_VRING_ENABLE, struct.pack("<II", 1, 1))
        assert time.monotonic() - begin < 2
        assert disks.stats("vm/root")["in_flight"] == 1
        freeze(False)
        assert front.wait(slot)[1] == 0
        assert front.read(0, 4096, queue=1) == b"w" * 4096

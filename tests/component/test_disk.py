# SPDX-License-Identifier: BSD-3-Clause
"""Disks of guests: viaduct-pmd in its role "block", from a guest's side (disk_front.py) and the daemon's (pmdkit.py)."""

import contextlib
import os
import random
import socket
import struct
import subprocess
import threading
import time

import pytest
from daemonkit import eventually
from disk_front import (F_DISCARD, S_IOERR, S_UNSUPP, SECTOR, SET_BACKEND_REQ_FD, T_DISCARD, T_ID, T_IN, T_OUT, T_ZEROES, DiskError,
                        DiskFront)
from diskkit import MIB, Disks
from pmdkit import PmdError
from vhost_front import F_EVENT_IDX, GET_FEATURES, GET_VRING_BASE, NET_SET_MTU, SET_VRING_CALL, SET_VRING_KICK

NO_FD = 1 << 8  # of SET_VRING_KICK: none comes


@pytest.fixture(params=["cached", "direct"])
def flags(request):
    return os.O_RDWR | (os.O_DIRECT if request.param == "direct" else 0)


def test_what_is_written_is_in_the_image_and_is_read_back(disks, flags):
    path = disks.image()
    with disks.front("vm/root") as front:
        said = disks.add("vm/root", path, flags, serial="a-serial-number")
        assert said["size"] == 8 * MIB and said["direct"] == bool(flags & os.O_DIRECT)
        front.connect()
        assert front.capacity() == 8 * MIB
        rng = random.Random(1)
        for sector, size, shift in ((0, 512, 0), (8, 4096, 0), (100, 8192, 512), (1000, 4096, 4), (16383, 512, 1)):
            data = rng.randbytes(size)
            front.write(sector, data, shift=shift)
            assert front.read(sector, size, shift=shift) == data
            front.flush()
            with open(path, "rb") as file:
                file.seek(sector * SECTOR)
                assert file.read(size) == data
        assert front.do(T_ID, length=20) == b"a-serial-number".ljust(20, b"\0")
        assert disks.status("vm/root")["state"] == "running"
        stats = disks.stats("vm/root")
        assert stats["writes"] == 5 and stats["flushes"] == 5 and stats["errors"] == 0, stats


def test_ranges_are_discarded_and_zeroed(disks, flags):
    path = disks.image(data=b"\xaa" * MIB)
    with disks.front("vm/root") as front:
        disks.add("vm/root", path, flags)
        front.connect()
        front.ranges(T_ZEROES, (8, 8, 0), (32, 16, 1))
        assert front.read(0, 32768) == b"\xaa" * 4096 + bytes(4096) + b"\xaa" * 8192 + bytes(8192) + b"\xaa" * 8192
        front.ranges(T_DISCARD, (512, 1024, 0))
        assert front.read(512, 4096) in (bytes(4096), b"\xaa" * 4096)  # a hint
        for bad, status in (((0, 8, 2), S_UNSUPP), ((1 << 40, 8, 0), S_IOERR), ((0, 1 << 30, 0), S_IOERR)):
            with pytest.raises(DiskError) as e:
                front.ranges(T_ZEROES, bad)
            assert e.value.status == status, bad
        assert front.read(0, 4096) == b"\xaa" * 4096


@pytest.mark.parametrize("name, members", [
    ("behind the end", {"kind": T_IN, "sector": 16384, "length": 512}),
    ("across the end", {"kind": T_OUT, "sector": 16383, "data": bytes(1024)}),
    ("at the end of numbers", {"kind": T_IN, "sector": (1 << 64) - 1, "length": 1024}),
    ("no whole sector", {"kind": T_OUT, "sector": 0, "data": bytes(100)}),
    ("data the wrong way", {"kind": T_IN, "sector": 0, "data": bytes(512)}),
])
def test_a_request_that_cannot_be_is_an_io_error(disks, name, members):
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image(data=b"\x55" * MIB))
        front.connect()
        with pytest.raises(DiskError) as e:
            front.do(**members)
        assert e.value.status == S_IOERR
        assert front.read(0, 512) == b"\x55" * 512, "the disk goes on"


def test_an_unknown_request_is_not_supported(disks):
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image())
        front.connect()
        with pytest.raises(DiskError) as e:
            front.do(99, length=512)
        assert e.value.status == S_UNSUPP


def test_a_chain_without_a_status_is_given_back_and_counted(disks):
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image())
        front.connect()
        ring, at = front.rings[0], front.slot_at(0, 0)
        front.pending[0][0] = (T_IN, 0, at, 0, at)
        ring.set_desc(0, at, 16)
        ring.offer(0)
        front.kick(0)
        assert front.wait(0)[3] == 0
        assert disks.stats("vm/root")["bad_chains"] == 1
        front.write(0, b"x" * 512)


def test_a_ring_that_makes_no_sense_stops_and_only_this_one(disks):
    with disks.front("vm/root", queues=2) as front, disks.front("vm/other") as other:
        disks.add("vm/root", disks.image(), queues=2)
        disks.add("vm/other", disks.image("other.img"))
        front.connect()
        other.connect()
        front.rings[0].offer(1000)
        front.kick(0)
        eventually(lambda: "a descriptor available that there is not" in disks.status("vm/root")["error"])
        front.write(0, b"x" * 512, queue=1)
        other.write(0, b"y" * 512)
        assert disks.status("vm/root")["queues"] == 1


def test_a_disk_that_is_only_read_is_not_written(disks):
    path = disks.image(data=b"r" * MIB)
    with disks.front("vm/root") as front:
        disks.add("vm/root", path, os.O_RDONLY, readonly=True)
        front.connect()
        assert front.features >> 5 & 1, "it says so"
        assert front.read(0, 512) == b"r" * 512
        for kind, data in ((T_OUT, b"w" * 512), (T_ZEROES, bytes(16))):
            with pytest.raises(DiskError):
                front.do(kind, data=data)
    assert path.read_bytes()[:MIB] == b"r" * MIB


def test_a_larger_image_is_a_larger_disk_at_once(disks):
    path = disks.image()
    with disks.front("vm/root") as front:
        disks.add("vm/root", path)
        front.connect()
        ours, theirs = socket.socketpair()
        with ours:
            front.tell(SET_BACKEND_REQ_FD, fds=(theirs.fileno(),))
            theirs.close()
            with pytest.raises(DiskError):
                front.read(8 * MIB // SECTOR, 512)
            os.truncate(path, 16 * MIB)
            assert disks.pmd.call("disk-resize", disk="vm/root") == {"size": 16 * MIB}
            ours.settimeout(10)
            assert struct.unpack("<III", ours.recv(12)) == (2, 1, 0), "the guest is told"
        assert front.capacity() == 16 * MIB
        front.write(8 * MIB // SECTOR, b"n" * 512)
        os.truncate(path, 4 * MIB)
        with pytest.raises(PmdError) as e:
            disks.pmd.call("disk-resize", disk="vm/root")
        assert e.value.code == "image-refused"
        assert front.capacity() == 16 * MIB


def test_an_image_is_one_disk_alone(disks, build_dir, short_tmp):
    path = disks.image()
    with disks.front("vm/root"):
        disks.add("vm/root", path)
        eventually(lambda: disks.status("vm/root")["state"] == "waiting" or disks.status("vm/root")["pid"])
        with pytest.raises(PmdError, match="that of disk vm/root") as e:
            disks.add("other/root", path)
        assert e.value.code == "image-in-use"
        # Another process: its disk serves nobody until this one lets go.
        folder = short_tmp / "b"
        folder.mkdir()
        second = Disks(str(build_dir / "pmd-backends" / "viaduct-pmd"), folder)
        try:
            with second.front("vm2/root") as front:
                second.add("vm2/root", path)
                eventually(lambda: "another process" in second.status("vm2/root")["error"])
                assert second.status("vm2/root")["state"] == "locked"
                disks.pmd.call("disk-remove", disk="vm/root")
                front.connect()
                front.write(0, b"2" * 512)
            assert second.pmd.stop() == 0
        finally:
            second.pmd.kill()


def test_a_full_file_system_is_an_io_error_and_is_said(disks, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        path = tmp_path / "disk.img"
        path.touch()
        os.truncate(path, 8 * MIB)
        with disks.front("vm/root") as front:
            disks.add("vm/root", path)
            front.connect()
            front.write(0, b"a" * 32768)
            with pytest.raises(DiskError) as e:
                for i in range(64):
                    front.write(1024 + 64 * i, b"b" * 32768)
            assert e.value.status == S_IOERR
            assert front.read(0, 32768) == b"a" * 32768
            assert disks.stats("vm/root")["no_space"] == 1
            assert disks.status("vm/root")["io_error"] == "No space left on device"
            disks.pmd.call("disk-remove", disk="vm/root")
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_what_a_cache_has_lost_stays_lost_for_the_next_process(disks):
    with disks.front("vm/root") as front:
        assert disks.add("vm/root", disks.image())["flush_failed"] is False
        front.connect()
        front.write(0, b"x" * 512)
        front.flush()
        disks.images["vm/root"][2]["flush_failed"] = True  # as if a flush of it had failed
        disks.restart()
        front.connect()
        front.write(0, b"y" * 512)
        with pytest.raises(DiskError) as e:
            front.flush()
        assert e.value.status == S_IOERR and disks.status("vm/root")["flush_failed"] is True


def test_limits_hold_and_can_be_lifted(disks):
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image(), iops=200)
        front.connect()
        begin = time.monotonic()
        for _ in range(60):
            front.read(0, 512)
        limited = time.monotonic() - begin
        assert limited > 0.2, "60 at 200 a second, less what may gather"
        disks.pmd.call("disk-set", disk="vm/root", iops=0)
        begin = time.monotonic()
        for _ in range(60):
            front.read(0, 512)
        assert time.monotonic() - begin < limited


def test_a_request_that_waits_for_its_turn_has_it_in_time(disks):
    """With 20 operations a second none waits for longer than that takes, whenever it comes between two looks of a sleeping worker."""
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image(), iops=20)
        front.connect()
        slowest = 0
        for _ in range(60):
            begin = time.monotonic()
            front.read(0, 512)
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 0.6, slowest


def test_an_idle_disk_costs_no_cpu(disks):
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image())
        front.connect()
        front.write(0, b"x" * 512)
        time.sleep(0.5)
        before = cpu_seconds(disks.pmd.process.pid)
        time.sleep(2)
        assert cpu_seconds(disks.pmd.process.pid) - before < 0.1
        front.read(0, 512)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_ring_that_its_driver_never_kicks_is_looked_at(disks):
    """SET_VRING_KICK without an fd: requests are found by looking, far more often than the worker sleeps."""
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image(data=b"n" * MIB))
        front.connect()
        front.tell(GET_VRING_BASE, struct.pack("<II", 0, 0))
        front.hear(GET_VRING_BASE)
        front.ring_tell(0)
        front.tell(SET_VRING_KICK, struct.pack("<Q", NO_FD))
        front.ask(GET_FEATURES)
        begin = time.monotonic()
        for _ in range(30):
            time.sleep(0.01)  # it sleeps by now
            slot = front.begin(T_IN, length=512)
            assert front.wait(slot)[1:3] == (0, b"n" * 512)
        assert time.monotonic() - begin < 10


def test_a_kick_that_is_always_ready_keeps_no_worker_busy(disks):
    """An eventfd of which each read takes one of very many: the ring is looked at by the clock, and goes on."""
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image(data=b"n" * MIB))
        front.connect()
        kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE)
        os.eventfd_write(kick, (1 << 64) - 2)
        front.tell(SET_VRING_KICK, struct.pack("<Q", 0), (kick,))
        front.ask(GET_FEATURES)
        # One is taken at each look, of which there are 1000 a second.
        begin, before = time.monotonic(), disks.stats("vm/root")["kicks"]
        time.sleep(2)
        looks = disks.stats("vm/root")["kicks"] - before
        assert looks < 1200 * (time.monotonic() - begin), looks
        for _ in range(30):
            slot = front.begin(T_IN, length=512)
            assert front.wait(slot)[1:3] == (0, b"n" * 512)
        # A kick as it should be is waited for again, and costs nothing.
        front.tell(SET_VRING_KICK, struct.pack("<Q", 0), (front.kicks[0],))
        front.read(0, 512)
        time.sleep(0.3)
        before = cpu_seconds(disks.pmd.process.pid)
        time.sleep(1)
        assert cpu_seconds(disks.pmd.process.pid) - before < 0.1
        os.close(kick)


def test_zeroes_count_for_the_bandwidth(disks):
    with disks.front("vm/root") as front:
        disks.add("vm/root", disks.image(size=16 * MIB), bandwidth=8 * MIB)
        front.connect()
        begin = time.monotonic()
        for _ in range(3):
            front.ranges(T_ZEROES, (0, 8192, 1))
        assert time.monotonic() - begin > 0.8, "two of them wait for the 4 MiB before them, at 8 MiB a second"


class Load:
    """Writes of blocks with a number in each, several under way, and what was acknowledged of them."""

    def __init__(self, front, seed):
        self.front, self.rng = front, random.Random(seed)
        self.acknowledged = {}  # block -> number that was written last and answered
        self.under_way = {}  # (queue, slot) -> (block, number)
        self.count = self.errors = 0

    def begin(self, queue):
        busy = {block for block, _ in self.under_way.values()}
        block = self.rng.randrange(2048)
        if block in busy or self.front.free_slot(queue) is None:
            return
        self.count += 1
        slot = self.front.begin(T_OUT, block * 8, struct.pack("<QQ", block, self.count) * 256, queue=queue)
        self.under_way[queue, slot] = (block, self.count)

    def reap(self):
        for queue in range(len(self.front.rings)):
            for slot, status, _, _ in self.front.reap(queue):
                block, number = self.under_way.pop((queue, slot))
                self.errors += status != 0
                self.acknowledged[block] = number

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for queue in range(len(self.front.rings)):
                for _ in range(4):
                    self.begin(queue)
                self.front.kick(queue)
            self.reap()

    def settle(self):
        eventually(lambda: (self.reap(), not self.under_way)[1])
        assert not self.errors

    def check(self):
        for block, number in self.acknowledged.items():
            assert self.front.read(block * 8, 4096) == struct.pack("<QQ", block, number) * 256, (block, number)


def test_killed_under_load_it_loses_no_acknowledged_write(disks, flags):
    """Each killed backend's requests are done again by the next, and every one comes back exactly once."""
    kills = int(os.environ.get("VIADUCT_DISK_KILLS", "12"))
    with disks.front("vm/root", queues=2, slots=24) as front:
        disks.add("vm/root", disks.image(), flags, queues=2)
        front.connect()
        load = Load(front, kills)
        for _ in range(kills):
            load.run(load.rng.uniform(0.02, 0.15))
            disks.restart()
            front.connect()
        load.run(0.1)
        load.settle()
        load.check()
        assert load.count > 20 * kills, load.count


def test_as_many_as_were_under_way_are_done_again(disks):
    with disks.front("vm/root", size=512, slots=160) as front:
        disks.add("vm/root", disks.image())
        front.connect()
        disks.pmd.kill()
        slots = [front.begin(T_OUT, 8 * i, struct.pack("<Q", i) * 512) for i in range(160)]
        front.take_as_backend(*slots)
        disks.restart()
        front.connect()
        for slot in slots:
            assert front.wait(slot)[1] == 0
        for i in range(160):
            assert front.read(8 * i, 4096) == struct.pack("<Q", i) * 512


def test_memory_changes_and_rings_stop_under_load(disks):
    """What is under way is done before the memory goes, and GET_VRING_BASE answers when all is used."""
    with disks.front("vm/root", slots=24) as front:
        disks.add("vm/root", disks.image(), os.O_RDWR | os.O_DIRECT)
        front.connect()
        load = Load(front, 5)
        for _ in range(20):
            load.run(0.02)
            front.memory_tell()
            load.run(0.02)
            base = struct.unpack("<II", front.ask(GET_VRING_BASE, struct.pack("<II", 0, 0)))[1]
            load.reap()
            assert base == front.rings[0].used_index(), "nothing is under way"
            front.ring_tell(0)
            front.kick(0)
        load.settle()
        load.check()


def test_an_mtu_is_not_for_disks(disks):
    """A message for network devices ends the connection, after what is under way, and nothing is lost."""
    with disks.front("vm/root", slots=24) as front:
        disks.add("vm/root", disks.image(), os.O_RDWR | os.O_DIRECT)
        front.connect()
        load = Load(front, 7)
        for _ in range(10):
            load.run(0.05)
            assert front.order(NET_SET_MTU, struct.pack("<Q", 1500)) == 1, "refused"
            front.connect()
        load.settle()
        load.check()
    assert "NET_SET_MTU: protocol feature 4, which was not agreed on" in disks.pmd.text()


class Talk(threading.Thread):
    """A VMM that goes on asking for what stops its ring, and a guest that goes on writing, until hung up on."""

    def __init__(self, front, load):
        super().__init__()
        self.front, self.load, self.said = front, load, 0

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                self.load.run(0.001)
                self.front.tell(SET_VRING_CALL, struct.pack("<Q", 0), (self.front.calls[0],))
                self.said += 1


def test_a_disk_that_goes_under_load_while_its_vmm_talks(disks, flags):
    """Once what is under way is waited for, no message brings the rings back: all that was taken is done or taken again."""
    path = disks.image()
    with disks.front("vm/root", slots=24) as front:
        load = Load(front, 8)
        for _ in range(15):
            disks.add("vm/root", path, flags)
            front.connect()
            talk = Talk(front, load)
            talk.start()
            eventually(lambda: talk.said > 5)
            try:
                disks.pmd.call("disk-remove", disk="vm/root")
            except PmdError as e:  # a slow disk of a busy machine
                assert "it goes when I/O that is under way has ended" in str(e)
                eventually(lambda: disks.pmd.call("status")["disks"] == [])
            talk.join()
            assert disks.pmd.call("status")["disks"] == []
        disks.add("vm/root", path, flags)
        front.connect()
        load.settle()
        load.check()
        assert load.count > 100, load.count


def test_who_finds_no_room_hears_why(disks):
    """The sandbox knows the calls for it."""
    with contextlib.ExitStack() as stack:
        for _ in range(9):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            sock.connect(disks.pmd.sock.getpeername())
        sock.settimeout(60)
        assert b"too many control connections" in sock.recv(65536)
    assert disks.pmd.call("status")["disks"] == []


def test_an_image_that_ends_within_a_block_keeps_its_end(disks, flags):
    data = b"\xaa" * (MIB + 100)
    path = disks.image(size=len(data), data=data)
    with disks.front("vm/root") as front:
        assert disks.add("vm/root", path, flags)["size"] == MIB
        front.connect()
        assert front.features >> F_DISCARD & 1
        assert front.read(MIB // SECTOR - 8, 4096) == b"\xaa" * 4096
        disks.pmd.call("disk-remove", disk="vm/root")
    assert path.read_bytes() == data


def test_a_vmm_that_goes_away_under_load_comes_back(disks):
    with disks.front("vm/root", slots=24, features=(*DiskFront.WANTED, F_EVENT_IDX)) as front:
        disks.add("vm/root", disks.image(), os.O_RDWR | os.O_DIRECT)
        front.connect()
        load = Load(front, 6)
        for _ in range(10):
            load.run(0.05)
            front.hang_up()
            front.connect()
        load.settle()
        load.check()


@pytest.mark.parametrize("what, members, code", [
    ("a pipe", {}, "image-refused"),
    ("an empty file", {}, "image-refused"),
    ("a file that is only read", {}, "image-refused"),
])
def test_what_is_no_image_is_refused(disks, what, members, code):
    path = disks.image(size=0 if what == "an empty file" else MIB)
    if what == "a pipe":
        path = disks.folder / "pipe"
        os.mkfifo(path)
    with pytest.raises(PmdError) as e:
        disks.add("vm/root", path, os.O_RDONLY if "read" in what else os.O_RDWR, **members)
    assert e.value.code == code
    with pytest.raises(PmdError) as e:
        disks.pmd.call("disk-remove", disk="vm/root")
    assert e.value.code == "no-such-disk"


def test_a_role_has_its_own_requests(disks):
    with pytest.raises(PmdError) as e:
        disks.pmd.call("network-add", name="n", uplinks=[], bond="none")
    assert e.value.code == "unknown-request"

# SPDX-License-Identifier: BSD-3-Clause
"""A guest that does everything wrong to viaduct-pmd, in its rings and as its VMM: beside it two guests go on exchanging
frames, the process stays the same, and nothing but what the hostile guest's port may send reaches them."""

import contextlib
import fcntl
import os
import random
import resource
import select
import signal
import socket
import struct
import time

import pytest
from daemonkit import PATIENCE_S, eventually
from disk_front import GET_CONFIG, SET_BACKEND_REQ_FD
from pmdkit import pmd, pmd_program  # noqa: F401 (fixtures)
from vhost_front import (
    BUFFER, DESC_INDIRECT, DESC_NEXT, DESC_WRITE, F_INDIRECT, F_PACKED, GET_FEATURES, GET_INFLIGHT_FD, GET_VRING_BASE,
    GET_STATUS, HEADER, NET_SET_MTU, P_BACKEND_REQ, P_CONFIG, P_INFLIGHT, P_LOG_SHMFD, P_MQ, P_MTU, P_RARP, P_STATUS, RX, SEND_RARP,
    SET_FEATURES, SET_INFLIGHT_FD, SET_LOG_BASE, SET_LOG_FD, SET_MEM_TABLE, SET_PROTOCOL_FEATURES, SET_STATUS, SET_VRING_ADDR,
    SET_VRING_BASE, SET_VRING_CALL, SET_VRING_ENABLE, SET_VRING_KICK, SET_VRING_NUM, TX, Front, Log, frame, mac)

MAC = {name: f"02:00:00:00:00:{n:02x}" for n, name in enumerate(("evil", "ann", "bob"), 1)}
OUTSIDE = 1 << 40


@pytest.fixture
def three(pmd):
    """The hostile guest's front end and the two others', all connected to one network."""
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    fronts = {'pmd': pmd}
    for name, address in MAC.items():
        features = (*Front.WANTED, F_INDIRECT) if name == "evil" else Front.WANTED
        fronts[name] = pmd.port(f"vm/{name}", "lan", features=features, mac=address)
        fronts[name].connect()
    yield fronts
    for name in MAC:
        fronts[name].close()


def exchange(three, count=20):
    """ann and bob go on talking, each frame as it was sent and once."""
    for i in range(count):
        for a, b in (("ann", "bob"), ("bob", "ann")):
            text = b"%s %d %d" % (a.encode(), i, time.monotonic_ns())
            three[a].send(frame(MAC[b], MAC[a], text))
            got = three[b].receive()
            while got is not None and got[1][6:12] == mac(MAC["evil"]):  # it may send what it likes under its own address
                got = three[b].receive()
            assert got is not None, f"{b} hears nothing of {a}: {three['pmd'].call('status')} {three['pmd'].text()}"
            assert got[1] == frame(MAC[b], MAC[a], text), got


def put(front, index, addr, length, flags=0, following=0):
    front.rings[TX].set_desc(index, addr, length, flags, following)
    front.rings[TX].offer(index)


def table(front, entries):
    """An indirect table in memory that no ring uses; its address."""
    for n, (addr, length, flags, following) in enumerate(entries):
        struct.pack_into("<QIHH", front.memory, front.spare + 16 * n, addr, length, flags, following)
    return front.spare


def loop_of_one(f):
    put(f, 0, f.rings[TX].buffer(0), 64, DESC_NEXT, 0)


def loop_of_two(f):
    f.rings[TX].set_desc(1, f.rings[TX].buffer(1), 64, DESC_NEXT, 0)
    put(f, 0, f.rings[TX].buffer(0), 64, DESC_NEXT, 1)


def next_out_of_range(f):
    put(f, 0, f.rings[TX].buffer(0), 64, DESC_NEXT, 0xfff0)


def head_out_of_range(f):
    f.rings[TX].offer(0xffff)


def outside_memory(f):
    put(f, 0, OUTSIDE, 64)


def across_the_end_of_memory(f):
    put(f, 0, f.bytes - 32, 4096)


def length_overflows(f):
    put(f, 0, f.rings[TX].buffer(0), 0xffffffff)


def address_overflows(f):
    put(f, 0, (1 << 64) - 16, 64)


def shorter_than_a_header(f):
    put(f, 0, f.rings[TX].buffer(0), HEADER - 1)


def no_bytes(f):
    put(f, 0, f.rings[TX].buffer(0), 0)


def header_alone(f):
    put(f, 0, f.rings[TX].buffer(0), HEADER)


def a_buffer_to_write(f):
    put(f, 0, f.rings[TX].buffer(0), 64, DESC_WRITE)


def indirect_in_indirect(f):
    at = table(f, [(f.spare, 32, DESC_INDIRECT, 0), (f.rings[TX].buffer(0), 64, 0, 0)])
    put(f, 0, at, 32, DESC_INDIRECT)


def indirect_loop(f):
    at = table(f, [(f.rings[TX].buffer(0), 64, DESC_NEXT, 1), (f.rings[TX].buffer(1), 64, DESC_NEXT, 0)])
    put(f, 0, at, 32, DESC_INDIRECT)


def indirect_of_odd_length(f):
    put(f, 0, table(f, [(f.rings[TX].buffer(0), 64, 0, 0)]), 17, DESC_INDIRECT)


def indirect_of_no_length(f):
    put(f, 0, f.spare, 0, DESC_INDIRECT)


def indirect_outside_memory(f):
    put(f, 0, OUTSIDE, 32, DESC_INDIRECT)


def indirect_and_next(f):
    put(f, 0, table(f, [(f.rings[TX].buffer(0), 64, 0, 0)]), 16, DESC_INDIRECT | DESC_NEXT, 1)


def far_too_many_available(f):
    ring = f.rings[TX]
    ring.words[ring.avail // 2 + 1] = (ring.next_avail + 0x7fff) & 0xffff


def endless_chain(f):
    """As long as the ring is, every buffer large."""
    ring = f.rings[TX]
    for n in range(ring.size - 1):
        ring.set_desc(n, ring.buffer(n), BUFFER, DESC_NEXT, n + 1)
    put(f, ring.size - 1, ring.buffer(0), BUFFER)
    ring.offer(0)


RINGS = (loop_of_one, loop_of_two, next_out_of_range, head_out_of_range, outside_memory, across_the_end_of_memory,
         length_overflows, address_overflows, shorter_than_a_header, no_bytes, header_alone, a_buffer_to_write,
         indirect_in_indirect, indirect_loop, indirect_of_odd_length, indirect_of_no_length, indirect_outside_memory,
         indirect_and_next, far_too_many_available, endless_chain)


def test_rings_that_make_no_sense(pmd, three):
    """Each in a connection of its own, since a backend may stop to look at a ring that is broken."""
    pid = pmd.call("status")["pid"]
    for wrong in RINGS:
        evil = three["evil"]
        wrong(evil)
        evil.kick()
        exchange(three, 3)
        assert pmd.call("status")["pid"] == pid == pmd.process.pid, wrong.__name__
        evil.close()
        three["evil"] = evil = pmd.front("vm/evil", features=(*Front.WANTED, F_INDIRECT))
        evil.connect()
        # Served again.
        three["ann"].drain(0.05)
        evil.send(frame(MAC["ann"], MAC["evil"], b"again"))
        frames = three["ann"].drain(0.3, 1)
        assert frames == [frame(MAC["ann"], MAC["evil"], b"again")], (wrong.__name__, frames)
        three["bob"].drain(0.05)
    exchange(three)


@pytest.mark.parametrize("kind", [(), (F_PACKED,)], ids=["split", "packed"])
def test_rings_of_random_bytes(pmd, three, kind):
    features = (*Front.WANTED, F_INDIRECT, *kind)
    three["evil"].close()
    three["evil"] = pmd.front("vm/evil", features=features)
    three["evil"].connect()
    seed = int(os.environ.get("VIADUCT_HOSTILE_SEED", "0")) or random.randrange(1 << 32)
    print("VIADUCT_HOSTILE_SEED", seed)
    lot = random.Random(seed)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        evil = three["evil"]
        for _ in range(20):
            ring = evil.rings[lot.randrange(2)]
            at = lot.choice(ring.areas()) + lot.randrange(0, 64)
            evil.memory[at:at + 8] = lot.randbytes(8)
            evil.kick()
        exchange(three, 1)
        evil.close()
        three["evil"] = pmd.front("vm/evil", features=features)
        three["evil"].connect()
    exchange(three)


def test_a_source_address_rewritten_while_it_is_sent(pmd, three):
    """Another vCPU writes over the header that the backend checks: no frame of another's address gets through."""
    evil, ring = three["evil"], three["evil"].rings[TX]
    good, bad = frame(MAC["ann"], MAC["evil"], b"x" * 40), frame(MAC["ann"], MAC["bob"], b"x" * 40)
    child = os.fork()  # a process, since threads of Python take turns
    if child == 0:
        while True:
            for source in (bad[6:12], good[6:12]):
                for index in range(ring.size):
                    at = ring.buffer(index) + HEADER + 6
                    evil.memory[at:at + 6] = source

    sent, heard, drops, deadline = 0, [], {"evil": {"spoofed": 0}}, time.monotonic() + PATIENCE_S
    try:
        # Long enough for the header to be met in its bad moment.
        while sent < 2000 or drops["evil"]["spoofed"] == 0:
            assert time.monotonic() < deadline, drops
            for _ in range(500):
                evil.send(good)
                while (got := three["ann"].receive(0)) is not None:
                    heard.append(got[1][6:12])
            sent += 500
            heard += [f[6:12] for f in three["ann"].drain(0.1)]
            drops = {name: pmd.call("stats", port=f"vm/{name}")["ports"][0]["drops"] for name in MAC}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    # Each was heard or counted: as spoofed, or because ann was slow to make room.
    def accounted():
        heard.extend(f[6:12] for f in three["ann"].drain(0.1))
        drops.update((name, pmd.call("stats", port=f"vm/{name}")["ports"][0]["drops"]) for name in MAC)
        return len(heard) + drops["evil"]["spoofed"] + drops["ann"]["rx-full"] == sent

    assert eventually(accounted), (len(heard), drops, sent)
    assert set(heard) == {good[6:12]}
    exchange(three)


def bad_messages():
    yield "unknown request", 250, b"", 1
    yield "wrong version", GET_FEATURES, b"", 3
    yield "more than there may be", SET_FEATURES, b"\0" * 4096, 1
    yield "less than there must be", SET_VRING_ADDR, b"\0" * 4, 1
    yield "features not offered", SET_FEATURES, struct.pack("<Q", (1 << 64) - 1), 1
    yield "a log without an fd", SET_LOG_BASE, struct.pack("<QQ", 4096, 0), 1
    yield "a log beyond its file with fds", SET_LOG_BASE, struct.pack("<QQ", 4096, 1 << 40), 1
    yield "too much of a log, with fds", SET_LOG_BASE, struct.pack("<QQ", 1 << 40, 0), 1
    yield "a log too short for its guest, with fds", SET_LOG_BASE, struct.pack("<QQ", 1, 0), 1
    yield "an fd of a log that is no eventfd, with fds", SET_LOG_FD, b"", 1
    yield "a queue that there is not", SET_VRING_NUM, struct.pack("<II", 4000, 256), 1
    yield "a ring of no entries", SET_VRING_NUM, struct.pack("<II", 0, 0), 1
    yield "a ring of too many", SET_VRING_NUM, struct.pack("<II", 0, 65536), 1
    yield "an odd ring", SET_VRING_NUM, struct.pack("<II", 0, 255), 1
    yield "memory without fds", SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, 1 << 20, 0, 0), 1
    yield "too much memory", SET_MEM_TABLE, struct.pack("<II", 2000, 0), 1
    yield "memory that overflows", SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, (1 << 64) - 1, 0, 4096), 1
    yield "a ring outside memory", SET_VRING_ADDR, struct.pack("<IIQQQQ", 0, 0, OUTSIDE, OUTSIDE, OUTSIDE, 0), 1
    yield "a base beyond the ring", SET_VRING_BASE, struct.pack("<II", 4000, 1 << 31), 1
    yield "a kick without an fd", SET_VRING_KICK, struct.pack("<Q", 0), 1
    yield "a call of no queue", SET_VRING_CALL, struct.pack("<Q", 255), 1
    yield "enabling no queue", SET_VRING_ENABLE, struct.pack("<II", 1 << 31, 1), 1
    yield "the base of no queue", GET_VRING_BASE, struct.pack("<II", 1 << 30, 0), 1
    yield "an answer", GET_FEATURES, b"", 5
    yield "protocol features not offered", SET_PROTOCOL_FEATURES, struct.pack("<Q", 1 << 10), 1
    yield "other features while rings run", SET_FEATURES, struct.pack("<Q", 1 << 32), 1
    yield "an MTU of nothing", NET_SET_MTU, struct.pack("<Q", 0), 1
    yield "a region for no rings", GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, 0, 256, 0), 1
    yield "a region for too many rings", GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, 999, 256, 0), 1
    yield "a region without an fd", SET_INFLIGHT_FD, struct.pack("<QQHHI", 4096, 0, 2, 256, 0), 1
    yield "a region beyond its file with fds", SET_INFLIGHT_FD, struct.pack("<QQHHI", 1 << 24, 0, 2, 256, 0), 1


def test_messages_that_make_no_sense(pmd, three):
    pid = pmd.call("status")["pid"]
    for text, request, payload, flags in bad_messages():
        evil = three["evil"]
        fds = (evil.fd,) if "too much" in text or "overflows" in text or "with fds" in text else ()
        try:
            evil.tell(request, payload, fds, flags)
            evil.hang_up()
        except OSError:
            pass  # it hung up first
        exchange(three, 2)
        assert pmd.call("status")["pid"] == pid == pmd.process.pid, text
        evil.close()
        three["evil"] = pmd.front("vm/evil", features=Front.WANTED)
        three["evil"].connect()
    three["evil"].send(frame(MAC["ann"], MAC["evil"], b"well again"))
    assert three["ann"].receive()[1] == frame(MAC["ann"], MAC["evil"], b"well again")


def needy_messages():
    """(feature of the protocol, message that means nothing without it, its payload, has it an fd)"""
    region = struct.pack("<QQHHI", 4096, 0, 2, 64, 0)
    yield P_LOG_SHMFD, SET_LOG_BASE, struct.pack("<QQ", 4096, 0), True
    yield P_RARP, SEND_RARP, mac(MAC["evil"]) + b"\0\0", False
    yield P_MTU, NET_SET_MTU, struct.pack("<Q", 1500), False
    yield P_BACKEND_REQ, SET_BACKEND_REQ_FD, b"", True
    yield P_CONFIG, GET_CONFIG, struct.pack("<III", 0, 60, 0) + bytes(60), False
    yield P_INFLIGHT, GET_INFLIGHT_FD, region, False
    yield P_INFLIGHT, SET_INFLIGHT_FD, region, True
    yield P_STATUS, SET_STATUS, struct.pack("<Q", 0), False
    yield P_STATUS, GET_STATUS, b"", False
    yield P_MQ, SET_VRING_NUM, struct.pack("<II", 2, 256), False


def test_what_was_not_agreed_on_is_not_done(pmd, three):
    evil = three["evil"]
    for feature, request, payload, has_fd in needy_messages():
        evil.PROTOCOL = [bit for bit in Front.PROTOCOL if bit != feature]
        evil.connect()
        with contextlib.ExitStack() as stack, contextlib.suppress(ConnectionResetError):
            fd = stack.enter_context(socket.socket()).fileno() if request == SET_BACKEND_REQ_FD else evil.fd
            assert evil.order(request, payload, (fd,) if has_fd else ()) == 1, request
        assert eventually(lambda: "was not agreed on" in pmd.call("status")["ports"][0]["error"]), (request, pmd.call("status"))
        exchange(three, 1)


def test_memory_is_replaced_under_traffic(pmd, three):
    """The table of guest memory told anew while frames come and go: none is lost or changed."""
    ann, bob = three["ann"], three["bob"]
    end, changes = time.monotonic() + 40, 0
    while time.monotonic() < end and changes < 10000:
        text = b"change %d" % changes
        ann.send(frame(MAC["bob"], MAC["ann"], text))
        # Before, while and after it is on its way.
        for _ in range(20):
            ann.memory_tell()
            changes += 1
        got = bob.receive()
        assert got is not None and got[1] == frame(MAC["bob"], MAC["ann"], text), changes
    print(changes, "changes of memory")
    assert changes >= 500
    exchange(three)


def test_a_broken_ring_stops_alone_until_it_is_set_up_again(pmd, three):
    evil, ring = three["evil"], three["evil"].rings[TX]
    far_too_many_available(evil)
    evil.kick()
    assert eventually(lambda: "ring 1: " in pmd.call("status")["ports"][0]["error"]), pmd.call("status")
    port = pmd.call("status")["ports"][0]
    assert port["state"] == "running"
    assert pmd.call("stats", port="vm/evil")["ports"][0]["drops"]["malformed"] == 1
    three["ann"].send(frame(MAC["evil"], MAC["ann"], b"still heard"))
    assert evil.receive()[1] == frame(MAC["evil"], MAC["ann"], b"still heard")
    # The driver starts over with this ring.
    ring.words[ring.avail // 2 + 1] = ring.next_avail = ring.used_index()
    assert struct.unpack("<II", evil.ask(GET_VRING_BASE, struct.pack("<II", TX, 0))) == (TX, ring.used_index())
    evil.ring_tell(TX)
    evil.send(frame(MAC["ann"], MAC["evil"], b"well again"))
    assert three["ann"].receive()[1] == frame(MAC["ann"], MAC["evil"], b"well again")
    assert pmd.call("status")["ports"][0]["error"] == ""
    exchange(three)


def fill(fd):
    """An eventfd whose next write waits for a reader."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)
    os.eventfd_write(fd, (1 << 64) - 2)
    os.set_blocking(fd, True)


@pytest.mark.parametrize("ring", [RX, TX])
def test_an_eventfd_that_waits_stops_nobody_else(pmd, three, ring):
    """The file is the VMM's as well: it fills it and takes O_NONBLOCK away, so that whoever calls the guest sleeps."""
    evil = three["evil"]
    for fd in evil.calls:
        fill(fd)
    if ring == TX:
        evil.send(frame(MAC["ann"], MAC["evil"], b"x"))
    else:
        three["ann"].send(frame(MAC["evil"], MAC["ann"], b"x"))
    assert eventually(lambda: "made to wait" in pmd.call("status")["ports"][0]["error"]), pmd.call("status")
    # Not the first thing only: the others are served from then on.
    three["ann"].drain(0.05)
    exchange(three)
    # It is let in again, and served as it behaves.
    for fd in evil.calls:
        os.eventfd_read(fd)
        os.set_blocking(fd, False)
    evil.connect()
    evil.send(frame(MAC["ann"], MAC["evil"], b"well again"))
    frames = []
    assert eventually(lambda: frames.extend(three["ann"].drain(0.1)) or frame(MAC["ann"], MAC["evil"], b"well again") in frames)


def test_kicks_beyond_all_numbers_leave_the_counters_of_all_readable(pmd, three):
    """What viaductd reads is signed: one number below zero would cost it the counters of all ports."""
    evil = three["evil"]
    for _ in range(3):
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(evil.kicks[TX])
        os.eventfd_write(evil.kicks[TX], (1 << 64) - 2)
        ports = pmd.call("stats")["ports"]
        assert ports[0]["port"] == "vm/evil" and ports[0]["kicks"] == (1 << 63) - 1
    exchange(three, 1)


def resident(pid):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_regions_in_flight_that_a_vmm_keeps_hold_no_memory(pmd, three):
    """The pages that rings touch in a region are the backend's to pay for, and a VMM can ask for one after the other."""
    evil, pid, kept = three["evil"], pmd.process.pid, []
    before, fds = resident(pid), len(os.listdir(f"/proc/{pid}/fd"))
    for number in range(200):
        for index in range(2):
            evil.ask(GET_VRING_BASE, struct.pack("<II", index, 0))
        evil.inflight = None
        evil.inflight_tell()
        kept.append(evil.inflight[1])
        for index in range(2):
            evil.ring_tell(index)
        evil.ask(GET_FEATURES)
        if number % 20 == 19:
            evil.connect()
    assert os.fstat(kept[-1]).st_blocks > 0, "which the rings use"
    assert sum(os.fstat(fd).st_blocks for fd in kept[:-1]) == 0
    for index in range(2):
        evil.ask(GET_VRING_BASE, struct.pack("<II", index, 0))
    for _ in range(10000):
        evil.tell(GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, 16, 32768, 0))
        os.close(evil.hear_fd(GET_INFLIGHT_FD)[1])
    assert resident(pid) - before < 8 << 10
    assert len(os.listdir(f"/proc/{pid}/fd")) <= fds + 2
    for fd in kept[:-1]:
        os.close(fd)
    exchange(three, 1)


def test_answers_that_a_vmm_leaves_unread_take_no_fds_from_others(pmd, three):
    """An fd that was sent and not read counts to those that all of the backend's uid may have on their way (unix(7))."""
    resource.prlimit(pmd.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    evil, bob, kept = three["evil"], three["bob"], []
    for _ in range(3):
        evil.accept()
        evil.negotiate()
        with contextlib.suppress(OSError):
            for _ in range(300):
                evil.tell(GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, 2, 256, 0))
        assert eventually(lambda: "does not read its answers" in pmd.call("status")["ports"][0]["error"])
        kept.append(evil.sock)
        evil.sock = None
    bob.hang_up()
    bob.inflight = None  # as a VMM that comes anew
    bob.connect()
    exchange(three, 3)
    for sock in kept:
        sock.close()


def test_a_log_of_more_than_any_guest_holds_nobody_up(pmd, three):
    """All of a guest's memory is marked in its first log, of which 4 TiB are 128 MiB: others are heard meanwhile."""
    evil, bob = three["evil"], three["bob"]
    evil.hang_up()
    os.close(evil.fd)
    evil.bytes = 4 << 40
    evil.fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(evil.fd, evil.bytes)  # which is nothing
    fcntl.fcntl(evil.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    evil.accept()
    evil.negotiate()
    evil.memory_tell()
    log = Log(evil.bytes)
    evil.tell(SET_LOG_BASE, struct.pack("<QQ", log.bytes, 0), (log.fd,))
    begin, worst = time.monotonic(), 0
    while not select.select([evil.sock], [], [], 0)[0]:
        asked = time.monotonic()
        bob.memory_tell()
        worst = max(worst, time.monotonic() - asked)
    took = time.monotonic() - begin
    assert evil.hear(SET_LOG_BASE) == b""
    assert log.bits[:] == b"\xff" * log.bytes
    # The bound is for machines on which all of it takes no longer than a turn.
    assert worst < max(0.3, took / 2), (worst, took)
    log.close()
    exchange(three, 1)


def test_a_vmm_that_says_half_a_message_or_hears_no_answer(pmd, three):
    """Others connect, and change their memory, while one VMM keeps the thread waiting or talks without end."""
    evil = three["evil"]
    evil.sock.send(struct.pack("<II", SET_MEM_TABLE, 1))
    three["bob"].hang_up()
    three["bob"].connect()
    exchange(three, 3)
    evil.hang_up()
    evil.accept()
    evil.sock.setblocking(False)
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                evil.sock.send(struct.pack("<III", GET_FEATURES, 1, 0) * 20)
    assert time.monotonic() < deadline, "who reads no answer is hung up on"
    assert "does not read its answers" in pmd.call("status")["ports"][0]["error"]
    three["bob"].memory_tell()
    exchange(three, 3)


def test_fds_of_a_vmm_are_closed_again(pmd, three):
    """Whatever becomes of the messages that they came with."""
    def open_fds():
        return len(os.listdir(f"/proc/{pmd.process.pid}/fd"))

    evil = three["evil"]
    before = open_fds()
    for round_ in range(30):
        with contextlib.suppress(OSError):
            for index in range(2):
                evil.ring_tell(index)
            evil.tell(GET_FEATURES, b"", (evil.fd,) * (1 + round_ % 8))
            evil.tell(SET_VRING_KICK, struct.pack("<Q", 0), evil.kicks)
        evil.hang_up()
        evil.connect()
    evil.send(frame(MAC["ann"], MAC["evil"], b"x"))
    assert three["ann"].receive() is not None
    assert open_fds() <= before
    exchange(three, 3)

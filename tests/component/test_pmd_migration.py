# SPDX-License-Identifier: BSD-3-Clause
"""What a VMM needs of viaduct-pmd to migrate a guest: it learns which pages were written, all of them and no others."""

import contextlib
import struct
import threading

import pytest
from daemonkit import eventually
from pmdkit import pmd, pmd_program  # noqa: F401
from vhost_front import BUFFER, F_EVENT_IDX, F_PACKED, GET_VRING_BASE, PAGE, RX, TX, Front, frame

ANN, BOB = "02:00:00:00:00:01", "02:00:00:00:00:02"
KINDS = {"split": Front.WANTED, "packed": (*Front.WANTED, F_PACKED), "split with events": (*Front.WANTED, F_EVENT_IDX),
         "packed with events": (*Front.WANTED, F_PACKED, F_EVENT_IDX)}


@pytest.fixture(params=KINDS)
def pair(request, pmd):  # noqa: F811
    pmd.call("network-add", name="lan", uplinks=[], bond="none")
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(pmd.port(f"{name}/lan", "lan", mac=address, features=KINDS[request.param]))
                  for name, address in (("ann", ANN), ("bob", BOB))]
        for guest in guests:
            guest.connect()
        yield guests


def exchange(ann, bob, number):
    """A frame each way, of any size."""
    size = 60 + number * 37 % 1400
    for one, other, to, source in ((ann, bob, BOB, ANN), (bob, ann, ANN, BOB)):
        data = frame(to, source, bytes([1 + number % 251]) * size)
        one.send(data)
        assert other.receive()[1] == data
    assert ann.is_sent() and bob.is_sent()


def pages(at, length):
    return set(range(at // PAGE, (at + length - 1) // PAGE + 1))


def ring_pages(guest):
    """Where the backend tells what it used, and what it wants to be told."""
    found = set()
    for ring in guest.rings:
        if ring.is_packed:
            found |= pages(ring.desc, 16 * ring.size) | pages(ring.device, 4)
        else:
            found |= pages(ring.used, 6 + 8 * ring.size)
    return found


def test_pages_that_were_written_are_marked(pair):
    ann, bob = pair
    exchange(ann, bob, 0)
    log = bob.log_tell()
    assert log.pages() == set(range(bob.bytes // PAGE)), "what was written before is not known"
    bob.marks_tell(True)
    log.clear()
    for number in range(bob.rings[RX].size + 40):
        before, at = bytes(bob.memory), bob.rings[RX]
        buffers = {page for index in range(at.size) for page in pages(at.buffer(index), BUFFER)}
        exchange(ann, bob, number)
        after, marked = bytes(bob.memory), log.pages()
        written = {page for page in buffers | ring_pages(bob)
                   if before[PAGE * page:PAGE * page + PAGE] != after[PAGE * page:PAGE * page + PAGE]}
        # The driver, too, writes beside what is used; that is not the backend's to mark.
        assert written & buffers <= marked and marked <= (written & buffers) | ring_pages(bob), (number, marked, written)
        assert marked & ring_pages(bob)
        log.clear()
    bob.marks_tell(False)
    log.clear()
    for number in range(20):
        exchange(ann, bob, number)
    assert not log.pages()
    log.close()


class Traffic:
    """Frames from ann to bob, each checked, until it is told to end."""

    def __init__(self, ann, bob):
        self.ann, self.bob, self.got, self.ends, self.error = ann, bob, 0, threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            number = 0
            while not self.ends.is_set():
                for _ in range(16):
                    self.ann.send(frame(BOB, ANN, struct.pack("<Q", number) * (8 + number % 170)))
                    number += 1
                for data in self.bob.drain(0, least=16):
                    assert data == frame(BOB, ANN, struct.pack("<Q", self.got) * (8 + self.got % 170))
                    self.got += 1
        except Exception as e:  # shown in end()
            self.error = e

    def end(self):
        self.ends.set()
        self.thread.join()
        if self.error:
            raise self.error


def copy(guest, log, other):
    for page in log.pages():
        other[PAGE * page:PAGE * page + PAGE] = guest.memory[PAGE * page:PAGE * page + PAGE]
    log.close()


def test_a_copy_made_by_the_log_is_the_guest(pair):
    """Pages are copied under traffic, round by round, then the rings stop: nothing that the backend wrote is missing."""
    ann, bob = pair
    traffic = Traffic(ann, bob)
    other = bytearray(bob.bytes)
    try:
        log = bob.log_tell()
        bob.marks_tell(True)
        for _ in range(20):
            got = traffic.got
            assert eventually(lambda: traffic.got > got + 100 or traffic.error), traffic.got
            following = bob.log_tell()
            copy(bob, log, other)
            log = following
    finally:
        traffic.end()
    for index in (RX, TX):
        bob.ask(GET_VRING_BASE, struct.pack("<II", index, 0))
    assert len(log.pages()) < bob.bytes // PAGE
    copy(bob, log, other)
    ring = bob.rings[RX]
    parts = [(ring.buffer(index), BUFFER) for index in range(ring.size)]
    if not ring.is_packed:
        parts += [(each.used, 4 + 8 * each.size) for each in bob.rings]
    for at, length in parts:
        assert other[at:at + length] == bob.memory[at:at + length], hex(at)

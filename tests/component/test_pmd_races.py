# SPDX-License-Identifier: BSD-3-Clause
"""All that can change in a viaduct-pmd changes at once, under traffic. The tsan suite runs this with the thread sanitizer,
which looks whether each change waits until no lcore is at work on what it changes."""

import contextlib
import itertools
import os
import pathlib
import re
import struct
import threading
import time

import pytest
from daemonkit import eventually
from pmdkit import Pmd, PmdError, exchange, pmd_program  # noqa: F401
from vhost_front import (
    F_EVENT_IDX, F_PACKED, GET_FEATURES, GET_VRING_BASE, NET_SET_MTU, RX, SEND_RARP, SET_STATUS, SET_VRING_ENABLE, TX, Front, frame)
from vhost_front import mac as mac_bytes

PATIENCE = 120  # on a slow machine, until each part came round LEAST times
LEAST = 3
SECONDS = float(os.environ.get("VIADUCT_RACE_SECONDS", "8"))
NAMES = ("ann", "bob", "cat", "dan")
MAC = {name: f"02:00:00:00:00:{number:02x}" for number, name in enumerate(NAMES, 1)}
ALL = "ff:ff:ff:ff:ff:ff"
KINDS = {"ann": Front.WANTED, "bob": (*Front.WANTED, F_PACKED), "cat": (*Front.WANTED, F_EVENT_IDX),
         "dan": (*Front.WANTED, F_PACKED, F_EVENT_IDX)}


class Storm:
    """What goes on at once; the first error of any of it ends all."""

    def __init__(self, process, seconds):
        self.process, self.end, self.error = process, time.monotonic() + seconds, None
        self.rounds, self.threads = {}, []

    def start(self, name, body):
        self.rounds[name] = 0

        def run():
            try:
                for number in itertools.count():
                    if self.error or self.is_over() or self.process.process.poll() is not None:
                        break
                    body(number)
                    self.rounds[name] = number + 1
            except Exception as e:  # what it is shows in join()
                self.error = self.error or e

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def is_over(self):
        late = time.monotonic() - self.end
        return late > PATIENCE or (late > 0 and min(self.rounds.values()) >= LEAST)

    def join(self):
        for thread in self.threads:
            thread.join()
        if self.error:
            raise self.error


def small_guest(process, port, network, address, features=Front.WANTED):
    """With so little memory that each part of it is soon used again."""
    front = process.front(port, features=features, size=64, memory=1 << 20)
    process.port_at(port, network, front.path, mac=address)
    front.connect()
    return front


def talk(front, name, number):
    """A burst to one of the others, known or not, or to all of them; and whatever came is taken."""
    to = (*MAC.values(), ALL, "02:00:00:00:00:99")[number % (len(MAC) + 2)]
    front.tx_reap()
    for _ in range(min(len(front.free_tx), 32)):
        front.send(frame(to, MAC[name], b"%d" % number * 20))
    while front.receive(0) is not None:
        pass
    time.sleep(0.001)


def change_rings(front, number):
    """What a VMM says while its guest runs: each of it makes rings stop and start."""
    ring = (RX, TX)[number % 2]
    front.memory_tell()
    front.tell(SET_VRING_ENABLE, struct.pack("<II", ring, 0))
    front.tell(SET_VRING_ENABLE, struct.pack("<II", ring, 1))
    front.tell(SEND_RARP, mac_bytes(MAC["cat"]) + bytes(2))
    front.tell(NET_SET_MTU, struct.pack("<Q", 1400 + number % 100))
    front.ask(GET_VRING_BASE, struct.pack("<II", ring, 0))
    front.ring_tell(ring)
    front.log_tell().close()
    front.marks_tell(number % 4 < 2)
    if number % 8 == 7:
        front.tell(SET_STATUS, struct.pack("<Q", 0))
        for index in (RX, TX):
            front.ring_tell(index)
    front.ask(GET_FEATURES)
    if number % 16 == 15:
        front.hang_up()
        front.connect()


def ask_all(process, folder, number):
    """What the daemon asks and changes. vm5 comes and goes, and so do a network of its own and an uplink."""
    process.call("status")
    process.call("stats")
    process.call("fdb", network="lan")
    process.call("port-set", port="bob/lan", policy={
        "mac": MAC["bob"], "rate": (0, 1 << 30)[number % 2], "mtu": 1500 + number % 3, "spoofchk": number % 2 == 0})
    with open(folder / "mirror", "wb") as file:
        exchange(process.sock, {"v": 1, "op": "mirror", "port": "ann/lan", "limit_bytes": 1 << 20, "fds": ["file"]},
                 (file.fileno(),))
        time.sleep(0.01)
        process.call("mirror-stop", port="ann/lan")
    process.call("uplink-add", name="hole", kind="null", device="")
    process.call("network-add", name="wan", uplinks=["hole"], bond="none")
    with small_guest(process, "vm5/wan", "wan", "02:00:00:00:00:05") as front:
        front.send(frame(ALL, "02:00:00:00:00:05", b"out"))
        process.call("stats")
        process.call("port-remove", port="vm5/wan")
    process.call("network-remove", name="wan")
    process.call("uplink-remove", name="hole")


def storm(process, seconds):
    """All of it for so long; returns how often each part came round."""
    with contextlib.ExitStack() as stack:
        process.call("network-add", name="lan", uplinks=[], bond="none")
        fronts = {name: stack.enter_context(small_guest(process, f"{name}/lan", "lan", MAC[name], KINDS[name])) for name in NAMES}
        all_of_it = Storm(process, seconds)
        for name in ("ann", "bob"):
            all_of_it.start(name, lambda number, name=name: talk(fronts[name], name, number))
        for name in ("cat", "dan"):
            all_of_it.start(name, lambda number, name=name: change_rings(fronts[name], number))
        all_of_it.start("daemon", lambda number: ask_all(process, process.folder, number))
        all_of_it.join()
        return all_of_it.rounds


@pytest.mark.parametrize("idle", ["adaptive", "interrupt"])
def test_all_changes_at_once_under_traffic(pmd_program, short_tmp, idle):  # noqa: F811
    cpus = sorted(os.sched_getaffinity(0))[:2]
    process = Pmd(pmd_program, short_tmp, idle=idle, cpus=cpus).start()
    try:
        rounds = storm(process, SECONDS)
        assert process.process.poll() is None, process.text()
        print(rounds)
        assert min(rounds.values()) >= LEAST, rounds
        assert process.stop() == 0, process.text()
    finally:
        process.kill()


def unquiet():
    """The program of the tsan build that breaks the rule of lcore_call(); None in other builds."""
    path = pathlib.Path(os.environ.get("VIADUCT_BUILD", "")) / "pmd-backends/viaduct-pmd-unquiet"
    return str(path) if path.exists() else None


if unquiet():
    def test_a_change_that_waits_for_nobody_is_reported(short_tmp):
        """What the case above does not find is not because nobody looks."""
        process = Pmd(unquiet(), short_tmp, cpus=sorted(os.sched_getaffinity(0))[:2]).start()
        try:
            # What is broken may break: only the report counts.
            with contextlib.suppress(AssertionError, OSError, PmdError, struct.error):
                storm(process, SECONDS)
            assert eventually(lambda: "WARNING: ThreadSanitizer: data race" in process.text())
        finally:
            process.kill()
        functions = set(re.findall(r"#0 (\w+) ", process.text()))
        print(sorted(functions))
        # By name: the sandbox did not hide them.
        assert functions & {"live_set", "ring_stop", "ring_start", "change_run", "memory_swap", "switch_port_set_policy"}, functions

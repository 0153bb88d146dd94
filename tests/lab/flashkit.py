# SPDX-License-Identifier: BSD-3-Clause
"""viaduct-vmm is killed at every system call by which it stores firmware variables, while its guest writes the flash
without end (tests/guest/flash). The next one goes on with the file, and its guest says what it finds."""

import os
import pathlib
import re
import tempfile
import time

from vmmdrive import Vmm

IMAGE = 0x84000
CODE_SIZE = 0x37C000
AREA = 0x42000  # where the guest writes
BLOCKS = 16
FIRMWARE_VARS = pathlib.Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
FOUND = re.compile(r"S([0-9a-f]{64})\n")
ERASED = 0xFF
LIFE_S = 60
# Writes of a commit: journal's head and blocks, each block of the image, the end of the journal. Some commits' worth.
WRITES, SYNCS = 60, 8


def points(count):
    """Where to kill: (system call, which one), spread over some commits."""
    every = [("pwrite64", n) for n in range(1, WRITES + 1)] + [("fdatasync", n) for n in range(1, SYNCS + 1)]
    step = max(1, len(every) // count)
    return [every[i * step % len(every)] if step > 1 else every[i % len(every)] for i in range(count)]


def state(found):
    """The number of the first block that is finished (None: none is), if this is what some moment of the guest's work leaves:
    n, then at most one block that is not finished, then n - 1, which before the first round's end is nothing."""
    pairs = [(found[2 * i], found[2 * i + 1]) for i in range(BLOCKS)]
    assert all(b in (a, ERASED) for a, b in pairs), f"a block that was not erased: {found.hex()}"
    erased = pairs.count((ERASED, ERASED))
    numbers = [a for a, b in pairs if a == b != ERASED]
    if set(numbers) <= {0} and numbers == [a for a, _ in pairs[:len(numbers)]]:
        if erased >= BLOCKS - len(numbers) - 1:
            return numbers[0] if numbers else None  # the first round, or its end
    assert len(numbers) >= BLOCKS - 1, f"more than one block is not finished: {found.hex()}"
    steps = [(b - a) % 128 for a, b in zip(numbers, numbers[1:]) if a != b]
    assert steps in ([], [127]), f"blocks of different times: {found.hex()}"
    return numbers[0]


class Flash:
    """Code and variables in a folder; attempt() is one life of a VMM."""

    def __init__(self, build_dir):
        self.folder = tempfile.TemporaryDirectory(dir="/var/tmp")
        os.chmod(self.folder.name, 0o755)
        at = pathlib.Path(self.folder.name)
        self.code, self.vars, self.wrapper = at / "code.fd", at / "vars.fd", at / "vmm"
        end = (build_dir / "tests/guest/flash/flash-loop.bin").read_bytes()
        assert len(end) == 4096
        self.code.write_bytes(b"\xff" * (CODE_SIZE - len(end)) + end)
        self.fresh = FIRMWARE_VARS.read_bytes()
        self.vars.write_bytes(self.fresh + bytes(IMAGE + 4096))
        self.binary = build_dir / "vmm/viaduct-vmm"
        self.rounds = 0

    def close(self):
        self.folder.cleanup()

    def attempt(self, call, number):
        """One VMM until it is killed at its number-th call; returns what its guest found."""
        self.wrapper.write_text(f"#!/bin/sh\nexec strace -f -qqq -o /dev/null -e trace={call} "
                                f"-e inject={call}:signal=SIGKILL:when={number} {self.binary} \"$@\"\n")
        self.wrapper.chmod(0o755)
        with Vmm(str(self.wrapper)) as vmm:
            console = vmm.console()
            try:
                vmm.launch(self.spec(vmm), None, firmware=(self.code, self.vars))
            except ConnectionResetError:
                return None  # killed at what it does at its start
            text = self.listen(vmm, console)
        assert vmm.process.returncode in (-9, 137), (vmm.process.returncode, text[-300:])
        return self.found(text)

    def last(self):
        """A VMM that is let live: what its guest finds, and that it goes on."""
        with Vmm(str(self.binary)) as vmm:
            console = vmm.console()
            vmm.launch(self.spec(vmm), None, firmware=(self.code, self.vars))
            assert console.wait("..", 60), console.seen
            vmm.request("kill")
            vmm.wait(60)
            return self.found(console.seen)

    @staticmethod
    def spec(vmm):
        return vmm.spec(mem_mib=128, uuid="01234567-89ab-cdef-0123-456789abcdef")

    @staticmethod
    def listen(vmm, console):
        end = time.monotonic() + LIFE_S
        while vmm.process.poll() is None:
            assert time.monotonic() < end, f"nothing has killed it: {console.seen[-300:]}"
            console.read_some(0.2)
        return console.seen

    def found(self, text):
        self.rounds += text.count(".")
        match = FOUND.search(text.replace("\r", ""))
        return bytes.fromhex(match.group(1)) if match else None


def storm(build_dir, count):
    flash = Flash(build_dir)
    try:
        seen = 0
        for call, number in points(count):
            found = flash.attempt(call, number)
            if found is not None:
                state(found)
                seen += 1
        number = state(flash.last())
        image = flash.vars.read_bytes()
        print(f"{count} kills, {seen} guests said what they found, {flash.rounds} rounds, at number {number}")
        assert image[:AREA] == flash.fresh[:AREA], "what the guest does not write has changed"
        # Some are killed before they have said anything.
        assert seen >= count // 2 and flash.rounds >= count // 2
    finally:
        flash.close()

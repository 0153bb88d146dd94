# SPDX-License-Identifier: BSD-3-Clause
"""Frames between two guests (virtio-user, DPDK's own driver of virtio) through viaduct-pmd, each compared whole with what was
sent: none changed, none twice, none out of order within its flow, and what does not come is what viaduct-pmd counted as dropped.
VIADUCT_FRAMES: how many; in the long suite 10^9."""

import contextlib
import os
import pathlib
import sys
import time

import pytest
from pmdkit import Pmd, pmd_program  # noqa: F401

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench/polled"))

from processes import Generator, Place  # noqa: E402

FRAMES = int(float(os.environ.get("VIADUCT_FRAMES", "400000")))
SLICE_MS = 2000 if FRAMES > 10_000_000 else 300
# Small frames are most of a run, since they are quickest.
CASES = {("64", "split"): 0.45, ("64", "packed"): 0.45, ("imix", "split"): 0.05, ("imix", "packed"): 0.05}


def counted(process):
    """(frames that came from guests, went to guests, were dropped for any reason)."""
    ports = process.call("stats")["ports"]
    return [sum(port["from_guest"]["packets"] for port in ports), sum(port["to_guest"]["packets"] for port in ports),
            sum(sum(port["drops"].values()) for port in ports)]


def guests_open(process, gen, ring):
    for number, name in enumerate(("a", "b")):
        path = process.folder / name
        process.call("port-add", port=f"{name}/lan", network="lan", socket=str(path),
                     policy={"mac": f"02:00:{number + 1:02x}:00:00:00", "spoofchk": True})
        gen.ask("port", name=name, driver="virtio-user", path=str(path), packed=ring == "packed", mergeable=True, index=number)
    for name, other in (("a", "b"), ("b", "a")):
        gen.ask("learn", port=name, addresses=1)
        gen.ask("drain", port=other)


@pytest.mark.timeout(max(300, FRAMES // 20000))
@pytest.mark.parametrize("size, ring", CASES)
def test_frames_are_what_was_sent(pmd_program, build_dir, short_tmp, size, ring):  # noqa: F811
    cpus = sorted(os.sched_getaffinity(0))[:2]
    place = Place(short_tmp, build_dir, build_dir, cpus[0], cpus[-1], small_pages=True)
    process = Pmd(pmd_program, short_tmp, cpus=[cpus[-1]]).start()
    gen = Generator(place)
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        stack.callback(gen.stop)
        process.call("network-add", name="lan", uplinks=[], bond="none")
        gen.start(size)
        guests_open(process, gen, ring)
        flows = [{"from": "a", "to": "b", "addresses": 1}, {"from": "b", "to": "a", "addresses": 1}]
        total, lost, began = 0, 0, time.monotonic()
        while total < FRAMES * CASES[size, ring]:
            before = counted(process)
            said = gen.ask("run", ports=["a", "b"], flows=flows, dirty=True, whole=True, ms=SLICE_MS)
            passed = [now - then for now, then in zip(counted(process), before)]
            assert said["bad"] == said["stray"] == 0, said
            assert said["sent"] == said["received"] + said["lost"] and said["received"] > 0, said
            assert passed == [said["sent"], said["received"], said["lost"]], (passed, said)
            total, lost = total + said["received"], lost + said["lost"]
        took = time.monotonic() - began
        print(f"{size} bytes, {ring}: {total} frames in {took:.0f} s, {total / took / 1e6:.2f} million a second, all as they "
              f"were sent; {lost} found no room and were counted")
        assert process.stop() == 0, process.text()

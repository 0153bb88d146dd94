# SPDX-License-Identifier: BSD-3-Clause
"""Guests of `viaduct bench`: what of them is pinned where, and what becomes of what they say."""

import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from run import TrialError, guests  # noqa: E402

# A process with three threads, one of that name.
THREADS = """
import sys, threading, time
def thread(name):
    open(f"/proc/self/task/{threading.get_native_id()}/comm", "w").write(name)
    print(name, flush=True)
    time.sleep(100)
for name in sys.argv[1:]:
    threading.Thread(target=thread, args=(name,), daemon=True).start()
time.sleep(100)
"""


def affinities(names):
    """Thread name -> its CPUs, after guests.vcpu_pin() to the last CPU."""
    with subprocess.Popen([sys.executable, "-c", THREADS, *names], stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in names:
                process.stdout.readline()
            guests.vcpu_pin(process, max(os.sched_getaffinity(0)))
            return {(task / "comm").read_text().strip(): os.sched_getaffinity(int(task.name))
                    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}
        finally:
            process.kill()


def test_of_qemu_the_vcpu_alone_is_pinned_as_of_viaduct():
    found = affinities(["worker", guests.VCPU_THREAD])
    everywhere = os.sched_getaffinity(0)
    assert found.pop(guests.VCPU_THREAD) == {max(everywhere)}
    assert len(found) == 2 and set(map(frozenset, found.values())) == {frozenset(everywhere)}


def test_a_qemu_without_a_vcpu_is_an_error(monkeypatch):
    monkeypatch.setattr(guests, "CONNECT_SECONDS", 0.3)
    with pytest.raises(TrialError, match="CPU 0/KVM.*cannot be pinned"):
        affinities(["worker"])

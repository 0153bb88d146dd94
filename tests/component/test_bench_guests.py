# SPDX-License-Identifier: BSD-3-Clause
"""Guests of `viaduct bench`: what of them is pinned where, and what becomes of what they say."""

import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from run import TrialError, guests, measure, methods, scenarios, store  # noqa: E402

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


class Device:
    """A rig whose device passes `limit` frames a second, of a generator that sends 10,000."""

    def __init__(self, limit):
        self.limit = limit

    def on(self):
        pass

    def off(self):
        pass

    def exits(self):
        return None

    def trial(self, size, rate, ms):
        sent = rate or 10000
        passed = min(sent, self.limit)
        return {"sent": sent, "lost": sent - passed, "bad": 0, "tx_pps": sent, "rx_pps": passed, "received": 1,
                "latency": {"count": 10, "p50_ns": 1000.0}}


PLAN = methods.Plan(trial_ms=1000, sizes=("64",), criteria=("zero-loss",), steps=12, resolution=0.01, loads=(50,), burst_frames=0, rounds=2)


def measured(*limits):
    """The scenario of variants that pass so much."""
    made = store.Store()
    lanes = [("guest-polled", name, Device(limit)) for name, limit in zip(("viaduct", "qemu"), limits)]
    measure.Rounds(lanes, PLAN, made, lambda what: None).run()
    return store.scenario_object(made, scenarios.BY_NAME["guest-polled"], set())


def test_a_latency_says_at_which_rate_it_was():
    rows = measured(5000, 1000)["latency"]
    assert len(rows) == 2 and all(row["pps"]["median"] == pytest.approx(500, rel=0.02) for row in rows)


def test_without_a_rate_that_passes_there_is_no_latency():
    found = measured(5000, 0)
    assert "latency" not in found and any("no latency of rounds" in note for note in found["notes"])
    assert [row["pps"]["median"] for row in found["throughput"] if row["criterion"] == "zero-loss"] == [pytest.approx(5000, rel=0.02), 0]

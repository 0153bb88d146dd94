# SPDX-License-Identifier: BSD-3-Clause
"""Guests of `viaduct bench`: what of them is pinned where, and what becomes of what they say."""

import argparse
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from run import BenchError, LinkError, TrialError, groups, guests, lines, measure, methods, rigs, scenarios, session, store  # noqa: E402

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
            guests.vcpu_pin(process, 0, max(os.sched_getaffinity(0)))
            return {(task / "comm").read_text().strip(): os.sched_getaffinity(int(task.name))
                    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}
        finally:
            process.kill()


def test_of_qemu_the_vcpu_alone_is_pinned_as_of_viaduct():
    vcpus = [guests.VCPU_THREAD.format(number) for number in range(2)]
    found = affinities(["worker", *vcpus])
    everywhere = os.sched_getaffinity(0)
    assert found.pop(vcpus[0]) == {max(everywhere)}
    assert len(found) == 3 and set(map(frozenset, found.values())) == {frozenset(everywhere)}


def test_a_qemu_without_a_vcpu_is_an_error(monkeypatch):
    monkeypatch.setattr(guests, "CONNECT_SECONDS", 0.3)
    with pytest.raises(TrialError, match="CPU 0/KVM.*cannot be pinned"):
        affinities(["worker"])


class Polling:
    """Reflectors that each send back at most 1,000 frames a second of those that come to their address, and the generator beside them."""

    def __init__(self, count):
        self.had = {f"02:00:00:00:00:0{n}": 0 for n in range(count)}
        self.dead, self.link, self.running = set(), True, set()

    def ask(self, op, seconds, **members):
        macs = members["dst_mac"] if isinstance(members["dst_mac"], list) else [members["dst_mac"]]
        back = 0
        for mac in set(macs) - self.dead:
            self.had[mac] += 5000
            back += 1000 * (mac in self.running)
        assert members["flows"] % len(macs) == 0
        return {"sent": 5000 * len(macs), "received": back, "lost": 0, "bad": 0, "tx_pps": 5000.0, "rx_pps": float(back), "link_up": self.link}

    def rigs(self):
        return [Reflecting(self, "wire", "wire", mac, "02:00:00:00:01:00") for mac in self.had]


class Reflecting(rigs.Rig):
    def on(self):
        self.gen.running.add(self.mac)

    def off(self):
        self.gen.running.remove(self.mac)

    def reflected(self):
        return self.gen.had[self.mac]


def scaled(polling):
    run = session.Session(argparse.Namespace(scenario=["scale"], profile="smoke", rounds=2))
    up = polling.rigs()
    for count in range(1, len(up) + 1):
        groups.scale_at(run, up[:count], lambda what: None)
    return store.scenario_object(run.store, scenarios.BY_NAME["scale"], run.done)["scale"]


def test_scale_is_what_all_guests_do_together():
    polling = Polling(3)
    assert [(row["vms"], row["total_pps"]["rounds"]) for row in scaled(polling)] == [(n, [1000.0 * n] * 2) for n in (1, 2, 3)]
    assert not polling.running


def test_a_guest_that_hears_nothing_of_it_is_in_no_sum():
    polling = Polling(3)
    polling.dead.add("02:00:00:00:00:01")
    with pytest.raises(TrialError, match="no. 2 of 3 guests had no frame"):
        rigs.Together(polling.rigs()).trial("64", 0, 100)


def test_a_trial_without_a_link_at_its_end_is_an_error(monkeypatch):
    polling = Polling(1)
    [rig] = polling.rigs()
    polling.link = False
    with pytest.raises(LinkError, match="the link was down at the end of a trial"):
        rig.trial("64", 0, 100)
    # Before anything is measured it may be on its way up.
    monkeypatch.setattr(measure, "PROBE_SECONDS", 0.1)
    with pytest.raises(TrialError, match="are both links up"):
        measure.probe(("host-vf", "bare", rig), "64")
    monkeypatch.setattr(measure, "PROBE_SECONDS", 30)
    rig.on()
    monkeypatch.setattr(polling, "ask", lambda op, seconds, ask=polling.ask, **members: ask(op, seconds, **members) | {"link_up": True})
    measure.probe(("host-vf", "bare", rig), "64")


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


@contextlib.contextmanager
def console(tmp_path, *said):
    """A guest's console that says this, whatever it is asked."""
    path = tmp_path / "hvc0"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        ours = lines.Console("the guest bench-x", path)
        theirs, _ = listener.accept()
        with theirs:
            theirs.sendall("".join(line + "\n" for line in said).encode())
            yield ours
        ours.stop()


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity", "9" * 401, "-" + "9" * 401])
def test_a_number_that_is_none_is_an_error(tmp_path, value):
    with console(tmp_path, '{"ok":true,"received":' + value + "}") as guest:
        with pytest.raises(TrialError, match="the guest bench-x answers stats with a number that is none"):
            guest.ask("stats", 5)


def test_numbers_of_64_bits_and_fractions_are_heard(tmp_path):
    with console(tmp_path, '{"a":' * 5000, '{"ok":true,"received":9223372036854775807,"part":-1.5e-3}') as guest:
        assert guest.ask("stats", 20) == {"ok": True, "received": 9223372036854775807, "part": -0.0015}


def test_nothing_that_a_guest_says_reaches_the_terminal_as_it_is(tmp_path):
    with console(tmp_path, json.dumps({"ok": False, "text": "\x1b[2J\x9b31m\u202egone"})) as guest:
        with pytest.raises(BenchError, match="the guest bench-x: stats: .*gone") as found:
            guest.ask("stats", 5)
    with console(tmp_path, "\x1b]0;title\x07 first", "second \x1b[1A") as guest:
        with pytest.raises(TrialError, match="first\n.*second") as silent:
            guest.ask("stats", 1)
    for text in (str(found.value), str(silent.value)):
        assert all(c == "\n" or c.isprintable() for c in text)


@pytest.mark.parametrize("value", [-1, -0.5, float("inf"), float("nan"), True, "12", [1], 10 ** 400])
def test_what_is_no_figure_is_not_kept(value):
    made = store.Store()
    with pytest.raises(TrialError, match="guest-vf viaduct scale 1: .* is no figure"):
        made.put(0, value, "guest-vf", "viaduct", "scale", 1)
    assert not made.values
    made.put(0, 0, "guest-vf", "viaduct", "scale", 1)
    made.put(1, None, "guest-vf", "viaduct", "scale", 1)


def test_exits_of_a_guest_that_was_started_again_are_an_error():
    made, before, after = store.Store(), {"exits": 500}, {"exits": 20}
    place = measure.Place(made, 0, "guest-vf", "viaduct", "64")
    with pytest.raises(TrialError, match="started again"):
        measure.put_exits(place, "packet", "wall-clock", (before, after), 10)
    measure.put_exits(place, "packet", "wall-clock", (after, before), -5)  # the guest's own count of frames went back
    assert not made.values


class Monitor:
    """QEMU lists its vCPUs last first."""

    def ask(self, command, **arguments):
        assert (command, arguments) == ("query-stats", {"target": "vcpu"})
        return [{"provider": "kvm", "qom-path": f"/machine/unattached/device[{at}]",
                 "stats": [{"name": "exits", "value": exits}, {"name": "halt_wait_hist", "value": [1, 2]}]} for at, exits in ((11, 7), (3, 500), (0, 60))]


def test_exits_are_those_of_the_vcpu_that_polls_and_others_are_apart():
    qemu = guests.Qemu.__new__(guests.Qemu)
    qemu.qmp = Monitor()
    assert qemu.exits() == {"exits": 7, guests.OTHERS: 560}
    assert guests.polling_exits([{"exits": 5, "halt_exits": 2}]) == {"exits": 5, "halt_exits": 2}
    made = store.Store()
    measure.put_exits(measure.Place(made, 0, "guest-polled", "qemu", "64"), "packet", store.DETERMINISTIC,
                      ({"exits": 5, guests.OTHERS: 60}, qemu.exits()), 100)
    assert {key[5:]: value[0] for key, value in made.values.items()} == {
        ("packet", "all", store.DETERMINISTIC): 0.02, ("packet", "other-vcpus", store.DETERMINISTIC): 5.0}


@pytest.mark.parametrize("profile, least", [("smoke", 0.001), ("lab", 0.06)])
def test_a_search_of_few_steps_finds_some_rate_far_below_what_a_flood_brings(profile, least):
    """A busy host loses frames at rates far below that at which most of a flood come back."""
    def trial(size, rate, ms):
        sent = rate or 10000
        return {"sent": sent, "lost": 1 if sent > least * 10000 else 0, "bad": 0, "tx_pps": sent, "rx_pps": sent - 1}

    assert 0 < methods.Search(trial, "64", scenarios.PROFILES[profile]).throughput(0) <= least * 10000

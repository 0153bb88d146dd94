# SPDX-License-Identifier: BSD-3-Clause
"""What is measured of rigs that stand side by side: one round is every rig in turn, and whoever went first goes last in the next."""

import contextlib
import dataclasses
import functools
import time

from reflect import counts

from . import LinkError, TrialError, guests, methods
from .store import DETERMINISTIC

EXITS = {"exits": "all", "halt_exits": "hlt", "irq_exits": "external-interrupt", "irq_window_exits": "interrupt-window",
         "io_exits": "pio", "mmio_exits": "mmio", "signal_exits": "signal", guests.OTHERS: "other-vcpus"}
INTERRUPT_PPS = 1000
PROBE_PPS, PROBE_FRAMES = 1000, 100
PROBE_SECONDS = 15  # until a link is up, and a switch knows where the answers go
WOKEN_FRAMES = 100
RATE_MIN = 10.0


def probe(lane, size):
    """A few frames through a rig that is on, before hours of it: TrialError if none comes back."""
    scenario, variant, rig = lane
    deadline = time.monotonic() + PROBE_SECONDS
    while not answers(rig, size):
        if time.monotonic() > deadline:
            raise TrialError(f"{scenario} {variant}: of {PROBE_FRAMES} frames none came back, for {PROBE_SECONDS} s: is --wire the other end "
                             "of the cable of --pf, and are both links up?")


def answers(rig, size):
    """Whether anything comes back. A link may be on its way up."""
    with contextlib.suppress(LinkError):
        return rig.trial(size, PROBE_PPS, 1000 * PROBE_FRAMES / PROBE_PPS)["received"] > 0
    return False


@dataclasses.dataclass(frozen=True)
class Place:
    """Where figures go: of which variant, in which round, at which size."""
    store: object
    number: int
    scenario: str
    variant: str
    size: str

    def put(self, value, kind, *names):
        self.store.put(self.number, value, self.scenario, self.variant, kind, self.size, *names)


class Rounds:
    """lanes: [(scenario name, variant, rig)]; progress: told after each piece; store: where it goes."""

    def __init__(self, lanes, plan, store, progress):
        self.lanes, self.plan, self.store, self.progress = list(lanes), plan, store, progress
        self.method = DETERMINISTIC if plan.deterministic else "wall-clock"

    def pieces(self):
        """How many times the progress is told."""
        return self.plan.rounds * len(self.plan.sizes) * len(self.lanes) * 2

    def run(self):
        for number in range(self.plan.rounds):
            for size in self.plan.sizes:
                first = number % len(self.lanes)
                order = self.lanes[first:] + self.lanes[:first]
                rates = [self.throughput(number, size, lane) for lane in order]
                self.latencies(number, size, order, rates)

    def throughput(self, number, size, lane):
        """Of every criterion, and back to back; the zero-loss rate, 0 if no rate was without loss."""
        scenario, variant, rig = lane
        place = Place(self.store, number, scenario, variant, size)
        search = methods.Search(counted(rig, place, self.method), size, self.plan)
        rig.on()
        try:
            if number == 0:
                probe(lane, size)
            found = {name: search.throughput(methods.CRITERIA[name]) for name in self.plan.criteria}
            if not any(found.values()):
                probe(lane, size)  # too fast for it, or has it died since?
            for name, rate in found.items():
                self.store.put(number, rate, scenario, variant, "throughput", size, name)
            if search.limited:
                self.store.note(scenario, f"{variant}, {size} bytes: in some rounds the generator could not send more than what passed; "
                                "the rate is the generator's, and the device may do more")
            self.store.put(number, search.top[2], scenario, variant, "throughput", size, "offered")
            if self.plan.burst_frames:
                burst = functools.partial(rig.burst, pps=search.top[0])
                self.store.put(number, methods.back_to_back(burst, size, self.plan), scenario, variant, "burst", size)
        finally:
            rig.off()
        self.progress(f"{scenario} {variant}, {size} bytes: rate")
        return found.get("zero-loss", 0.0)

    def latencies(self, number, size, order, rates):
        """All at the same rates: shares of what the slowest can do without loss, so that they carry the same."""
        base = min(rates)
        for scenario, variant, rig in order:
            if base <= 0:
                self.store.note(scenario, f"{size} bytes: no latency of rounds in which one of those side by side had no rate without loss")
                self.progress(f"{scenario} {variant}, {size} bytes: no latency")
                continue
            rig.on()
            try:
                for load in self.plan.loads:
                    found = methods.latency(rig.trial, size, max(RATE_MIN, base * load / 100), self.plan)
                    if found:
                        self.store.put_latency(number, found, scenario, variant, size, load)
            finally:
                rig.off()
            self.progress(f"{scenario} {variant}, {size} bytes: latency")


def counted(rig, place, method):
    """The rig's trial; of the one at full rate the exits of its guest are counted, too."""
    def trial(size, rate, ms):
        before = rig.exits() if rate == 0 else None
        had = rig.reflected() if before else 0
        answer = rig.trial(size, rate, ms)
        if before:
            put_exits(place, "packet", method, (before, rig.exits()), rig.reflected() - had)
        return answer
    return trial


def put_exits(place, per, method, around, events):
    """around: what had been counted before and after."""
    before, after = around
    if events <= 0:
        return
    for name, kind in EXITS.items():
        if name in before and name in after:
            if after[name] < before[name]:
                raise TrialError(f"{place.scenario} {place.variant}: its exits were counted anew: has its guest been started again?")
            place.put((after[name] - before[name]) / events, "count", "exits", per, kind, method)


def vectors(stats):
    """Interrupts of the ports so far, as the host counts them."""
    return sum(port["interrupts"] for port in stats["ports"])


def interrupts(lane, plan, store, progress):
    """A moderate rate to a guest that sleeps between: exits for each interrupt that its port raised, and the latency."""
    scenario, variant, rig = lane
    size = plan.sizes[0]
    for number in range(plan.rounds):
        rig.on()
        try:
            probe(lane, size)
            before = rig.guest.stats()
            answer = rig.trial(size, INTERRUPT_PPS, plan.trial_ms)
            after = rig.guest.stats()
        finally:
            rig.off()
        delivered = vectors(after) - vectors(before)
        if not answer["received"]:
            raise TrialError(f"{scenario}: no frame of {answer['sent']} came back")
        place = Place(store, number, scenario, variant, size)
        put_exits(place, "interrupt", "wall-clock", [guests.polling_exits(stats["kvm"]["vcpus"]) for stats in (before, after)], delivered)
        place.put(delivered / answer["received"], "count", "interrupts", "packet", "all", "wall-clock")
        place.put(answer["rx_pps"], "throughput", "offered")
        if (answer.get("latency") or {}).get("count"):
            store.put_latency(number, {**answer["latency"], "pps": answer["tx_pps"]}, scenario, variant, size, None)
        progress(f"{scenario} {variant}, {INTERRUPT_PPS} frames a second")


def flooded(rig, wire, place, method):
    """A flood to a reflector, without a generator: what a packet takes it in instructions, and its guest in exits."""
    rig.on()
    try:
        got = counts.polled(rig.reflect, wire, rig.mac, counts.Flood(size=int(place.size)), rig.exits if rig.guest else None)
    finally:
        rig.off()
    if not got["packets"]:
        raise TrialError(f"{place.scenario}: none of {got['offered']} frames arrived")
    place.put(got["instructions"], "count", "instructions", "packet", "all", method)
    for name, kind in EXITS.items():
        if name in got["exits"]:
            place.put(got["exits"][name], "count", "exits", "packet", kind, method)


def woken(rig, wire, place):
    """Frames one at a time to a guest that sleeps between."""
    rig.on()
    try:
        got = counts.woken(rig.reflect, wire, rig.mac, WOKEN_FRAMES)
    finally:
        rig.off()
    if not got["interrupts"]:
        raise TrialError(f"{place.scenario}: {got['packets']} frames and no interrupt")
    for kind, each in got["exits"].items():
        place.put(each, "count", "exits", "interrupt", kind, DETERMINISTIC)
    place.put(got["interrupts"] / WOKEN_FRAMES, "count", "interrupts", "packet", "all", DETERMINISTIC)

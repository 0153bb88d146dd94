# SPDX-License-Identifier: BSD-3-Clause
"""Methods in the style of RFC 2544, as functions over a trial: throughput by binary search, latency at a load, back to back.

A trial is a callable: trial(size, rate_pps, ms) -> the generator's answer, where rate 0 is "as fast as it goes". It is the
only thing that these functions know of ports, guests and programs."""

import dataclasses
import math

CRITERIA = {"zero-loss": 0.0, "0.001%": 1e-5}  # lost of sent
REACHED = 0.98  # of the offered rate: below, the trial is one of what the generator did send
FAR = 4  # times apart: bounds whose middle is looked for by magnitude; so far down as well, while nothing has passed
SHORT_MAX = 2  # times what is wanted is asked for at most, of a generator that sends less than it is asked
BURST_FIRST = 16  # frames
NEAR = 0.9  # of a rate that failed: the next one to try, if more came back than that


@dataclasses.dataclass(frozen=True)
class Plan:
    """How thoroughly: one row for each profile."""
    trial_ms: int
    sizes: tuple
    criteria: tuple
    steps: int  # of one search at most
    resolution: float  # of the rate at which a search may end
    loads: tuple  # percent of the throughput, for latency
    burst_frames: int  # back to back: the longest; 0: not measured
    rounds: int
    latency_ms: int = 0  # 0: trial_ms
    drain_ms: int = 0  # 0: as usual
    deterministic: bool = False  # time is instructions executed

    @property
    def latency_trial_ms(self):
        return self.latency_ms or self.trial_ms


def mean_bytes(size, imix=(64 * 7 + 594 * 4 + 1518) / 12):
    return int(size) if str(size).isdigit() else imix


def mbps(size, pps):
    """Of the frames themselves."""
    return pps * mean_bytes(size) * 8 / 1e6


def loss(answer):
    """Lost of sent; whatever was changed is lost, too. A trial that sent nothing has lost all."""
    if answer["sent"] <= 0:
        return 1.0
    return min(1.0, (answer["lost"] + answer["bad"]) / answer["sent"])


class Search:
    """Highest rate at which no more than a share is lost. Trials of one frame size are remembered: the next criterion begins
    with what the last one has seen."""

    def __init__(self, trial, size, plan):
        self.trial, self.size, self.plan = trial, size, plan
        self.seen = []  # (rate that was sent, loss, delivered per second)
        self.top = None
        self.ended = set()  # bounds at which a search has ended: there is no more to be learnt
        self.share = 1.0  # of what the generator was asked that it sent, the last time
        self.limited = False  # what was found is what the generator could send: the device may do more

    def at(self, rate):
        answer = self.trial(self.size, rate, self.plan.trial_ms)
        sent = min(answer["tx_pps"], rate or answer["tx_pps"])
        if rate:
            self.share = min(1.0, max(1 / SHORT_MAX, sent / rate))
        self.seen.append((sent, loss(answer), answer["rx_pps"]))
        return self.seen[-1]

    def bounds(self, tolerance):
        """(highest rate that is known to pass, lowest one above it that failed or None, what was delivered at the first)"""
        failed = [rate for rate, lost, _ in self.seen if lost > tolerance]
        lowest = min(failed, default=None)
        # A rate above one that has failed did not pass: it was lucky.
        passed = [(rate, rx) for rate, lost, rx in self.seen if lost <= tolerance and (lowest is None or rate < lowest)]
        low, delivered = max(passed, default=(0.0, 0.0))
        return low, lowest, delivered

    def guess(self, low, high):
        """Where to look between a rate that passed (0: none did yet) and one that failed."""
        if len(self.seen) == 1:  # far above what comes back nothing passes
            return min(self.top[2], high * NEAR) if self.top[2] > 0 else high / 8
        if low == 0:
            return high / FAR
        return math.sqrt(low * high) if FAR * low < high else (low + high) / 2

    def throughput(self, tolerance):
        """Frames a second that came back at the highest rate that passed; 0: no rate did."""
        if self.top is None:
            self.top = self.at(0)
        low, high, delivered = self.bounds(tolerance)
        self.limited = self.limited or high is None
        steps = self.plan.steps
        while high is not None and steps > 0 and (low, high) not in self.ended and high - low > self.plan.resolution * high:
            guess = self.guess(low, high)
            rate, lost, _ = self.at(guess / self.share)
            steps -= 1
            before = low * (1 + self.plan.resolution)
            low, high, delivered = self.bounds(tolerance)
            if lost <= tolerance and rate < guess * REACHED and rate <= before:
                self.limited = True  # more was asked, and no more was sent than what had passed before
                break
        self.ended.add((low, high))
        return delivered


def latency(trial, size, rate, plan):
    """The generator's figures at a rate, and "pps", what it sent; None: there were too few frames for any."""
    answer = trial(size, rate, plan.latency_trial_ms)
    found = answer.get("latency") or {}
    return {**found, "pps": answer["tx_pps"]} if found.get("count") else None


def back_to_back(burst, size, plan):
    """Longest burst, as fast as it goes, of which nothing is lost: short ones are doubled until one fails, which takes hardly any
    time, and between the last two it is looked for. burst(size, frames) -> answer."""
    def passes(frames):
        return loss(burst(size, frames)) == 0

    low, high = 0, min(BURST_FIRST, plan.burst_frames)
    while passes(high):
        low, high = high, min(2 * high, plan.burst_frames)
        if low == high:
            return low
    for _ in range(plan.steps):
        if high - low <= max(1, plan.resolution * high):
            break
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low

# SPDX-License-Identifier: BSD-3-Clause
"""Medians, their 95% intervals by order statistics, and outliers: what every benchmark makes of its rounds."""

import math
import statistics

CONFIDENCE = 0.95
FENCE = 1.5  # interquartile ranges beyond the quartiles (Tukey)
OUTLIERS_FROM = 5  # rounds; of fewer no quartile says anything


def median_ranks(count, confidence=CONFIDENCE):
    """Ranks (from 1) of the two order statistics between which the median lies with that confidence, whatever the
    distribution; None: there are too few for any."""
    tail, low = 0.0, 0
    for k in range(count // 2):
        tail += math.comb(count, k) / 2 ** count
        if 2 * tail > 1 - confidence:
            break
        low = k + 1
    return (low, count + 1 - low) if low else None


def median_interval(values):
    ranks = median_ranks(len(values))
    if ranks is None:
        return None
    ordered = sorted(values)
    return [ordered[ranks[0] - 1], ordered[ranks[1] - 1]]


def outliers(values):
    """Indexes of rounds beyond Tukey's fences. They are shown, never left out."""
    if len(values) < OUTLIERS_FROM:
        return []
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    reach = FENCE * (high - low)
    return [i for i, value in enumerate(values) if not low - reach <= value <= high + reach]


def figure(values):
    """The object of a result file. Rounds in which it was not measured (None) do not count; a rate of 0 does."""
    rounds = [value for value in values if value is not None]
    interval = median_interval(rounds) if rounds else None
    return {"median": statistics.median(rounds) if rounds else None, "low": interval[0] if interval else None,
            "high": interval[1] if interval else None, "rounds": rounds, "outliers": outliers(rounds)}


def paired(over, under):
    """over / under of each round that has both: what the machine did to both at once falls out. Nothing is so many times 0."""
    return [a / b for a, b in zip(over, under) if a is not None and b]


def holds(ratio, bound, at_least, rounds, exact=False):
    """Whether the whole interval keeps the bound. exact: counts that repeat themselves, of which few rounds do, each of them.
    None: cannot be said, since there is no interval, or one of the two lacks some of the `rounds` that were measured of either."""
    if bound is None or not ratio["rounds"] or len(ratio["rounds"]) < rounds:
        return None
    worst = ratio["low" if at_least else "high"]
    if worst is None and exact:
        worst = min(ratio["rounds"]) if at_least else max(ratio["rounds"])
    if worst is None:
        return None
    return worst >= bound if at_least else worst <= bound

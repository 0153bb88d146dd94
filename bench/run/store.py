# SPDX-License-Identifier: BSD-3-Clause
"""What was measured, round by round, and the result file that is made of it: also of half a run."""

import collections

from report.schema import ReportError, number

from . import TrialError, methods
from .intervals import figure, holds, paired

FORMAT, VERSION = "viaduct-bench", 1
LATENCY = ("pps", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns", "jitter_ns")
HISTOGRAM_MAX = 4096
DETERMINISTIC = "deterministic-time"  # of a count: the method


def is_figure(value):
    """As the result file has them."""
    try:
        return number(value, "") is not None
    except ReportError:
        return False


class Store:
    """Keys are (scenario, variant, kind, ...); each has a value a round."""

    def __init__(self):
        self.values = collections.defaultdict(dict)  # key -> {round: value}
        self.histograms = collections.defaultdict(collections.Counter)  # key of a latency -> {upper bound: frames}
        self.errors = {}  # key of a latency -> ns
        self.notes = collections.defaultdict(list)

    def put(self, round_number, value, *key):
        """value: None where it was not measured. TrialError: it is nothing that can be measured."""
        if value is not None and not is_figure(value):
            raise TrialError(f"{' '.join(map(str, key))}: {value!r:.60} is no figure")
        self.values[key][round_number] = value

    def note(self, scenario, text):
        if text not in self.notes[scenario]:
            self.notes[scenario].append(text)

    def put_latency(self, round_number, found, *key):
        """key: scenario, variant, size, load. found: the generator's "latency", with the rate ("pps")."""
        for name in LATENCY:
            self.put(round_number, found.get(name), key[0], key[1], "latency", key[2], key[3], name)
        for upper, count in found.get("histogram") or []:
            self.histograms[key][upper] += count
        self.errors[key] = found.get("error_ns")

    def of(self, *key):
        """Values in the order of rounds."""
        return [value for _, value in sorted(self.values.get(key, {}).items())]

    def both(self, a, b):
        """Values of two keys in the rounds that have both."""
        ours, theirs = self.values.get(a, {}), self.values.get(b, {})
        rounds = sorted(set(ours) & set(theirs))
        return [ours[r] for r in rounds], [theirs[r] for r in rounds]

    def keys(self, scenario, kind):
        """What there is of a kind: (variant, rest of the key), in the order it was measured."""
        return [(key[1], key[3:]) for key in self.values if key[0] == scenario and key[2] == kind]


def throughputs(store, scenario):
    out = []
    for variant, (size, criterion) in store.keys(scenario, "throughput"):
        rates = store.of(scenario, variant, "throughput", size, criterion)
        out.append({"variant": variant, "size": size, "criterion": criterion, "pps": figure(rates),
                    "mbps": figure([None if rate is None else methods.mbps(size, rate) for rate in rates])})
    return out


def latencies(store, scenario):
    out = {}
    for variant, (size, load, name) in store.keys(scenario, "latency"):
        key = (scenario, variant, size, load)
        row = out.setdefault(key, {"variant": variant, "size": size, "load_percent": load, "error_ns": store.errors.get(key),
                                   "histogram": [list(pair) for pair in sorted(store.histograms[key].items())][:HISTOGRAM_MAX]})
        row[name] = figure(store.of(scenario, variant, "latency", size, load, name))
    return list(out.values())


def bursts(store, scenario):
    return [{"variant": variant, "size": size, "frames": figure(store.of(scenario, variant, "burst", size))}
            for variant, (size,) in store.keys(scenario, "burst")]


def counts(store, scenario):
    return [{"variant": variant, "size": size, "what": what, "per": per, "kind": kind, "method": method,
             "value": figure(store.of(scenario, variant, "count", size, what, per, kind, method))}
            for variant, (size, what, per, kind, method) in store.keys(scenario, "count")]


def starts(store, scenario):
    out = {}
    for variant, (step,) in store.keys(scenario, "start"):
        out.setdefault(variant, []).append({"step": step, "seconds": figure(store.of(scenario, variant, "start", step))})
    return [{"variant": variant, "steps": steps, "total": figure(totals(steps))} for variant, steps in out.items()]


def totals(steps):
    """Of all steps together, round by round."""
    return [sum(values) for values in zip(*(step["seconds"]["rounds"] for step in steps))]


def scales(store, scenario):
    return [{"variant": variant, "vms": vms, "total_pps": figure(store.of(scenario, variant, "scale", vms))}
            for variant, (vms,) in store.keys(scenario, "scale")]


def tcps(store, scenario):
    return [{"variant": variant, "direction": direction, "gbps": figure(store.of(scenario, variant, "tcp", direction))}
            for variant, (direction,) in store.keys(scenario, "tcp")]


# What is compared of two variants: (name of the ratio, key after the variant, bound, the ratio shall be at least that)
def ratio_rows(store, a, bounds):
    for variant, (size, criterion) in store.keys(a[0], "throughput"):
        if variant == a[1]:
            name = "throughput" if criterion == "zero-loss" else f"throughput {criterion}"
            # Past its limit a device may do this or that: no bound is on what is left of too much.
            bound = None if criterion == "offered" else bounds.get("throughput")
            yield name, size, ("throughput", size, criterion), bound, True
    for variant, (size, load, name) in store.keys(a[0], "latency"):
        if variant == a[1] and load == 50 and name in ("p50_ns", "p99_ns"):
            yield name.removesuffix("_ns"), size, ("latency", size, load, name), bounds.get(name.removesuffix("_ns")), False
    for variant, (size, what, per, kind, method) in store.keys(a[0], "count"):
        if variant == a[1] and what in ("instructions", "cycles"):
            yield what, size, ("count", size, what, per, kind, method), bounds.get(what), False


def ratios(store, a, b, bounds):
    """a over b, (scenario, variant) each."""
    out = []
    for name, size, rest, bound, at_least in ratio_rows(store, a, bounds):
        ratio = figure(paired(*store.both((*a, *rest), (*b, *rest))))
        if ratio["rounds"]:
            measured = len(set(store.values.get((*a, *rest), {})) | set(store.values.get((*b, *rest), {})))
            out.append({"of": name, "size": size, "a": "/".join(a), "b": "/".join(b), "ratio": ratio, "bound": bound,
                        "holds": holds(ratio, bound, at_least, measured, rest[-1] == DETERMINISTIC)})
    return out


def scenario_object(store, scenario, done):
    """scenario: a row of the table; done: (scenario, variant) that were measured."""
    name = scenario.name
    variants = [variant for variant in scenario.variants if (name, variant[0]) in done]
    out = {"name": name, "title": scenario.title, "variants": [{"name": v, "title": title} for v, title in variants],
           "notes": store.notes[name], "ratios": []}
    for key, make in (("throughput", throughputs), ("latency", latencies), ("back_to_back", bursts), ("counts", counts),
                      ("start", starts), ("scale", scales), ("tcp", tcps)):
        rows = make(store, name)
        if rows:
            out[key] = rows
    for ours, theirs, bounds in scenario.ratios:
        out["ratios"] += ratios(store, (name, ours), theirs, bounds)
    return out

# SPDX-License-Identifier: BSD-3-Clause
"""A result of viaduct bench as a run writes it, with figures that are made up here: for tests of the report alone."""

import pathlib
import random
import statistics
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP), str(TOP / "bench/polled")]

SERIES = {"host-vf": {"bare": 1.0}, "guest-vf": {"viaduct": 0.97}, "guest-polled": {"viaduct": 3.1, "qemu": 2.9}}
SIZES = ("64", "1518")
LOADS = (10, 50, 90)


def fig(values, outliers=()):
    """As bench/polled/figures.py makes intervals: order statistics."""
    import figures
    low, high = figures.median_interval(values) or (None, None)
    return {"median": statistics.median(values) if values else None, "low": low, "high": high, "rounds": list(values),
            "outliers": list(outliers)}


class Maker:
    def __init__(self, seed, change=1.0, rounds=9):
        self.random, self.change, self.rounds = random.Random(seed), change, rounds

    def around(self, value, share=0.02):
        return fig([value * (1 + share * self.random.uniform(-1, 1)) for _ in range(self.rounds)])

    def with_outlier(self, value):
        values = self.around(value)["rounds"]
        values[-1] *= 0.6
        return fig(values, [len(values) - 1])

    def histogram(self, middle):
        """Log-linear, with a tail."""
        rows, upper = [], middle * 0.5
        while upper < middle * 8:
            distance = (upper / middle - 1) ** 2
            rows.append([round(upper, 1), int(100000 / (1 + 40 * distance)) if upper > middle * 0.7 else 0])
            upper *= 1.06
        return rows

    def latency(self, variant, size, load, middle):
        middle *= 1 + load / 60
        out = {"variant": variant, "size": size, "load_percent": load, "error_ns": 120, "histogram": self.histogram(middle)}
        for key, factor in (("p50_ns", 1), ("p90_ns", 1.3), ("p99_ns", 2.1), ("p999_ns", 4), ("max_ns", 9), ("jitter_ns", 0.1)):
            out[key] = self.around(middle * factor, 0.06)
        return out

    def scenario(self, name, speeds):
        out = {"name": name, "title": f"The {name} path", "notes": [], "variants": [], "throughput": [], "latency": [],
               "back_to_back": [], "counts": []}
        for variant, speed in speeds.items():
            out["variants"].append({"name": variant, "title": f"{variant} in the scenario {name}"})
            self.measure(out, variant, speed * (self.change if variant == "viaduct" else 1))
        return out

    def measure(self, out, variant, speed):
        for size in SIZES:
            pps = 42000 * speed / (1 if size == "64" else 1.6)
            make = self.with_outlier if size == "64" else self.around
            out["throughput"].append({"variant": variant, "size": size, "criterion": "zero-loss", "pps": make(pps),
                                      "mbps": self.around(pps * int(size) * 8 / 1e6)})
            out["latency"] += [self.latency(variant, size, load, 90000 / speed) for load in LOADS]
            out["back_to_back"].append({"variant": variant, "size": size, "frames": self.around(3000 * speed)})
            out["counts"] += self.counts(variant, size, 0 if out["name"] == "host-vf" else 0.0004)

    def counts(self, variant, size, exits):
        row = {"variant": variant, "size": size, "per": "packet", "method": "deterministic-time"}
        yield {**row, "what": "instructions", "kind": "all", "value": fig([611.5 + len(variant)] * 3)}
        if exits:
            for kind, share in (("all", 1), ("hlt", 0.5), ("eoi", 0.2), ("msr", 0.3)):
                yield {**row, "what": "exits", "kind": kind, "value": self.around(exits * share)}

    def ratios(self):
        for of, size, middle in (("throughput", "64", 0.97), ("throughput", "1518", 0.99), ("instructions", "64", 1.01),
                                 ("p99", "64", 1.04)):
            speed = {"throughput": self.change, "p99": 1 / self.change}.get(of, 1)
            yield {"of": of, "size": size, "a": "guest-vf/viaduct", "b": "host-vf/bare", "ratio": self.around(middle * speed),
                   "bound": 0.95 if of == "throughput" else 1.03, "holds": of != "p99"}


def result(seed=1, change=1.0, rounds=9):
    """A whole one, of an emulated host. change: of the speed of viaduct's own variants."""
    make = Maker(seed, change, rounds)
    scenarios = [make.scenario(name, speeds) for name, speeds in SERIES.items()]
    scenarios[1]["ratios"] = list(make.ratios())
    steps = {"spawn": 0.02, "ram": 0.11, "devices": 0.2, "kernel": 1.4, "init": 0.5, "ready": 0.3}
    scenarios += [
        {"name": "interrupt", "title": "From the wire to the guest's handler", "variants": [{"name": "viaduct", "title": ""}],
         "notes": ["1,000 packets a second, one at a time."],
         "counts": [{"variant": "viaduct", "size": "64", "what": "exits", "per": "interrupt", "kind": kind,
                     "method": "deterministic-time", "value": make.around(value)}
                    for kind, value in (("all", 3.4), ("hlt", 1.0), ("external-interrupt", 1.1), ("msr", 0.9), ("eoi", 0.4))]},
        {"name": "start", "title": "Start of a guest", "variants": [{"name": "viaduct", "title": ""}, {"name": "qemu", "title": ""}],
         "start": [{"variant": variant, "steps": [{"step": step, "seconds": make.around(value * slow, 0.1)}
                                                  for step, value in steps.items()]}
                   for variant, slow in (("viaduct", 1), ("qemu", 1.7))]},
        {"name": "scale", "title": "Several VMs", "variants": [{"name": "viaduct", "title": ""}],
         "scale": [{"variant": "viaduct", "vms": n, "total_pps": make.around(40000 * n / (1 + 0.3 * n))} for n in range(1, 8)]},
        {"name": "tcp", "title": "TCP", "variants": [{"name": "viaduct", "title": ""}],
         "tcp": [{"variant": "viaduct", "direction": way, "gbps": make.around(value)}
                 for way, value in (("to-guest", 0.41), ("from-guest", 0.48))]}]
    for row in next(s for s in scenarios if s["name"] == "start")["start"][:1]:  # the other is as results were before
        row["total"] = fig([sum(values) for values in zip(*(step["seconds"]["rounds"] for step in row["steps"]))])
    return {"format": "viaduct-bench", "version": 1, "at": "2026-11-29T20:00:00Z", "profile": "lab", "emulated": True,
            "viaduct": "0.1.0", "seconds": 1230.5, "ended": "done",
            "host": {"kernel": "6.12.1", "cpu": "QEMU Virtual CPU", "governor": None, "isolated_cpus": [2, 3],
                     "hugepages": {"2M": 256, "1G": 0}, "posted": False, "drivers": {"pf0": "igb", "pf1": "vfio-pci"}},
            "warnings": [{"code": "emulated", "text": "The host has no hardware virtualisation."}],
            "scenarios": scenarios}

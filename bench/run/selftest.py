# SPDX-License-Identifier: BSD-3-Clause
"""The generator against itself: a port that loses, repeats, reorders, delays and corrupts on purpose, with exact counts of it."""

import os
import tempfile
import pathlib

from . import host
from .lines import Child
from .rigs import GEN_MIB, eal, tool

TRIAL_MS = 2000
RATE_PPS = 20000
SHARE_ERROR = 0.01  # of what was put in
# (what is put in, its options, what the generator calls it, what the port does)
FAULTS = (
    ("loss", "loss=0.02", "lost", "lost"),
    ("duplication", "duplicate=0.02", "duplicated", "duplicated"),
    ("reordering", "reorder=0.02", "reordered", "reordered"),
    ("corruption", "corrupt=0.02", "bad", "corrupted"),
)
DELAYS_US = (200, 1000)


def trial(gen, name, options):
    opened = gen.ask("port", name=name, device=f"impair:{name}:{options}")
    answer = gen.ask("trial", 60, tx=name, rx=name, sizes="64", flows=16, rate_pps=RATE_PPS, ms=TRIAL_MS, drain_ms=200,
                     dst_mac=opened["mac"], src_mac=opened["mac"], window=0)
    truth = gen.ask("impaired", name=name)
    gen.ask("close", name=name)
    return answer, truth


def fault_row(gen, what, options, member, its_member):
    answer, truth = trial(gen, what, options)
    found, there = answer[member], truth[its_member]
    return {"what": what, "put_in": there, "found": found, "of": answer["sent"],
            "ok": there > 0 and abs(found - there) <= SHARE_ERROR * there}


def delay_row(gen, delay_us):
    """By the port's own count of how long it kept frames, which is never shorter than it was told."""
    answer, truth = trial(gen, f"delay{delay_us}", f"delay_us={delay_us}")
    found, there = answer["latency"], truth["delay"]["p50_ns"]
    return {"what": f"delay of {delay_us} us", "put_in": there, "found": found["p50_ns"], "of": found["count"],
            "ok": found["p50_ns"] is not None and abs(found["p50_ns"] - there) <= SHARE_ERROR * there + found["error_ns"]}


def run():
    with tempfile.TemporaryDirectory(prefix="viaduct-bench-") as folder:
        command = [tool("viaduct-gen", "gen"), *eal("selftest", GEN_MIB, f"0@{host.cpus()[0]}", False), "--"]
        gen = Child("viaduct-gen", command, pathlib.Path(folder) / "gen.log", {**os.environ, "RUNTIME_DIRECTORY": folder})
        try:
            rows = [fault_row(gen, *fault) for fault in FAULTS] + [delay_row(gen, us) for us in DELAYS_US]
            clock = gen.ask("clock")
        finally:
            gen.stop()
    return {"ok": all(row["ok"] for row in rows), "error_ns": clock["error_ns"], "rows": rows}


def text(result):
    lines = [f"{'':20}{'put in':>12}{'found':>12}"]
    lines += [f"{row['what']:20}{row['put_in']:>12.0f}{row['found']:>12.0f}  {'within 1%' if row['ok'] else 'NOT FOUND'}"
              for row in result["rows"]]
    return "\n".join([*lines, f"error of a timestamp: {result['error_ns']:.0f} ns"])

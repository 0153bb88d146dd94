# SPDX-License-Identifier: BSD-3-Clause
"""The table of scenarios and that of profiles: the only place that says what there is."""

import dataclasses

from .methods import CRITERIA, Plan

ALL_SIZES = ("64", "128", "256", "512", "1024", "1280", "1518", "imix")

PROFILES = {
    # RFC 2544: trials of 60 s, its frame sizes; with six rounds the first interval of 95% there is.
    "rfc": Plan(trial_ms=60000, sizes=ALL_SIZES, criteria=tuple(CRITERIA), steps=10, resolution=0.005, loads=(10, 50, 90),
                burst_frames=1 << 20, rounds=6),
    # No claim of line rate: what an emulated or a busy host can tell in minutes.
    "lab": Plan(trial_ms=2000, sizes=("64", "1518"), criteria=tuple(CRITERIA), steps=3, resolution=0.1, loads=(10, 50, 90),
                burst_frames=4096, rounds=6, latency_ms=1000),
    # For hosts whose time is instructions executed: their seconds are long, and say the same each time.
    "counted": Plan(trial_ms=100, sizes=("64", "1518"), criteria=("zero-loss",), steps=4, resolution=0.02, loads=(50,), burst_frames=0,
                    rounds=9, latency_ms=200, drain_ms=20, deterministic=True),
    # Does it work at all.
    "smoke": Plan(trial_ms=500, sizes=("64",), criteria=("zero-loss",), steps=6, resolution=0.3, loads=(50,), burst_frames=64,
                  rounds=1),
}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """variants: (name, title). ratios: (variant, (scenario, variant) it is held against, bounds by name): throughput and rates at
    least the bound, the others at most."""
    name: str
    title: str
    group: str  # scenarios of one group stand side by side and are measured in turn
    variants: tuple
    ratios: tuple = ()


BARE = ("host-vf", "bare")
SCENARIOS = (
    Scenario("host-vf", "A VF of the bare host, polled by DPDK", "vf", (("bare", "bare host"),)),
    Scenario("guest-vf", "A VF in a guest, polled by the same program with the same driver", "vf",
             (("viaduct", "guest of viaduct"),), (("viaduct", BARE, {"instructions": 1.03}),)),
    Scenario("guest-polled", "A polled port in a guest, served by viaduct-pmd", "polled",
             (("viaduct", "guest of viaduct"), ("qemu", "the same guest in QEMU")),
             (("viaduct", ("guest-polled", "qemu"), {"throughput": 0.97, "p99": 1.05}),)),
    Scenario("guest-chain", "Two guests in a row, each of which forwards", "chain", (("viaduct", "two guests of viaduct"),)),
    Scenario("interrupt", "From the wire to a guest that sleeps until an interrupt: the kernel's driver, moderate rate", "interrupt",
             (("viaduct", "guest of viaduct"),)),
    Scenario("tcp", "TCP by iperf3, the guest's kernel on a VF", "tcp", (("viaduct", "guest of viaduct"),)),
    Scenario("start", "Steps of a guest's start", "start", (("plain", "without a device"), ("vf", "with a VF"))),
    Scenario("scale", "One VM more each time, a VF each", "scale", (("viaduct", "guests of viaduct"),)),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

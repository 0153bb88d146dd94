# SPDX-License-Identifier: BSD-3-Clause
"""The figures of the benchmark of polled ports: parsed, paired round by round, with intervals, as table and JSON."""

import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from run.intervals import median_interval, median_ranks  # noqa: E402, F401

BACKENDS = ("viaduct", "testpmd", "ovs")
PEERS = BACKENDS[1:]
CEILING = "loop"
HEADROOM = 1.3  # of the generator over a rate, without which the rate may be the generator's

TESTPMD_CYCLES = re.compile(r"CPU cycles/packet=[\d.]+ \(total cycles=(\d+) / total \w+ packets=(\d+)\)")
OVS_CYCLES = re.compile(r"^\s*processing cycles:\s+(\d+)", re.MULTILINE)
OVS_THREAD = re.compile(r"^pmd thread ", re.MULTILINE)


class FigureError(Exception):
    pass


def viaduct_cycles(stats):
    """Busy cycles of all lcores since the process began, of a reply to "stats"."""
    return sum(lcore["busy_cycles"] for lcore in stats["lcores"])


def testpmd_cycles(text):
    """Cycles of rounds with packets since the last "clear fwd stats all"; None: there were no packets yet."""
    found = TESTPMD_CYCLES.findall(text)
    return int(found[-1][0]) if found else None


def ovs_cycles(text):
    """Processing cycles of all pmd threads; what the main thread did does not count."""
    threads = OVS_THREAD.split(text)[1:]
    found = [OVS_CYCLES.search(thread.split("main thread")[0]) for thread in threads]
    if not found or None in found:
        raise FigureError(f"no processing cycles in what ovs-appctl said:\n{text}")
    return sum(int(match.group(1)) for match in found)


def cycles_between(before, after):
    """None: not counted. OVS takes what it did besides from what it counts, so its figure of 64 bits can begin below zero."""
    return None if before is None else (after - before) % 2 ** 64


def paired(rounds, over, under, key):
    """over / under of each round that has both."""
    return [r[over][key] / r[under][key] for r in rounds
            if over in r and under in r and r[over].get(key) and r[under].get(key)]


def put(out, name, values):
    out[name] = statistics.median(values) if values else None
    out[name + "_interval"] = median_interval(values) if values else None


def sample(reply, cycles):
    """One slice of one backend: the generator's reply, and the busy cycles it took."""
    delivered = reply["received"] + reply["bad"] if reply["seen"] else reply["sent"]
    in_time = reply["received_in_time"] if reply["seen"] else reply["sent"]
    if delivered == 0 or in_time == 0:
        raise FigureError(f"no packet was delivered: {reply}")
    return {"cycles": None if cycles is None else cycles / delivered, "mpps": in_time * 1e3 / reply["ns"],
            "delivered": delivered, "lost": reply["lost"], "sent": reply["sent"]}


def rates(out, rounds, ran):
    """Rates that the generator does not bound."""
    ceilings = [r[CEILING]["mpps"] for r in rounds if CEILING in r]
    out["ceiling_mpps"] = statistics.median(ceilings) if ceilings else None
    for name in ran:
        values = [r[name]["mpps"] for r in rounds]
        room = [ceiling / value for ceiling, value in zip(ceilings, values)]
        said = room and statistics.median(room) >= HEADROOM
        put(out, f"{name}_mpps", values if said else [])
        out[f"{name}_mpps_seen"] = statistics.median(values)
        out[f"{name}_lost"] = sum(r[name]["lost"] for r in rounds) / sum(r[name]["sent"] for r in rounds)


def case_summary(case, rounds):
    """A case of the JSON. rounds: backend -> sample, round by round."""
    ran = [name for name in BACKENDS if rounds and name in rounds[0]]
    out = {**case.facts(), "rounds": len(rounds)}
    keys = ("p50", "p99", "p999") if case.latency else ("cycles",)
    for key in keys:
        for name in BACKENDS:
            put(out, f"{name}_{key}", [r[name][key] for r in rounds if name in r])
        for peer in PEERS:
            label = f"ratio_{peer}" if key == "cycles" else f"ratio_{peer}_{key}"
            put(out, label, paired(rounds, peer, "viaduct", key))
    if not case.latency:
        rates(out, rounds, ran)
        for peer in PEERS:
            put(out, f"rate_ratio_{peer}", paired(rounds, "viaduct", peer, "mpps"))
    for name in BACKENDS:
        out.setdefault(f"{name}_mpps", None)
    out["samples"] = rounds
    return out


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(case, name, digits):
    value, interval = case.get(name), case.get(name + "_interval")
    if value is None or interval is None:
        return number(value, digits)
    return f"{value:.{digits}f} [{interval[0]:.{digits}f} {interval[1]:.{digits}f}]"


def cycles_row(case):
    return [case["case"], *(number(case[f"{name}_cycles"], 0) for name in BACKENDS),
            *(with_interval(case, f"ratio_{peer}", 2) for peer in PEERS),
            *(number(case[f"{name}_mpps"], 2) for name in BACKENDS), number(case["ceiling_mpps"], 2)]


def latency_rows(case):
    for key, digits in (("p50", 0), ("p99", 0), ("p999", 0)):
        yield [f"{case['case']} {key}", *(number(case[f"{name}_{key}"], digits) for name in BACKENDS),
               *(with_interval(case, f"ratio_{peer}_{key}", 2) for peer in PEERS)]


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
            .rstrip() for row in rows]


def text(out):
    """What is printed at the end."""
    lines = []
    cycles = [cycles_row(case) for case in out["cases"] if "viaduct_cycles" in case]
    if cycles:
        lines += ["busy cycles per delivered packet (median), peer's over viaduct's of the same round (median, 95% interval), Mpps",
                  *aligned([["case", *BACKENDS, "testpmd/viaduct", "ovs/viaduct", "Mpps", "testpmd", "ovs", "ceiling"],
                            *cycles])]
    late = [row for case in out["cases"] if "viaduct_p50" in case for row in latency_rows(case)]
    if late:
        lines += ["", "one packet in flight, ns until it is there; peer's over viaduct's of the same round",
                  *aligned([["case", *BACKENDS, "testpmd/viaduct", "ovs/viaduct"], *late])]
    return "\n".join(lines + ["", *notes(out)])


def notes(out):
    yield (f"{out['rounds']} rounds of {out['slice_ms']} ms a backend, in turn; cycles are those of the TSC "
           f"({out['cases'][0]['tsc_hz'] / 1e6:.0f} MHz); {out['machine']['cpu']}, {out['machine']['cpus']} CPUs"
           + (", a virtual machine" if out["machine"]["virtual"] else ""))
    yield (f"Mpps: '-' where the generator, measured as 'ceiling' with a backend that does nothing but hand buffers on, is not "
           f"{HEADROOM} times faster: the rate may be its own then. Its ceiling sees more cache hits than a real backend leaves it.")
    if out["rounds"] < 6:
        yield "no intervals: those of 95% take 6 rounds"
    lossy = [f"{case['case']} {name} {case[name + '_lost']:.1%}" for case in out["cases"] for name in BACKENDS
             if case.get(name + "_lost", 0) > 0.01]
    if lossy:
        yield "packets that the backend dropped, above 1%: " + ", ".join(lossy)
    yield from out.get("missing", [])

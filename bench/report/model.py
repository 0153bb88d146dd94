# SPDX-License-Identifier: BSD-3-Clause
"""What a checked result says, as titles, notes and tables of text: the same for the terminal and for the page."""

import dataclasses

from .schema import NO_FIGURE  # noqa: F401, plots and compare take it from here

EMULATED = ("This host is emulated. Rates and times say little here, and even ratios measure the emulated device more than viaduct.",
            "What comes first are counts that do not depend on speed.")
READING = ("In the plots a mark or bar is the median of the rounds, whiskers are its 95% interval, × is a round far off.",
           "Small rings are the rounds themselves, where they are too few for an interval.")
ENDED = {"done": "complete", "interrupted": "INTERRUPTED: what was measured until then", "failed": "FAILED: what was measured until then"}
DETERMINISTIC = "deterministic-time"
PERCENTILES = {"p50_ns": "p50", "p90_ns": "p90", "p99_ns": "p99", "p999_ns": "p99.9", "max_ns": "max", "jitter_ns": "jitter"}


@dataclasses.dataclass
class Table:
    """columns: (name, rank); where there is no room, columns of the highest rank go first, those of rank 0 never."""

    title: str
    columns: list
    rows: list
    note: str = ""


def series(scenario, row):
    """The name by which ratios, too, call a variant of a scenario."""
    return f"{scenario['name']}/{row['variant']}"


def size_key(size):
    """Sizes in the order of bytes, mixes after them."""
    return (0, int(size), "") if size.isascii() and size.isdigit() else (1, 0, size)


def plain(value):
    """Three digits that count."""
    if value is None:
        return "-"
    if value == 0 or 1e-4 <= value < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= value < 1e9 else f"{value:.2e}"


def scaled(value, steps, last):
    for least, unit in steps:
        if value >= least:
            return f"{value / least:.3g} {unit}" if value < 999.5 * least or unit == steps[0][1] else f"{value / least:.0f} {unit}"
    return f"{value:.3g}{last}"


def rate(value):
    """Packets a second: 12.3 k."""
    return "-" if value is None else scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k")), "")


def duration(value):
    """Of nanoseconds: 12.3 µs."""
    return "-" if value is None else scaled(value, ((1e9, "s"), (1e6, "ms"), (1e3, "µs")), " ns")


def seconds(value):
    return "-" if value is None else f"{value:.3f} s"


def gbps(value):
    return "-" if value is None else f"{value:.3g}"


def ratio(value):
    return "-" if value is None else f"{value:.3f}"


def percent(value):
    return "-" if value is None else f"{value:g}%"


def interval(figure, shape):
    return "-" if figure["low"] is None else f"{shape(figure['low'])} to {shape(figure['high'])}"


def rounds(figure):
    """How many, and how many of them lie far off."""
    return f"{len(figure['rounds'])}" + (f", {len(figure['outliers'])} far off" if figure["outliers"] else "")


def figure_cells(figure, shape):
    return [shape(figure["median"]), interval(figure, shape), rounds(figure)]


def figure_columns(name):
    return [(name, 0), ("95% interval", 1), ("rounds", 2)]


def each(result, key):
    for scenario in result["scenarios"]:
        for row in scenario[key]:
            yield scenario, row


def in_order(rows, *keys):
    return sorted(rows, key=lambda pair: tuple(key(pair[1]) for key in keys))


def by_size(row):
    return size_key(row["size"] or "")


OTHERS = "other-vcpus"  # a kind that is no part of all: what the guest's other vCPUs did meanwhile


def count_groups(result, deterministic):
    """(what, per, method) -> its rows."""
    groups = {}
    for scenario, row in in_order(each(result, "counts"), by_size):
        if (row["method"] == DETERMINISTIC) != deterministic:
            continue
        what = row["what"]
        if row["kind"] == OTHERS:
            what, row = f"{OTHERS} {what}", {**row, "kind": "all"}
        groups.setdefault((what, row["per"], row["method"]), []).append((scenario, row))
    return groups


def counts(result, deterministic):
    """A table for each thing that was counted."""
    return [count_table(*group) for group in count_groups(result, deterministic).items()]


COUNT_NOTES = {DETERMINISTIC: "Time is instructions executed, however fast the machine is."}


def count_table(group, rows):
    what, per, method = group
    lines = [[row["size"], series(scenario, row), row["kind"], *figure_cells(row["value"], plain)] for scenario, row in rows]
    return Table(f"{what} per {per}".capitalize() + f", in {method.replace('-', ' ')}",
                 [("size", 0), ("of", 0), ("kind", 0), *figure_columns("median")], lines,
                 COUNT_NOTES.get(method, ""))


HOLDS = {True: "holds", False: "DOES NOT HOLD", None: "not known"}


def bound(row):
    if row["bound"] is None:
        return "-"
    alone = row["holds"] is not None and row["ratio"]["low"] is None
    return f"{ratio(row['bound'])} {HOLDS[row['holds']]}" + (" without an interval" if alone else "")


def ratio_groups(result):
    """(a, b) -> the rows that compare them."""
    groups = {}
    for _, row in in_order(each(result, "ratios"), lambda r: r["of"], by_size):
        groups.setdefault((row["a"], row["b"]), []).append(row)
    return groups


def ratios(result):
    """A table for each two that are compared."""
    return [Table(f"{a} over {b}, in turn in the same run",
                  [("of", 0), ("size", 0), *figure_columns("ratio"), ("bound", 0)],
                  [[r["of"], r["size"] or "-", *figure_cells(r["ratio"], ratio), bound(r)] for r in rows])
            for (a, b), rows in ratio_groups(result).items()]


CRITERIA = ("zero-loss", "0.001%", "offered")


def criterion_key(row):
    known = row["criterion"] in CRITERIA
    return (CRITERIA.index(row["criterion"]) if known else len(CRITERIA), row["criterion"])


def throughput(result):
    rows = in_order(each(result, "throughput"), criterion_key, by_size)
    lines = [[r["criterion"], r["size"], series(s, r), *figure_cells(r["pps"], rate), rate_mbps(r["mbps"]["median"])] for s, r in rows]
    return Table("Throughput by frame size, packets a second",
                 [("criterion", 0), ("size", 0), ("of", 0), *figure_columns("pps"), ("Mbit/s", 1)], lines)


def rate_mbps(value):
    return "-" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def latency(result):
    rows = in_order(each(result, "latency"), by_size, lambda r: -1 if r["load_percent"] is None else r["load_percent"])
    lines = [[r["size"], percent(r["load_percent"]), rate(r["pps"]["median"]), series(s, r),
              *(duration(r[key]["median"]) for key in PERCENTILES), duration(r["error_ns"])] for s, r in rows]
    ranks = {"p50": 0, "p99": 0, "p90": 2, "p99.9": 1, "max": 2, "jitter": 3}
    return Table("Latency by load", [("size", 0), ("load", 0), ("pps", 1), ("of", 0), *((n, ranks[n]) for n in PERCENTILES.values()),
                                     ("error", 1)], lines,
                 "Medians of the rounds' percentiles, at so many packets a second; error is that of the time stamps, '-' what is finer "
                 "than it or has too few samples.")


def latency_intervals(result):
    lines = [[r["size"], percent(r["load_percent"]), series(s, r), name, *figure_cells(r[key], duration)]
             for s, r in in_order(each(result, "latency"), by_size) for key, name in PERCENTILES.items()
             if r[key]["median"] is not None]
    return Table("Latency: intervals", [("size", 0), ("load", 0), ("of", 0), ("percentile", 0), *figure_columns("median")], lines)


SHARES = (0.5, 0.9, 0.99, 0.999, 1)


def distribution(result):
    """Upper bounds of the histograms' bins that hold a share of the packets."""
    rows = [(s, r) for s, r in in_order(each(result, "latency"), by_size) if any(count for _, count in r["histogram"])]
    lines = []
    for s, r in rows:
        total, below, bounds = sum(count for _, count in r["histogram"]), 0, []
        for upper, count in r["histogram"]:
            below += count
            while len(bounds) < len(SHARES) and below >= SHARES[len(bounds)] * total:
                bounds.append(duration(upper))
        bounds += ["-"] * (len(SHARES) - len(bounds))
        lines.append([r["size"], percent(r["load_percent"]), series(s, r), plain(total), *bounds])
    return Table("Distribution of latency: share of the packets that took no longer",
                 [("size", 0), ("load", 0), ("of", 0), ("packets", 1), *((f"{100 * part:g}%", 0) for part in SHARES)], lines)


def back_to_back(result):
    lines = [[r["size"], series(s, r), *figure_cells(r["frames"], plain)] for s, r in in_order(each(result, "back_to_back"), by_size)]
    return Table("Back to back: frames of the longest burst without loss", [("size", 0), ("of", 0), *figure_columns("frames")], lines)


def start(result):
    lines = []
    for s, r in each(result, "start"):
        whole = [("all steps", r["total"])] if r["total"]["rounds"] else []
        rows = [(step["step"], step["seconds"]) for step in r["steps"]] + whole
        lines += [[series(s, r), name, *figure_cells(figure, seconds)] for name, figure in rows]
    return Table("Start, step by step", [("of", 0), ("step", 0), *figure_columns("median")], lines)


def scale(result):
    rows = in_order(each(result, "scale"), lambda r: r["vms"])
    lines = [[series(s, r), str(r["vms"]), *figure_cells(r["total_pps"], rate)] for s, r in rows]
    return Table("Several VMs at once, packets a second of all of them together", [("of", 0), ("VMs", 0), *figure_columns("pps")], lines)


def tcp(result):
    lines = [[series(s, r), r["direction"], *figure_cells(r["gbps"], gbps)] for s, r in each(result, "tcp")]
    return Table("TCP (iperf3), Gbit/s", [("of", 0), ("direction", 0), *figure_columns("Gbit/s")], lines)


def variants(result):
    lines = [[f"{s['name']}/{v['name']}", v["title"] or s["title"]] for s in result["scenarios"] for v in s["variants"]]
    return Table("What was measured", [("name", 0), ("what it is", 0)], lines)


def tables(result):
    """All tables with rows; what does not depend on speed comes first where speed says little."""
    steady = [*counts(result, True), *counts(result, False)]
    fast = [throughput(result), latency(result), back_to_back(result), scale(result), tcp(result), start(result)]
    order = [*steady, *ratios(result), *fast] if result["emulated"] else [*ratios(result), *fast, *steady]
    return [table for table in (*order, variants(result)) if table.rows]


def took(value):
    if value is None:
        return ""
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def head(result):
    """What was run, in one line."""
    parts = [f"profile {result['profile']}", result["at"], f"viaduct {result['viaduct']}" if result["viaduct"] else "",
             took(result["seconds"]), ENDED[result["ended"]]]
    return ", ".join(part for part in parts if part)


def host_lines(value, name=""):
    """The host's facts as (name, value), nested names joined by dots."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from host_lines(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(shown(item) for item in value) or "none"
    else:
        yield name, shown(value)


def shown(value):
    if isinstance(value, dict):
        return " ".join(f"{key}={shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ",".join(shown(item) for item in value)
    return {None: "not known", True: "yes", False: "no"}.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)

# SPDX-License-Identifier: BSD-3-Clause
"""Which plots a result gives: figures of panels, each with its legend and the tables that hold the same numbers."""

import dataclasses

from . import draw, model, svg

MOST_PANELS, MOST_NAMES, MOST_CATEGORIES, MOST_ROWS = 24, 12, 24, 40
LOADED = (("p50_ns", "p50"), ("p99_ns", "p99"), ("p999_ns", "p99.9"))
FOLDED = 7  # steps of a start with a colour of their own; the shortest others are one


@dataclasses.dataclass
class Figure:
    key: str
    title: str
    panels: list
    tables: list
    legend: list = dataclasses.field(default_factory=list)  # (name, index or class, "mark" or "swatch")
    note: str = ""


def numbers(result):
    """Series -> its number, by which it has the same colour and shape in every plot."""
    names = {}
    for scenario in result["scenarios"]:
        for variant in scenario["variants"]:
            names.setdefault(f"{scenario['name']}/{variant['name']}", len(names))
    for key in ("throughput", "latency", "counts", "scale", "start", "tcp", "back_to_back"):
        for scenario, row in model.each(result, key):
            names.setdefault(model.series(scenario, row), len(names))
    return names


def cut_note(gone, what):
    return f"{gone} more {what} in the table alone." if gone > 0 else ""


def keep(rows, key, most):
    """The rows of the first so many keys; and how many keys are left out."""
    keys = list(dict.fromkeys(key(row) for row in rows))
    kept = set(keys[:most])
    return [row for row in rows if key(row) in kept], len(keys) - len(kept)


def marks(points):
    return [(name, index, "mark") for name, index in dict.fromkeys((p[1], p[2]) for p in points)]


def together(legends):
    return list(dict.fromkeys(entry for legend in legends for entry in legend))


def by_number(points):
    """Series in the order of their numbers, so that those beside each other are always in the same order."""
    return sorted(points, key=lambda p: p[2])


def throughput(result, names):
    panels, points_of_all = [], []
    rows = [(s, r) for s, r in model.in_order(model.each(result, "throughput"), model.criterion_key, model.by_size) if r["pps"]["median"] is not None]
    rows, gone_names = keep(rows, lambda pair: model.series(*pair), MOST_NAMES)
    rows, gone = keep(rows, lambda pair: pair[1]["size"], MOST_CATEGORIES)
    for criterion in list(dict.fromkeys(r["criterion"] for _, r in rows))[:MOST_PANELS]:
        points = by_number([(r["size"], model.series(s, r), names[model.series(s, r)], r["pps"]) for s, r in rows
                            if r["criterion"] == criterion])
        axes = (draw.Axis("frame size, bytes", str), draw.Axis("packets a second", model.rate))
        panels.append(draw.dots(f"Throughput, {criterion}", axes, categories(points), points))
        points_of_all += points
    return Figure("throughput", "Throughput by frame size", panels, [model.throughput(result), model.back_to_back(result)],
                  marks(by_number(points_of_all)), cut_note(gone, "sizes") + cut_note(gone_names, "variants"))


def categories(points, key=None):
    return sorted(dict.fromkeys(p[0] for p in points), key=key or model.size_key)


def load_key(text):
    return float(text.rstrip("%")) if text != "-" else -1.0


def latency_rows(result):
    rows = model.in_order(model.each(result, "latency"), model.by_size, lambda r: r["load_percent"] or 0)
    return keep(rows, lambda pair: model.series(*pair), MOST_NAMES)


def latency(result, names):
    """Panels of one size and percentile, all on one scale: load to time."""
    rows, gone = latency_rows(result)
    panels, points_of_all = [], []
    sizes = list(dict.fromkeys(r["size"] for _, r in rows))
    wanted = [(size, key, title) for size in sizes for key, title in LOADED]
    span = [value for _, r in rows for key, _ in LOADED for value in draw.seen(r[key])]
    for size, key, title in wanted[:MOST_PANELS]:
        points = by_number([(model.percent(r["load_percent"]), model.series(s, r), names[model.series(s, r)], r[key])
                            for s, r in rows if r["size"] == size and r[key]["median"] is not None])
        if points:
            axes = (draw.Axis("load, of the rate without loss", str), draw.Axis("time", model.duration, "log"))
            loads = categories(points, load_key)[:MOST_CATEGORIES]
            points = [p for p in points if p[0] in loads]
            panels.append(draw.dots(f"{title}, {size} B", axes, loads, points, span=span))
            points_of_all += points
    return Figure("latency", "Latency by load", panels, [model.latency(result), model.latency_intervals(result)],
                  marks(by_number(points_of_all)), cut_note(gone, "variants"))


def share(value):
    return f"{100 * value:.6g}%"


def distributions(result, names):
    """Panels of one size and load: time to share of the packets."""
    rows, gone = latency_rows(result)
    groups = {}
    for s, r in rows:
        if any(count > 0 and upper > 0 for upper, count in r["histogram"]):
            groups.setdefault((r["size"], r["load_percent"]), []).append((model.series(s, r), names[model.series(s, r)], r["histogram"]))
    panels, used = [], []
    for (size, load), curves in list(groups.items())[:MOST_PANELS]:
        title = f"{size} B" + (f", {model.percent(load)} load" if load is not None else "")
        axes = (draw.Axis("time", model.duration), draw.Axis("packets that took no longer", share))
        panels.append(draw.distribution(title, axes, by_index(curves)))
        used += curves
    return Figure("cdf", "Distribution of latency", panels, [model.distribution(result)],
                  [(name, f"k{index % svg.COLOURS} d{index % 4}", "line") for name, index in
                   dict.fromkeys((c[0], c[1]) for c in by_index(used))], cut_note(gone, "variants"))


def by_index(curves):
    return sorted(curves, key=lambda c: c[1])


def bar_parts(kinds, whole, index):
    """Parts of a bar: one a kind; what no kind accounts for is "other". Without kinds the bar is one."""
    if not kinds:
        return [("all", f"f{index % svg.COLOURS}", whole)] if whole is not None else []
    parts = [(kind, None, value) for kind, value in sorted(kinds.items())]
    rest = (whole or 0) - sum(kinds.values())
    if whole and rest > whole * 0.001:
        parts.append(("other", None, rest))
    return parts


def coloured(parts, kinds):
    return [(name, colour or kind_class(kinds, name), value) for name, colour, value in parts]


def kind_class(kinds, name):
    return f"f{kinds.index(name)}" if name in kinds[:svg.COLOURS] else "rest"


def kinds_of(result):
    """Kinds in the order of their names: each has the same colour in every plot."""
    return sorted({row["kind"] for _, row in model.each(result, "counts")} - {"all", model.OTHERS})


def count_figure(group, rows, names, kinds):
    what, per, method = group
    bars = {}
    for scenario, row in rows:
        bar = bars.setdefault((model.series(scenario, row), row["size"]), {"kinds": {}, "all": model.NO_FIGURE})
        if row["kind"] == "all":
            bar["all"] = row["value"]
        elif row["value"]["median"]:
            bar["kinds"][row["kind"]] = row["value"]["median"]
    bars = {key: bar for key, bar in bars.items() if bar["kinds"] or bar["all"]["median"] is not None}
    drawn = []
    for (name, size), bar in sorted(bars.items(), key=lambda item: (model.size_key(item[0][1]), names[item[0][0]]))[:MOST_ROWS]:
        parts = bar_parts(bar["kinds"], bar["all"]["median"], names[name])
        total = bar["all"]["median"] if bar["all"]["median"] is not None else sum(value for _, _, value in parts)
        drawn.append(draw.Bar(f"{name}, {size} B", coloured(parts, kinds), bar["all"],
                              with_interval(bar["all"], total, model.plain)))
    table = model.count_table(group, rows)
    panels = [draw.bars(table.title, draw.Axis(f"{what} per {per}", model.plain), drawn)] if drawn else []
    used = together([[(name, colour, "swatch") for name, colour, _ in bar.parts if name != "all"] for bar in drawn])
    return Figure(f"{what}-per-{per}-{method}".replace(" ", "-"), table.title, panels, [table], used,
                  " ".join(part for part in (table.note, cut_note(len(bars) - len(drawn), "rows")) if part))


def with_interval(figure, value, shape):
    if figure["low"] is None:
        return shape(value)
    return f"{shape(value)} [{shape(figure['low'])}, {shape(figure['high'])}]"


def counts(result, deterministic, names):
    kinds = kinds_of(result)
    return [count_figure(group, rows, names, kinds) for group, rows
            in list(model.count_groups(result, deterministic).items())[:MOST_PANELS]]


def ratio_row(row):
    shown = with_interval(row["ratio"], row["ratio"]["median"], model.ratio)
    return draw.Ratio(row["of"] + (f", {row['size']} B" if row["size"] else ""), row["ratio"], row["bound"],
                      shown if row["bound"] is None else f"{shown}, bound {model.bound(row)}",
                      {True: "good", False: "bad", None: "ink"}[row["holds"]])


def ratios(result):
    """A panel for each two that are compared."""
    panels, gone = [], 0
    groups = {pair: [row for row in rows if row["ratio"]["median"] is not None] for pair, rows in model.ratio_groups(result).items()}
    for (a, b), rows in list(groups.items())[:MOST_PANELS]:
        gone += max(0, len(rows) - MOST_ROWS)
        if rows:
            panels.append(draw.forest(f"{a} over {b}", draw.Axis("ratio; thin line: 1, thick mark: the bound", model.ratio),
                                      [ratio_row(row) for row in rows[:MOST_ROWS]]))
    return Figure("ratios", "Ratios, in turn in the same run", panels, model.ratios(result), [], cut_note(gone, "ratios"))


def start(result, names):
    """Bars of the steps, those that take longest with a colour of their own."""
    del names
    totals, rows = {}, []
    for _, row in model.each(result, "start"):
        for step in row["steps"]:
            totals[step["step"]] = max(totals.get(step["step"], 0), step["seconds"]["median"] or 0)
    longest = sorted(totals, key=lambda name: -totals[name])[:FOLDED]
    shown = [name for name in totals if name in longest]
    for s, row in list(model.each(result, "start"))[:MOST_ROWS]:
        parts, rest = [], 0
        for step in row["steps"]:
            if step["step"] in longest:
                parts.append((step["step"], kind_class(shown, step["step"]), step["seconds"]["median"] or 0))
            else:
                rest += step["seconds"]["median"] or 0
        if rest:
            parts.append(("other steps", "rest", rest))
        if parts:
            whole = sum(v for _, _, v in parts) if row["total"]["median"] is None else row["total"]["median"]
            rows.append(draw.Bar(model.series(s, row), parts, row["total"], with_interval(row["total"], whole, model.seconds)))
    panels = [draw.bars("Start, step by step", draw.Axis("seconds, medians of the steps", model.plain), rows)] if rows else []
    used = together([[(name, colour, "swatch") for name, colour, _ in bar.parts] for bar in rows])
    return Figure("start", "Start of a guest", panels, [model.start(result)], used)


def scale(result, names):
    rows = [(s, r) for s, r in model.in_order(model.each(result, "scale"), lambda r: r["vms"]) if r["total_pps"]["median"] is not None]
    rows, gone = keep(rows, lambda pair: model.series(*pair), MOST_NAMES)
    rows, gone_vms = keep(rows, lambda pair: pair[1]["vms"], MOST_CATEGORIES)
    points = by_number([(str(r["vms"]), model.series(s, r), names[model.series(s, r)], r["total_pps"]) for s, r in rows])
    vms = categories(points)
    ones = [p[3]["median"] for p in points if p[0] == "1"]
    guide = [(n, max(ones)) for n in vms] if ones else []
    axes = (draw.Axis("VMs that poll", str), draw.Axis("packets a second of all together", model.rate, "linear"))
    panels = [draw.dots(f"{vms[0]} to {vms[-1]} VMs", axes, vms, points, guide)] if points else []
    return Figure("scale", "Several VMs at once", panels, [model.scale(result)], marks(points),
                  ("Dashed: what one VM does alone. " if guide else "") + cut_note(gone, "variants") + cut_note(gone_vms, "numbers of VMs"))


def tcp(result, names):
    rows = [(s, r) for s, r in model.each(result, "tcp") if r["gbps"]["median"] is not None]
    drawn = [draw.Bar(f"{model.series(s, r)}, {r['direction']}",
                      [("all", f"f{names[model.series(s, r)] % svg.COLOURS}", r["gbps"]["median"])], r["gbps"],
                      with_interval(r["gbps"], r["gbps"]["median"], model.gbps)) for s, r in rows[:MOST_ROWS]]
    panels = [draw.bars("TCP (iperf3)", draw.Axis("Gbit/s", model.plain), drawn)] if drawn else []
    return Figure("tcp", "TCP", panels, [model.tcp(result)], [], cut_note(len(rows) - len(drawn), "rows"))


def figures(result):
    """In the order of the report; those without a panel may still have tables."""
    names = numbers(result)
    steady = [*counts(result, True, names), *counts(result, False, names)]
    fast = [make(result, names) for make in (throughput, latency, distributions, scale, tcp, start)]
    order = [*steady, ratios(result), *fast] if result["emulated"] else [ratios(result), *fast, *steady]
    return [figure for figure in order if figure.panels or any(table.rows for table in figure.tables)]

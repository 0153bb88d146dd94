# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of plots: dots by category, distributions, bars in parts, ratios. Each panel is an SVG image of its own.

Marks carry what they show as data-* attributes, and their place is made by the scale whose ticks are drawn: a test reads both.
"""

import dataclasses

from . import svg
from .svg import el, fit, short, words

WIDTH, HEIGHT = 380, 250
WIDE = 580
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 46, 44
ROW, BAR_TOP = 40, 6
FEW = 12  # rounds that are drawn one by one
CROWD = 20  # marks, beyond which dots get a wide panel
LOG_SPAN = 30  # values further apart are drawn on a logarithmic scale


@dataclasses.dataclass
class Panel:
    width: int
    height: int
    body: str  # markup without the <svg> around it
    title: str
    text: str

    def image(self):
        return svg.canvas(self.width, self.height, self.title, self.text, self.body)


@dataclasses.dataclass
class Axis:
    title: str
    shape: object  # makes the text of a value
    kind: str = ""  # of the scale; "": linear or log, whatever shows the values


def alone(figure):
    """Rounds that are too few for an interval, and are drawn themselves."""
    return figure["rounds"][:FEW] if figure["low"] is None and len(figure["rounds"]) > 1 else []


def seen(figure):
    """Every value of a figure that is drawn."""
    return [figure[key] for key in ("low", "median", "high") if figure[key] is not None] + alone(figure) + \
        [figure["rounds"][index] for index in figure["outliers"]]


def scale_kind(axis, values):
    if axis.kind:
        return axis.kind if axis.kind != "log" or all(v > 0 for v in values) else "linear"
    return "log" if min(values) > 0 and max(values) > LOG_SPAN * min(values) else "linear"


def heading(title, width):
    return words(4, 16, fit(title, width - 8, 13), cls="head")


def y_axis(scale, axis, width):
    out = [words(4, TOP - 12, fit(axis.title, width - 8), cls="note")]
    for value in scale.ticks:
        y = scale.at(value)
        out.append(el("path", d=f"M{LEFT} {short(y)}H{width - RIGHT}", cls="grid ytick", data_value=repr(float(value))))
        out.append(words(LEFT - 6, y + 4, fit(axis.shape(value), LEFT - 8), cls="tick end"))
    return "".join(out)


def x_axis(scale, axis, bottom, top=TOP):
    """Ticks of values; texts that would touch are left out."""
    out, free = [], -1e9
    for value in scale.ticks:
        x, text = scale.at(value), axis.shape(value)
        out.append(el("path", d=f"M{short(x)} {top}V{bottom}", cls="grid xtick", data_value=repr(float(value))))
        if x - svg.width_of(text) / 2 > free:
            out.append(words(x, bottom + 16, text, cls="tick middle"))
            free = x + svg.width_of(text) / 2 + 4
    out.append(words((scale.pixels[0] + scale.pixels[1]) / 2, bottom + 33, axis.title, cls="note middle"))
    return "".join(out)


def tell(name, figure, shape):
    """One figure in words."""
    if figure["low"] is None:
        return f"{name}: {shape(figure['median'])}"
    return f"{name}: {shape(figure['median'])}, 95% interval {shape(figure['low'])} to {shape(figure['high'])}"


def whisker(x, low, high, index):
    return el("path", d=f"M{short(x)} {short(low)}V{short(high)}M{short(x - 3)} {short(low)}h6M{short(x - 3)} {short(high)}h6",
              cls=f"k{index % svg.COLOURS} whisker")


def lying_whisker(y, low, high, cls):
    """With a rim of the paper's colour: it may lie on a bar of any."""
    way = f"M{short(low)} {short(y)}H{short(high)}M{short(low)} {short(y - 4)}v8M{short(high)} {short(y - 4)}v8"
    return el("path", d=way, cls="rim") + el("path", d=way, cls=f"{cls} whisker")


def dot(x, scale, point, axis):
    """A median, its interval, and the rounds far off."""
    category, name, index, figure = point
    data = {"data_series": name, "data_x": category}
    out = "".join(svg.ring(x, scale.at(v), f"k{index % svg.COLOURS}", data_value=repr(float(v)), **data) for v in alone(figure))
    if figure["low"] is not None:
        out += whisker(x, scale.at(figure["low"]), scale.at(figure["high"]), index)
    for n in figure["outliers"]:
        value = figure["rounds"][n]
        out += svg.cross(x, scale.at(value), svg.tip(f"{name}, {category}: a round far off, {axis.shape(value)}"),
                         cls=f"k{index % svg.COLOURS} outlier", data_value=repr(float(value)), **data)
    return out + svg.mark(x, scale.at(figure["median"]), index, svg.tip(tell(f"{name}, {category}", figure, axis.shape)),
                          data_value=repr(float(figure["median"])), **data)


def category_texts(categories, places, slot):
    """Each, or every second, third...: as many as there is room for."""
    widest = max(svg.width_of(c) for c in categories) + 6
    every = max(1, -(-int(min(widest, 12 * slot)) // max(int(slot), 1)))
    return "".join(words(places[c], HEIGHT - BOTTOM + 16, fit(c, every * slot), cls="tick middle")
                   for n, c in enumerate(categories) if n % every == 0)


def between(slot, count):
    """Lines between the categories."""
    return "".join(el("path", d=f"M{short(LEFT + slot * n)} {TOP}V{HEIGHT - BOTTOM}", cls="grid") for n in range(1, count))


def dots(title, axes, categories, points, guide=(), span=()):
    """axes: x, y. points: (category, name, index, figure), those of a series in the order of categories.
    guide: (category, value) of a dashed line. span: values that the scale must hold, too."""
    x_about, y_about = axes
    values = [v for p in points for v in seen(p[3])] + [value for _, value in guide] + list(span)
    scale = svg.Scale(scale_kind(y_about, values), values, (HEIGHT - BOTTOM, TOP))
    names = list(dict.fromkeys(p[1] for p in points))
    width = WIDTH if len(categories) * len(names) <= CROWD else WIDE
    slot = (width - LEFT - RIGHT) / len(categories)
    places = {c: LEFT + slot * (n + 0.5) for n, c in enumerate(categories)}
    beside = min(14, slot * 0.7 / len(names))
    shift = {name: (n - (len(names) - 1) / 2) * beside for n, name in enumerate(names)}
    body = heading(title, width) + y_axis(scale, y_about, width) + category_texts(categories, places, slot) \
        + words((LEFT + width - RIGHT) / 2, HEIGHT - 10, x_about.title, cls="note middle") + between(slot, len(categories))
    if guide:
        body += el("polyline", points=" ".join(f"{short(places[c])},{short(scale.at(v))}" for c, v in guide), cls="guide")
    marks = ""
    for name in names:
        own = [p for p in points if p[1] == name]
        way = " ".join(f"{short(places[p[0]] + shift[name])},{short(scale.at(p[3]['median']))}" for p in own)
        body += el("polyline", points=way, cls=f"k{own[0][2] % svg.COLOURS} line")
        marks += "".join(dot(places[p[0]] + shift[name], scale, p, y_about) for p in own)
    text = "; ".join(tell(f"{p[1]}, {p[0]}", p[3], y_about.shape) for p in points)
    return Panel(width, HEIGHT, el("g", body + marks, cls="dots", data_scale=scale.kind), title, text)


def shares(histogram):
    """(upper bound, share of the samples up to it), without bounds between which nothing changes."""
    total = sum(count for _, count in histogram)
    out, below = [], 0
    for n, (upper, count) in enumerate(histogram):
        below += count
        if count or (n + 1 < len(histogram) and histogram[n + 1][1]):
            out.append((upper, below / total))
    return out


def distribution(title, axes, curves):
    """curves: (name, index, histogram), each with samples. The share of packets (nines) that took no longer."""
    x_about, y_about = axes
    ways = [(name, index, [(x, y) for x, y in shares(histogram) if x > 0]) for name, index, histogram in curves]
    x = svg.Scale("log", [x for _, _, way in ways for x, _ in way], (LEFT, WIDTH - RIGHT - 8))
    y = svg.Scale("nines", [y for _, _, way in ways for _, y in way], (HEIGHT - BOTTOM, TOP))
    body = heading(title, WIDTH) + y_axis(y, y_about, WIDTH) + x_axis(x, x_about, HEIGHT - BOTTOM)
    for name, index, way in ways:
        line = " ".join(f"{short(x.at(a))},{short(y.at(b))}" for a, b in way)
        body += el("polyline", svg.tip(name), points=line, cls=f"k{index % svg.COLOURS} line curve d{index % 4}", data_series=name)
    text = "; ".join(f"{name}: half within {x_about.shape(next(a for a, b in way if b >= 0.5))}" for name, _, way in ways)
    return Panel(WIDTH, HEIGHT, el("g", body, cls="distribution"), title, text)


@dataclasses.dataclass
class Bar:
    label: str
    parts: list  # (name, class of the colour, value)
    figure: dict  # of the whole
    shown: str  # what stands at the end of its line


def bars(title, axis, rows):
    """Lying bars in parts, each with its name above it and the spread of the whole at its end. title is not drawn."""
    bottom = BAR_TOP + ROW * len(rows)
    values = [v for row in rows for v in [sum(v for _, _, v in row.parts), *seen(row.figure)]]
    scale = svg.Scale("linear", values, (8, WIDE - 40))
    body = x_axis(scale, axis, bottom, BAR_TOP)
    for n, row in enumerate(rows):
        y, start = BAR_TOP + ROW * n, 0
        room = svg.width_of(row.shown)
        body += words(8, y + 14, fit(row.label, WIDE - room - 40), cls="row") + words(WIDE - 12, y + 14, row.shown, cls="row end")
        for name, colour, value in row.parts:
            a, b = scale.at(start), scale.at(start + value)
            body += el("rect", svg.tip(f"{row.label}: {name} {axis.shape(value)}"), x=a, y=float(y + 19), width=b - a,
                       height=15, cls=f"{colour} part", data_row=row.label, data_part=name, data_value=repr(float(value)))
            start += value
        body += spread(scale, row, y + 26.5, axis)
    text = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    return Panel(WIDE, bottom + 40, el("g", body, cls="bars"), title, text)


def spread(scale, row, y, axis):
    """What is known of the noise of a lying figure: its interval or its few rounds, and rounds far off."""
    figure = row.figure
    out = "".join(svg.ring(scale.at(v), y, "ink", data_value=repr(float(v)), data_row=row.label) for v in alone(figure))
    if figure["low"] is not None:
        out += lying_whisker(y, scale.at(figure["low"]), scale.at(figure["high"]), "ink")
    for n in figure["outliers"]:
        value = figure["rounds"][n]
        out += svg.cross(scale.at(value), y, svg.tip(f"{row.label}: a round far off, {axis.shape(value)}"), cls="ink outlier",
                         data_value=repr(float(value)))
    return out


@dataclasses.dataclass
class Ratio:
    label: str
    figure: dict
    bound: object  # None or a number
    shown: str
    cls: str


def forest(title, axis, rows):
    """Ratios with their intervals about 1, and the bound that each is held to."""
    top = TOP - 18
    bottom = top + ROW * len(rows)
    values = [1.0, *(v for row in rows for v in seen(row.figure)), *(row.bound for row in rows if row.bound)]
    kind = "log" if min(values) > 0 and max(values) > 10 * min(values) else "span"
    scale = svg.Scale(kind, values, (26, WIDE - 26))
    body = heading(title, WIDE) + x_axis(scale, axis, bottom, top)
    body += el("path", d=f"M{short(scale.at(1))} {top}V{bottom}", cls="one")
    for n, row in enumerate(rows):
        y = top + ROW * n
        room = svg.width_of(row.shown)
        body += words(8, y + 14, fit(row.label, WIDE - room - 40), cls="row") + words(WIDE - 12, y + 14, row.shown, cls="row end")
        if row.bound is not None:
            body += el("path", svg.tip(f"bound {axis.shape(row.bound)}"), d=f"M{short(scale.at(row.bound))} {y + 19}v15",
                       cls="bound", data_value=repr(float(row.bound)))
        body += ratio_mark(scale, row, y + 26.5, axis)
    text = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    return Panel(WIDE, bottom + 40, el("g", body, cls="forest"), title, text)


def ratio_mark(scale, row, y, axis):
    return spread(scale, row, y, axis) + el(
        "path", svg.tip(tell(row.label, row.figure, axis.shape)), d=svg.SHAPES[0],
        transform=f"translate({short(scale.at(row.figure['median']))} {short(y)})", cls=f"{row.cls} mark", data_row=row.label,
        data_value=repr(float(row.figure["median"])))


def sign(entry, x, y):
    """What stands beside a name in a legend. entry: (name, index, "mark"), (name, class, "swatch" or "line")."""
    _, index, kind = entry
    if kind == "mark":
        return svg.mark(x + 6, y + 6, index)
    if kind == "line":
        return el("path", d=f"M{short(x)} {short(y + 6)}h16", cls=f"{index} curve")
    return el("rect", x=x, y=y, width=12, height=12, cls=f"{index} part")


def legend(entries, width):
    """Wraps to the width."""
    x, y, body = 4.0, 14.0, ""
    for entry in entries:
        name = fit(entry[0], width - 30)
        if x > 4 and x + 24 + svg.width_of(name) > width:
            x, y = 4.0, y + 20
        body += sign(entry, x, y - 10) + words(x + 20, y, name, cls="tick")
        x += 24 + svg.width_of(name) + 12
    return Panel(width, int(y + 8), body, "Legend", ", ".join(entry[0] for entry in entries))

# SPDX-License-Identifier: BSD-3-Clause
"""Elements of SVG, scales with their ticks, and marks. Every text and attribute goes through el() or words(), which escape."""

import html
import math
import unicodedata

FONT = 12  # px
ADVANCE = 0.62  # of the font's size: the mean character of a wide sans-serif
COLOURS = 8
MARKS = 8  # of a scale, about
FINEST = 1e-6  # part of a value that a scale tells apart
NINES = 6  # at most: 99.9999%


def el(tag, content="", **attributes):
    """One element; content is markup already. cls is class, _ is -; a number is written short, None left out."""
    parts = [tag]
    for key, value in attributes.items():
        if value is None:
            continue
        name = {"cls": "class"}.get(key, key.replace("_", "-"))
        shown = short(value) if isinstance(value, float) else str(value)
        parts.append(f'{name}="{html.escape(shown, quote=True)}"')
    head = " ".join(parts)
    return f"<{head}>{content}</{tag}>" if content else f"<{head}/>"


def short(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def width_of(text, size=FONT):
    """Roughly, and rather too much."""
    return sum(size * (1.05 if unicodedata.east_asian_width(c) in "WF" else ADVANCE) for c in text)


def fit(text, room, size=FONT):
    """The text, cut to so many pixels."""
    if width_of(text, size) <= room:
        return text
    while text and width_of(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def words(x, y, text, **attributes):
    return el("text", html.escape(text), x=float(x), y=float(y), **attributes)


def tip(text):
    """What a pointer that rests on a mark shows."""
    return el("title", html.escape(text))


class Scale:
    """Values to pixels. kind: linear (from nought), span (between round values), log, nines (shares: the tail is wide)."""

    def __init__(self, kind, values, pixels):
        self.kind, self.pixels = kind, pixels
        self.ticks = {"linear": linear_ticks, "span": span_ticks, "log": log_ticks, "nines": nines_ticks}[kind](values)
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def place(self, value):
        if self.kind == "log":
            return math.log10(value)
        return -math.log10(max(1 - value, 1e-18)) if self.kind == "nines" else value

    def at(self, value):
        """Values outside lie at the edge."""
        value = min(max(value, self.low), self.high)
        low, high = self.place(self.low), self.place(self.high)
        first, last = self.pixels
        return first + (last - first) * (self.place(value) - low) / (high - low)


def round_step(span, parts):
    """1, 2 or 5 times a power of ten, so that span has about so many parts."""
    raw = span / parts
    power = 10 ** math.floor(math.log10(raw))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)


def linear_ticks(values):
    highest = max(values, default=0) or 1
    step = round_step(highest, 5)
    return [step * n for n in range(math.ceil(highest / step * 0.9999) + 1)]


def span_ticks(values):
    low, high = min(values), max(values)
    step = round_step(max(high - low, abs(high) * FINEST) or 1, 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * n for n in range(first, max(last, first + 1) + 1)]


def log_ticks(values):
    """Powers of ten, with 2 and 5 between them where there is room; the ends are ticks, too."""
    values = [v for v in values if v > 0] or [1]
    least, most = min(values), max(values)
    factors = (1, 2, 5) if math.log10(most / least) < 2.5 else (1,)

    def tick(n):
        return factors[n % len(factors)] * 10.0 ** (n // len(factors))

    first = len(factors) * (math.floor(math.log10(least)) - 1)
    while tick(first + 1) <= least * 1.0001:
        first += 1
    last = first + 1
    while tick(last) < most * 0.9999:
        last += 1
    every = math.ceil((last - first) / MARKS)
    return [tick(first + every * n) for n in range(math.ceil((last - first) / every) + 1)]


def nines_ticks(values):
    highest = max((v for v in values if v < 1), default=0.9)
    nines = min(NINES, max(2, math.ceil(-math.log10(1 - highest) - 1e-9)))
    return [0, *([0.5] if nines < 4 else []), *(1 - 10.0 ** -n for n in range(1, nines + 1))]


SHAPES = ("M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z", "M-3.6 -3.6H3.6V3.6H-3.6Z", "M0 -4.6L4.6 4.6H-4.6Z", "M0 -5L5 0L0 5L-5 0Z",
          "M0 5L5 -4H-5Z", "M-5 -1.7H-1.7V-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5Z", "M-5 -2.6H5V2.6H-5Z", "M-2.6 -5H2.6V5H-2.6Z")


def mark(x, y, index, content="", **attributes):
    """The mark of a series: its colour, and its shape for who cannot tell the colours apart."""
    shape = SHAPES[(index + index // COLOURS) % len(SHAPES)]
    return el("path", content, d=shape, transform=f"translate({short(float(x))} {short(float(y))})",
              cls=f"f{index % COLOURS} mark", **attributes)


def cross(x, y, content, **attributes):
    """A round that lies far off."""
    return el("path", content, d="M-3 -3L3 3M-3 3L3 -3", transform=f"translate({short(float(x))} {short(float(y))})", **attributes)


def ring(x, y, cls, **attributes):
    """A round by itself."""
    return el("circle", cx=float(x), cy=float(y), r=2, cls=f"{cls} round", **attributes)


def canvas(width, height, title, text, body):
    """An image with a name and, for who does not see it, what it shows."""
    return el("svg", el("title", html.escape(title)) + el("desc", html.escape(text)) + body, viewBox=f"0 0 {width} {height}",
              width=width, height=height, role="img", cls="plot")

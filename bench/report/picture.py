# SPDX-License-Identifier: BSD-3-Clause
"""The plots of a result as one PNG, drawn by rsvg-convert from the same panels as the page's."""

import html as markup
import subprocess

from . import draw, model, output, palette, plots, schema, svg

PROGRAM, PACKAGE = "rsvg-convert", "librsvg2-bin"
WIDTH, MARGIN, GAP = 1224, 24, 16
MOST_HEIGHT = 15000  # cairo draws at most 32767 pixels, and the picture is twice as large as this
ZOOM = 2
SECONDS = 120


class Sheet:
    """Pieces put beside each other where they fit, else below."""

    def __init__(self, width):
        self.width, self.y, self.body, self.used = width, 0, "", 0

    def line(self, text, size, cls):
        cut = svg.fit(text, self.width, size)
        self.body += svg.el("text", markup.escape(cut), x=0, y=float(self.y + size), cls=cls, style=f"font-size:{size}px")
        self.y += round(size * 1.6)
        self.used = max(self.used, min(self.width, int(svg.width_of(cut, size))))

    def row(self, panels):
        x, tallest = 0, 0
        for panel in panels:
            if x and x + panel.width > self.width:
                x, self.y, tallest = 0, self.y + tallest + GAP, 0
            self.body += svg.el("g", panel.body, transform=f"translate({x} {self.y})")
            self.used = max(self.used, x + panel.width)
            x, tallest = x + panel.width + GAP, max(tallest, panel.height)
        self.y += tallest + GAP


def block(figure):
    """A figure with its title and legend as one piece, no wider than its panels."""
    width = min(WIDTH - 2 * MARGIN, sum(panel.width + GAP for panel in figure.panels) - GAP)
    piece = Sheet(width)
    piece.line(figure.title, 16, "title")
    if figure.legend:
        piece.row([draw.legend(figure.legend, width)])
    piece.row(figure.panels)
    return draw.Panel(width, piece.y, piece.body, figure.title, "")


def chosen(result, keys):
    figures = [f for f in plots.figures(result) if f.panels]
    known = [f.key for f in figures]
    for key in keys or []:
        if key not in known:
            raise schema.ReportError(f"no plot {schema.clean(key)} in this result; it has: {', '.join(known) or 'none'}")
    if not figures:
        raise schema.ReportError("nothing was measured: nothing to draw")
    return [f for f in figures if not keys or f.key in keys]


def sheet(result, keys=None, colours=palette.LIGHT):
    """The picture as SVG, and its height."""
    out = Sheet(WIDTH - 2 * MARGIN)
    out.line(f"viaduct bench: {model.head(result)}", 18, "title")
    for sentence in (*(model.EMULATED if result["emulated"] else ()), *model.READING):
        out.line(sentence, 13, "tick")
    out.y += GAP
    blocks, height = [], 0
    for figure in chosen(result, keys):
        piece = block(figure)
        height += piece.height + GAP
        if blocks and height > MOST_HEIGHT:
            out.line("The page has more plots.", 13, "tick")
            break
        blocks.append(piece)
    out.row(blocks)
    width, height = out.used + 2 * MARGIN, out.y + 2 * MARGIN
    paper = svg.el("rect", width=width, height=height, style=f"fill:{colours['paper']}")
    style = svg.el("style", markup.escape(palette.picture(colours)))
    body = svg.el("g", out.body, transform=f"translate({MARGIN} {MARGIN})")
    return svg.el("svg", style + paper + body, xmlns="http://www.w3.org/2000/svg", width=width, height=height,
                  viewBox=f"0 0 {width} {height}"), height


def png(result, path, keys=None, dark=False):
    """Writes the plots (all, or those of the keys) of a checked result to path."""
    image, height = sheet(result, keys, palette.DARK if dark else palette.LIGHT)
    zoom = ZOOM if height <= MOST_HEIGHT else 1
    try:
        done = subprocess.run([PROGRAM, "--format=png", "--unlimited", f"--zoom={zoom}"],
                              input=image.encode(), capture_output=True, check=False, timeout=SECONDS)
    except FileNotFoundError:
        raise schema.ReportError(f"pictures need {PROGRAM} (Debian's package {PACKAGE})") from None
    except subprocess.TimeoutExpired:
        raise schema.ReportError(f"{PROGRAM} has not drawn the picture within {SECONDS} s") from None
    if done.returncode:
        raise schema.ReportError(f"{PROGRAM}: {schema.clean(done.stderr.decode(errors='replace').strip()[:200])}")
    output.write(path, done.stdout)

# SPDX-License-Identifier: BSD-3-Clause
"""A result as one page that needs nothing else: no script, no font, no file, light or dark as the reader's screen is."""

import html as markup

from . import draw, model, palette, plots, svg

POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # nothing in the page runs, whatever it holds


def tag(name, content, **attributes):
    """content is markup; attributes are escaped."""
    head = "".join(f' {key.rstrip("_")}="{markup.escape(str(value), quote=True)}"' for key, value in attributes.items())
    return f"<{name}{head}>{content}</{name}>"


def said(text):
    return markup.escape(text, quote=True)


def table(made):
    head = "".join(tag("th", said(name), scope="col") for name, _ in made.columns)
    right = [all(row[i][:1].isdigit() or row[i] == "-" for row in made.rows) for i in range(len(made.columns))]
    body = "".join(tag("tr", "".join(tag("td", said(cell), class_="number") if right[i] else tag("td", said(cell))
                                     for i, cell in enumerate(row))) for row in made.rows)
    note = tag("p", said(made.note), class_="note") if made.note else ""
    return tag("div", tag("table", tag("caption", said(made.title)) + tag("thead", tag("tr", head)) + tag("tbody", body)),
               class_="wide") + note


def legend(entries):
    signs = (svg.el("svg", draw.sign(entry, 1.0, 1.0), viewBox="0 0 18 14", width=18, height=14, aria_hidden="true") for entry in entries)
    return tag("ul", "".join(tag("li", sign + said(entry[0])) for sign, entry in zip(signs, entries)), class_="legend") if entries else ""


def figure(made):
    out = tag("h2", said(made.title))
    if made.note:
        out += tag("p", said(made.note), class_="note")
    if made.panels:
        panels = tag("div", "".join(panel.image() for panel in made.panels), class_="panels")
        out += tag("figure", legend(made.legend) + panels)
    tables = "".join(table(t) for t in made.tables if t.rows)
    if tables:
        out += tag("details", tag("summary", "The numbers") + tables)
    return tag("section", out, id=made.key)


def warnings(result):
    items = "".join(tag("li", f"<b>{said(w['code'])}</b> {said(w['text'])}") for w in result["warnings"])
    return tag("section", tag("h2", "Warnings") + tag("ul", items), class_="warnings") if items else ""


def notes(result):
    items = "".join(tag("li", f"<b>{said(s['name'])}</b> {said(note)}") for s in result["scenarios"] for note in s["notes"])
    return tag("section", tag("h2", "Notes") + tag("ul", items)) if items else ""


def host(result):
    rows = "".join(tag("tr", tag("th", said(name), scope="row") + tag("td", said(value)))
                   for name, value in model.host_lines(result["host"]))
    return tag("section", tag("h2", "Host") + tag("div", tag("table", tag("tbody", rows)), class_="wide")) if rows else ""


def variants(result):
    made = model.variants(result)
    return tag("section", tag("h2", "What was measured") + table(made)) if made.rows else ""


def html(result):
    """The page; result is a checked one."""
    top = tag("h1", "viaduct bench") + tag("p", said(model.head(result)), class_="head")
    if result["emulated"]:
        top += tag("p", said(" ".join(model.EMULATED)), class_="banner")
    drawn = plots.figures(result)
    body = "".join(figure(made) for made in drawn) or tag("p", "Nothing was measured.")
    if any(made.panels for made in drawn):
        top += tag("p", said(" ".join(model.READING)), class_="note")
    title = f"viaduct bench: {result['profile']}, {result['at']}"
    head = ('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="color-scheme" content="light dark">'
            f"<title>{said(title)}</title><style>{palette.page()}</style>")
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>' \
        + tag("header", top) + tag("main", warnings(result) + body + variants(result) + notes(result) + host(result)) + "</body></html>\n"

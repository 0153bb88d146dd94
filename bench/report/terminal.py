# SPDX-License-Identifier: BSD-3-Clause
"""A result as tables for a terminal of a given width."""

import unicodedata

from . import model

LEAST_WIDTH = 60
CUT = "~"


def cells(text):
    """Columns that a terminal gives to a text."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text, width):
    if cells(text) <= width:
        return text
    out = ""
    for c in text:
        if cells(out + c) >= width:
            break
        out += c
    return out + CUT


def wrapped(mark, text, width):
    """Lines of at most that width: the first begins with mark, the others are indented as far."""
    indent, lines = " " * cells(mark), [mark]
    fresh = True  # nothing follows the mark or the indent yet
    for piece in text.split():
        if not fresh and cells(lines[-1]) + 1 + cells(piece) > width:
            lines.append(indent)
            fresh = True
        if not fresh:
            lines[-1] += " "
        for c in piece:
            if cells(lines[-1]) + cells(c) > width:
                lines.append(indent)
            lines[-1] += c
        fresh = False
    return [line.rstrip() for line in lines]


def pad(text, width, right):
    fill = " " * (width - cells(text))
    return fill + text if right else text + fill


def is_number(text):
    return text[:1].isdigit() or text == "-"


def fitting(table, width):
    """Indexes of the columns that fit, and the width of each; text is cut only when no column is left to leave out."""
    kept = list(range(len(table.columns)))
    wide = [max(cells(name), *(cells(row[i]) for row in table.rows)) for i, (name, _) in enumerate(table.columns)]
    while sum(wide[i] + 2 for i in kept) > width:
        rank, last = max((table.columns[i][1], i) for i in kept)
        if rank == 0:
            break
        kept.remove(last)
    over = sum(wide[i] + 2 for i in kept) - width
    while over > 0:
        widest = max(kept, key=lambda i: wide[i])
        if wide[widest] <= 4:
            break
        wide[widest] -= 1
        over -= 1
    return kept, wide


def table_lines(table, width, with_note=True):
    yield cut(table.title, width)
    if table.note and with_note:
        yield from wrapped("  ", table.note, width)
    kept, wide = fitting(table, width)
    right = {i: all(is_number(row[i]) for row in table.rows) for i in kept}
    names = [name for name, _ in table.columns]
    previous = None
    for row in [names, *table.rows]:
        shown = [row[i] if previous is None or i != kept[0] or row[i] != previous[i] else "" for i in kept]
        yield ("  " + "  ".join(pad(cut(cell, wide[i]), wide[i], right[i]) for cell, i in zip(shown, kept))).rstrip()
        previous = row
    gone = [names[i] for i in range(len(names)) if i not in kept]
    if gone:
        yield f"  (no room for: {', '.join(gone)})"


def text(result, width=100):
    """The report for people; result is a checked one."""
    width = max(width, LEAST_WIDTH)
    lines = wrapped("viaduct bench: ", model.head(result), width)
    if result["emulated"]:
        lines += ["", *wrapped("", " ".join(model.EMULATED), width)]
    for warning in result["warnings"]:
        lines += wrapped(f"warning {warning['code']}: ", warning["text"], width)
    measured = model.tables(result)
    said = set()
    for table in measured:
        lines += ["", *table_lines(table, width, table.note not in said)]
        said.add(table.note)
    if not measured:
        lines += ["", "Nothing was measured."]
    for scenario in result["scenarios"]:
        for note in scenario["notes"]:
            lines += ["", *wrapped(f"{scenario['name']}: ", note, width)]
    facts = list(model.host_lines(result["host"]))
    if facts:
        lines += ["", "Host"]
        for name, value in facts:
            lines += wrapped(f"  {name}: ", value, width)
    return "\n".join(lines)

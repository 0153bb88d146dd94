# SPDX-License-Identifier: BSD-3-Clause
"""The page of viaduct bench report, as a browser draws it: every mark is where the result says, and hostile text stays text."""

import json
import math
import re

import bench_result
import chromekit
import pytest

from bench import report
from bench.report import model

# What is drawn: for each plot its ticks, marks, lines and texts, in pixels of the page.
DRAWN = """[...document.querySelectorAll("svg.plot")].map(svg => {
  const box = e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
  const all = (what, more) => [...svg.querySelectorAll(what)].map(e => ({box: box(e), ...e.dataset, ...more(e)}));
  const nothing = e => ({});
  const g = svg.querySelector("g");
  return {
    title: svg.querySelector("title").textContent, figure: svg.closest("section").id, box: box(svg),
    kind: g ? g.getAttribute("class") : "", scale: g ? g.dataset.scale : "",
    x: all(".xtick", nothing), y: all(".ytick", nothing), marks: all(".mark", nothing), whiskers: all(".whisker", nothing),
    outliers: all(".outlier", nothing), parts: all(".part", nothing), bounds: all(".bound", nothing), rounds: all(".round", nothing),
    curves: all("polyline.curve", e => ({points: [...e.points].map(p => { const q = p.matrixTransform(e.getScreenCTM());
                                                                          return [q.x, q.y]; })})),
    guides: all("polyline.guide", nothing),
    texts: all("text", e => ({text: e.textContent, fill: getComputedStyle(e).fill})),
    fills: all(".mark, .part", e => ({fill: getComputedStyle(e).fill})),
  };
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = chromekit.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def show(browser, tmp_path):
    """show(result) -> (the checked result, what is drawn)."""

    def load(result, scheme="light", width=1280):
        made = report.check(json.loads(json.dumps(result)))
        path = tmp_path / "page.html"
        path.write_text(report.html(made), encoding="utf-8")
        browser.load(path, scheme, width)
        return made, browser.evaluate(DRAWN)

    return load


def middle(box, axis):
    return (box[axis] + box[axis + 2]) / 2


def linear(v):
    return v


def nines(v):
    return -math.log10(1 - v)


PLACES = {"linear": linear, "span": linear, "log": math.log10, "nines": nines}


def place_of(ticks, kind, axis):
    """Value -> pixel, by the first and the last tick that are drawn."""
    ends = [(PLACES[kind](float(t["value"])), middle(t["box"], axis)) for t in (ticks[0], ticks[-1])]
    (low, first), (high, last) = ends
    return lambda value: first + (last - first) * (PLACES[kind](value) - low) / (high - low)


def plots_of(drawn, figure, kind):
    return [plot for plot in drawn if plot["figure"] == figure and plot["kind"] == kind]


def rows_of(result, key):
    return [(f"{s['name']}/{row['variant']}", row) for s in result["scenarios"] for row in s[key]]


def assert_dots(plot, wanted):
    """wanted: (series, category) -> figure. Medians, intervals and rounds far off are where they belong, and nothing else is."""
    place = place_of(plot["y"], plot["scale"], 1)
    marks = {(m["series"], m["x"]): m for m in plot["marks"]}
    assert marks.keys() == wanted.keys() and len(plot["marks"]) == len(wanted)
    for key, figure in wanted.items():
        assert float(marks[key]["value"]) == figure["median"]
        assert abs(middle(marks[key]["box"], 1) - place(figure["median"])) < 1, key
    lows = sorted(place(f["low"]) for f in wanted.values())
    highs = sorted(place(f["high"]) for f in wanted.values())
    assert all(abs(w["box"][3] - low) < 1.6 for w, low in zip(sorted(plot["whiskers"], key=lambda w: w["box"][3]), lows))
    assert all(abs(w["box"][1] - high) < 1.6 for w, high in zip(sorted(plot["whiskers"], key=lambda w: w["box"][1]), highs))
    assert len(plot["whiskers"]) == len(wanted)
    far = sorted(place(f["rounds"][n]) for f in wanted.values() for n in f["outliers"])
    assert len(far) == len(plot["outliers"])
    assert all(abs(seen - want) < 1.2 for seen, want in zip(sorted(middle(o["box"], 1) for o in plot["outliers"]), far))


def test_throughput_is_drawn_where_the_result_says(show):
    result, drawn = show(bench_result.result())
    wanted = {(of, row["size"]): row["pps"] for of, row in rows_of(result, "throughput")}
    plot, = plots_of(drawn, "throughput", "dots")
    assert plot["scale"] == "linear" and len(wanted) == 8
    assert_dots(plot, wanted)


def test_throughputs_far_apart_are_drawn_on_a_logarithmic_scale(show):
    raw = bench_result.result()
    for row in raw["scenarios"][2]["throughput"]:
        row["pps"] = bench_result.fig([v * 400 for v in row["pps"]["rounds"]])
    result, drawn = show(raw)
    plot, = plots_of(drawn, "throughput", "dots")
    assert plot["scale"] == "log"
    assert_dots(plot, {(of, row["size"]): row["pps"] for of, row in rows_of(result, "throughput")})


def test_rounds_too_few_for_an_interval_are_drawn_themselves(show):
    result, drawn = show(bench_result.result(rounds=4))
    plot, = plots_of(drawn, "throughput", "dots")
    place = place_of(plot["y"], plot["scale"], 1)
    wanted = sorted(place(v) for _, row in rows_of(result, "throughput") for v in row["pps"]["rounds"])
    assert len(wanted) == 32 and plot["whiskers"] == []
    assert all(abs(a - b) < 1 for a, b in zip(sorted(middle(r["box"], 1) for r in plot["rounds"]), wanted, strict=True))
    plot, = plots_of(drawn, "ratios", "forest")
    assert len(plot["rounds"]) == 16 and plot["whiskers"] == []


def test_percentiles_are_drawn_by_load(show):
    result, drawn = show(bench_result.result())
    plots = {plot["title"]: plot for plot in plots_of(drawn, "latency", "dots")}
    assert plots.keys() == {f"{p}, {size} B" for p in ("p50", "p99", "p99.9") for size in bench_result.SIZES}
    for title, plot in plots.items():
        name, size = title.removesuffix(" B").split(", ")
        key = {"p50": "p50_ns", "p99": "p99_ns", "p99.9": "p999_ns"}[name]
        assert_dots(plot, {(of, f"{row['load_percent']}%"): row[key] for of, row in rows_of(result, "latency") if row["size"] == size})


def test_scale_is_drawn_by_vms(show):
    result, drawn = show(bench_result.result())
    plot, = plots_of(drawn, "scale", "dots")
    assert_dots(plot, {(of, str(row["vms"])): row["total_pps"] for of, row in rows_of(result, "scale")})
    alone = place_of(plot["y"], plot["scale"], 1)(rows_of(result, "scale")[0][1]["total_pps"]["median"])
    guide, = plot["guides"]  # it lies level
    assert abs(guide["box"][1] - alone) < 1 and abs(guide["box"][3] - alone) < 1
    assert "packets a second of all together" in [t["text"] for t in plot["texts"]]


def test_distributions_are_those_of_the_histograms(show):
    result, drawn = show(bench_result.result())
    plots = {plot["title"]: plot for plot in plots_of(drawn, "cdf", "distribution")}
    assert len(plots) == 6
    for title, plot in plots.items():
        x, y = place_of(plot["x"], "log", 0), place_of(plot["y"], "nines", 1)
        highest = float(plot["y"][-1]["value"])
        size, load = re.fullmatch(r"(\w+) B, (\d+)% load", title).groups()
        rows = {of: row for of, row in rows_of(result, "latency") if row["size"] == size and row["load_percent"] == int(load)}
        assert {c["series"] for c in plot["curves"]} == rows.keys()
        for curve in plot["curves"]:
            histogram = rows[curve["series"]]["histogram"]
            total, below, wanted = sum(count for _, count in histogram), 0, []
            for upper, count in histogram:
                below += count
                if count:
                    wanted.append((x(upper), y(min(below / total, highest))))
            seen = curve["points"][-len(wanted):]
            assert all(abs(a - c) < 1 and abs(b - d) < 1 for (a, b), (c, d) in zip(seen, wanted))
            assert len(curve["points"]) <= len(wanted) + 1


def test_counts_are_bars_of_their_kinds(show):
    result, drawn = show(bench_result.result())
    for figure, per in (("exits-per-packet-deterministic-time", "packet"), ("exits-per-interrupt-deterministic-time", "interrupt")):
        plot, = plots_of(drawn, figure, "bars")
        place = place_of(plot["x"], "linear", 0)
        rows = [(of, row) for of, row in rows_of(result, "counts") if (row["what"], row["per"]) == ("exits", per)]
        wanted = {(f"{of}, {row['size']} B", row["kind"]): row["value"] for of, row in rows}
        parts = {(p["row"], p["part"]): p for p in plot["parts"]}
        assert {key for key in wanted if key[1] != "all"} == {key for key in parts if key[1] != "other"}
        for key, part in parts.items():
            if key[1] != "other":
                assert float(part["value"]) == wanted[key]["median"]
            assert abs(part["box"][2] - part["box"][0] - (place(float(part["value"])) - place(0))) < 1.6
        ends = sorted(w["box"][2] for w in plot["whiskers"])
        highs = sorted(place(f["high"]) for key, f in wanted.items() if key[1] == "all")
        assert len(ends) == len(highs) and all(abs(a - b) < 1.6 for a, b in zip(ends, highs))


def test_what_other_vcpus_did_is_no_part_of_all_and_nothing_is_no_part(show):
    raw = bench_result.result()
    counts = raw["scenarios"][1]["counts"]
    row = next(row for row in counts if row["kind"] == "all" and row["what"] == "exits")
    counts += [{**row, "kind": "other-vcpus", "value": bench_result.fig([3e-4] * 9)}, {**row, "kind": "pio", "value": bench_result.fig([0] * 9)}]
    _, drawn = show(raw)
    plot, = plots_of(drawn, "other-vcpus-exits-per-packet-deterministic-time", "bars")
    assert [(p["row"], float(p["value"])) for p in plot["parts"]] == [("guest-vf/viaduct, 64 B", 3e-4)]
    plot, = plots_of(drawn, "exits-per-packet-deterministic-time", "bars")
    assert {p["part"] for p in plot["parts"]} <= {"hlt", "eoi", "msr", "other"}


def test_ratios_and_their_bounds_are_drawn(show):
    result, drawn = show(bench_result.result())
    plot, = plots_of(drawn, "ratios", "forest")
    place = place_of(plot["x"], "span", 0)
    rows = result["scenarios"][1]["ratios"]
    assert plot["title"] == "guest-vf/viaduct over host-vf/bare" and len(plot["marks"]) == len(rows) == 4
    for row in rows:
        own, = (m for m in plot["marks"] if m["row"] == f"{row['of']}, {row['size']} B")
        assert abs(middle(own["box"], 0) - place(row["ratio"]["median"])) < 1
    assert sorted(float(b["value"]) for b in plot["bounds"]) == sorted(row["bound"] for row in rows)
    assert all(abs(middle(b["box"], 0) - place(float(b["value"]))) < 1 for b in plot["bounds"])
    said = " ".join(t["text"] for t in plot["texts"])
    assert said.count("holds") == 3 and said.count("DOES NOT HOLD") == 1


def test_steps_of_a_start_are_one_bar_each(show):
    result, drawn = show(bench_result.result())
    plot, = plots_of(drawn, "start", "bars")
    place = place_of(plot["x"], "linear", 0)
    for of, row in rows_of(result, "start"):
        at = 0
        for step in row["steps"]:
            part, = (p for p in plot["parts"] if (p["row"], p["part"]) == (of, step["step"]))
            assert abs(part["box"][0] - place(at)) < 1.6
            at += step["seconds"]["median"]
            assert abs(part["box"][2] - place(at)) < 1.6
    # As far as the whole is known to lie: the line of a whisker and its ends.
    whisker, = (w for w in plot["whiskers"] if w["box"][2] - w["box"][0] > 1)
    total = rows_of(result, "start")[0][1]["total"]
    assert abs(whisker["box"][0] - place(total["low"])) < 2 and abs(whisker["box"][2] - place(total["high"])) < 2
    median, low, high = (model.seconds(total[key]) for key in ("median", "low", "high"))
    assert f"{median} [{low}, {high}]" in [t["text"] for t in plot["texts"]]


def test_legends_have_the_colours_and_shapes_of_what_is_drawn(show, browser):
    show(bench_result.result())
    script = """[...document.querySelectorAll("section")].map(s => {
      const look = e => getComputedStyle(e).fill + " " + e.getAttribute("d");
      return [s.id, Object.fromEntries([...s.querySelectorAll(".legend li")].map(li => [li.textContent, look(li.querySelector(".mark, .part, .curve"))])),
              [...s.querySelectorAll("svg.plot .mark[data-series], svg.plot .part")].map(e => [e.dataset.series || e.dataset.part, look(e)])];
    })"""
    figures = {name: (legend, drawn) for name, legend, drawn in browser.evaluate(script) if drawn}
    for name in ("throughput", "latency", "scale", "start", "exits-per-packet-deterministic-time"):
        legend, drawn = figures[name]
        assert drawn and all(legend[series] == look for series, look in drawn), name
        assert len(set(legend.values())) == len(legend)


def overlap(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 3


def many(**more):
    """A result with all sizes of RFC 2544, long names, and a single round here and there."""
    out = bench_result.result(**more)
    for scenario in out["scenarios"][:3]:
        extra = []
        for row in scenario["throughput"]:
            if row["size"] == "64":
                extra += [{**row, "size": size} for size in ("128", "256", "512", "1024", "1280", "9000", "imix")]
                extra += [{**row, "criterion": "0.001%", "pps": bench_result.fig([row["pps"]["median"] * 3e5])}]
        scenario["throughput"] += extra
    out["scenarios"][2]["variants"][1]["name"] = name = "a-backend-of-another-make-with-a-name-of-its-own"
    for key in ("throughput", "latency", "counts", "back_to_back"):
        for row in out["scenarios"][2][key]:
            row["variant"] = name if row["variant"] == "qemu" else row["variant"]
    return out


@pytest.mark.parametrize("made", [bench_result.result, many])
def test_texts_neither_overlap_nor_leave_their_plot(show, made):
    _, drawn = show(made())
    assert len(drawn) >= 20
    for plot in drawn:
        texts = [t for t in plot["texts"] if t["box"][2] > t["box"][0]]
        for n, text in enumerate(texts):
            assert text["box"][0] >= plot["box"][0] - 1 and text["box"][2] <= plot["box"][2] + 1, (plot["title"], text)
            for other in texts[n + 1:]:
                assert not overlap(text["box"], other["box"]), (plot["title"], text["text"], other["text"])


def brightness(colour):
    parts = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    low, high = sorted((brightness(a), brightness(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_and_complains_of_nothing(show, browser, scheme):
    _, drawn = show(bench_result.result(), scheme)
    assert browser.complaints() == []
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (brightness(paper) > 0.9) == (scheme == "light")
    for plot in drawn:
        assert plot["box"][2] - plot["box"][0] > 100 and plot["texts"]
        assert all(contrast(t["fill"], paper) >= 4.5 for t in plot["texts"])
        assert all(contrast(m["fill"], paper) >= 3 for m in plot["fills"])


def test_a_narrow_screen_scrolls_tables_not_the_page(show, browser):
    show(bench_result.result(), width=420)
    browser.evaluate('document.querySelectorAll("details").forEach(d => { d.open = true; })')
    assert browser.evaluate("document.documentElement.scrollWidth") <= 420


def test_a_table_lies_behind_every_plot(show, browser):
    show(bench_result.result())
    bare = browser.evaluate('[...document.querySelectorAll("section")].filter(s => s.querySelector("svg.plot") && '
                            '!s.querySelector("details table tbody tr")).map(s => s.id)')
    assert bare == []


def test_nothing_empty_is_drawn(show, browser):
    least = {"format": "viaduct-bench", "version": 1, "profile": "smoke", "emulated": False, "ended": "failed"}
    _, drawn = show(least)
    assert drawn == [] and "Nothing was measured." in browser.evaluate("document.body.innerText")
    assert browser.complaints() == []


HOSTILE = ("</title><script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style></svg><iframe src=//x>",
           "<!--", "]]>&lt;", "\u202eevil\x1b[31m", "javascript:alert(1)")


def test_hostile_texts_stay_texts(show, browser):
    raw = bench_result.result()
    for n, text in enumerate(HOSTILE):
        raw["scenarios"][n % 3]["notes"].append(text)
        raw["host"][text] = [text]
        raw["warnings"].append({"code": "x", "text": text})
    raw["at"] = raw["viaduct"] = raw["scenarios"][0]["title"] = raw["scenarios"][0]["variants"][0]["title"] = HOSTILE[0]
    show(raw)
    assert browser.complaints() == []
    assert browser.evaluate('document.querySelectorAll("script, img, iframe, object, a, form, link, [onerror], [src]").length') == 0
    shown = browser.evaluate("document.body.textContent")
    for text in HOSTILE[:5]:
        assert shown.count(text) >= 4
    assert "\x1b" not in shown and "\u202e" not in shown


def test_the_printed_page_has_the_numbers(show, browser, tmp_path):
    show(bench_result.result(), "dark")
    browser.call("Emulation.setEmulatedMedia", {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    assert brightness(browser.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9
    assert browser.evaluate('[...document.querySelectorAll("details table")].every(t => t.getBoundingClientRect().height > 20)')
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", {"media": ""})

# SPDX-License-Identifier: BSD-3-Clause
"""Colours and the style sheets made of them.

Those of series were searched for: any two are well apart for who lacks one kind of cone, too (a test simulates it), and
stand out from the paper. Series also differ in shape or dashes: no colour is the only sign of anything.
"""

LIGHT = {"paper": "#ffffff", "ink": "#1b1f24", "soft": "#57606a", "grid": "#dfe3e8", "banner": "#fff3cd", "edge": "#b08800",
         "good": "#00694a", "bad": "#b42318", "rest": "#8c959f",
         "series": ("#0c5ceb", "#f25000", "#0d4a26", "#b3218b", "#b0846c", "#560090", "#009bd0", "#a0506e")}
DARK = {"paper": "#14171b", "ink": "#e8ebee", "soft": "#a3adb8", "grid": "#333a42", "banner": "#3a3012", "edge": "#d6a200",
        "good": "#4cd6a3", "bad": "#ff8f80", "rest": "#7d8792",
        "series": ("#6ba0f0", "#a87f00", "#56f090", "#d04a78", "#ffe04a", "#8a6bff", "#9addff", "#f4f4e6")}
DASHES = ("none", "7 3", "2 3", "8 3 2 3")
FONT = 'system-ui,"DejaVu Sans",sans-serif'

PLOT = f"""
text{{font-family:{FONT};font-size:12px}}
.head{{font-size:13px;font-weight:600}}
.end{{text-anchor:end}}
.middle{{text-anchor:middle}}
.line,.guide,.curve{{fill:none;stroke-width:1}}
.line{{stroke-opacity:.45}}
.curve{{stroke-width:2;stroke-opacity:1}}
.guide{{stroke-dasharray:5 4}}
.whisker,.outlier,.round{{fill:none;stroke-width:1.6}}
.rim{{fill:none;stroke-width:4.5}}
.grid{{fill:none;stroke-width:1}}
.one{{fill:none;stroke-width:1.5}}
.bound{{fill:none;stroke-width:3}}
.mark{{stroke-width:1}}
.part{{stroke-width:1}}
.title{{font-weight:600}}
.row{{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}}
""" + "".join(f".d{n}{{stroke-dasharray:{dash}}}\n" for n, dash in enumerate(DASHES))

PAGE = f"""
body{{font:15px/1.5 {FONT};margin:0 auto;max-width:1240px;padding:0 20px 60px}}
h1{{font-size:26px;margin:28px 0 0}}
h2{{font-size:19px;margin:36px 0 8px}}
p{{margin:6px 0;max-width:80ch}}
p.note{{font-size:13px}}
.banner{{border-left:5px solid;padding:10px 14px;margin:14px 0}}
.warnings li{{margin:3px 0}}
figure{{margin:10px 0}}
.legend{{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:0 0 8px;padding:0;font-size:13px}}
.legend svg{{vertical-align:-2px;margin-right:5px}}
.panels{{display:flex;flex-wrap:wrap;gap:18px 14px}}
svg.plot{{max-width:100%;height:auto}}
.wide{{overflow-x:auto}}
table{{border-collapse:collapse;font-size:13px;margin:10px 0;font-variant-numeric:tabular-nums}}
caption{{text-align:left;font-weight:600;padding:4px 0}}
th,td{{text-align:left;padding:3px 12px 3px 0;border-bottom:1px solid;vertical-align:top;overflow-wrap:anywhere}}
td.number{{text-align:right;white-space:nowrap}}
summary{{cursor:pointer;font-size:14px}}
@media print{{body{{max-width:none;padding:0}}section{{break-inside:auto}}svg.plot,tr{{break-inside:avoid}}
h2{{break-after:avoid}}details::details-content{{content-visibility:visible;height:auto}}summary{{display:none}}}}
"""


def plot_colours(colours):
    rules = [f"text{{fill:{colours['ink']}}}", f".note,.tick{{fill:{colours['soft']}}}", f".grid{{stroke:{colours['grid']}}}",
             f".one,.guide{{stroke:{colours['soft']}}}", f".bound{{stroke:{colours['edge']}}}",
             f".ink.whisker,.ink.outlier,.ink.round{{stroke:{colours['ink']}}}", f".ink.mark{{fill:{colours['ink']}}}",
             f".good.mark{{fill:{colours['good']}}}", f".bad.mark{{fill:{colours['bad']}}}",
             f".mark,.part,.row,.rim{{stroke:{colours['paper']}}}", f".rest{{fill:{colours['rest']}}}"]
    for n, colour in enumerate(colours["series"]):
        rules += [f".f{n}{{fill:{colour}}}", f".k{n}{{stroke:{colour}}}"]
    return "\n".join(rules) + "\n"


def page_colours(colours):
    return (f"body{{background:{colours['paper']};color:{colours['ink']}}}p.note{{color:{colours['soft']}}}"
            f".banner{{background:{colours['banner']};border-color:{colours['edge']}}}"
            f"th,td{{border-color:{colours['grid']}}}\n" + plot_colours(colours))


def page():
    """Printed in light colours, whatever the screen."""
    return PLOT + PAGE + page_colours(LIGHT) + f"@media screen and (prefers-color-scheme: dark){{{page_colours(DARK)}}}\n"


def picture(colours):
    return PLOT + plot_colours(colours)

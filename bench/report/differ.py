# SPDX-License-Identifier: BSD-3-Clause
"""What differs between two results beyond the noise, and what the noise may hide.

Two sets of rounds are compared by the ratios of all their pairs (Hodges and Lehmann's estimate), with the interval that
belongs to Mann and Whitney's test: it asks nothing of how the rounds are distributed.
"""

import functools
import math
import statistics
import typing

from . import model
from .terminal import LEAST_WIDTH, table_lines, wrapped

CONFIDENCE = 0.95
PAIRS = 250000  # of one figure; with more, the intervals of the medians must do
ALL_PAIRS = 4000000  # of all figures together: some seconds
EXACT = 40  # rounds of both together, up to which the test's distribution is counted out
NORMAL = 1.959964
ALIKE = 1e-9  # of counts in deterministic time, which repeat themselves
COUNTED = ("p50_ns", "p99_ns")  # what a trial's latency is judged by
RATES_APART = 1.1  # times: latencies of rates further apart are not compared
LISTED = 12  # names of what only one result has
WORSE = "WORSE"
HIGHER, LOWER = "higher is better", "lower is better"


class Measured(typing.NamedTuple):
    """A figure, and how it is compared."""
    figure: dict
    shape: typing.Callable
    better: str
    trial: str | None = None  # to whose verdict it belongs, among those of its series; None: it is shown alone
    repeats: bool = False  # counted in deterministic time: without noise, if its rounds are all the same
    rate: float | None = None  # packets a second at which a latency was measured
    paired: bool = False  # a ratio within a run: what drifts from run to run is above and below its line


# Of a ratio: what is better, and to whose trial it belongs.
RATIOS = {"throughput": (HIGHER, "throughput {size}"), "p50": (LOWER, "latency {size} at 50%"), "p99": (LOWER, "latency {size} at 50%"),
          "instructions": (LOWER, "counts per packet {size} " + model.DETERMINISTIC),
          "cycles": (LOWER, "counts per packet {size} " + model.DETERMINISTIC)}


def figures(result):
    """(what, of) -> Measured."""
    out = {}

    def put(what, scenario, row, figure, *how, **more):
        out.setdefault((what, model.series(scenario, row)), Measured(figure, *how, **more))

    for s, r in model.each(result, "throughput"):
        put(f"throughput {r['size']} {r['criterion']}", s, r, r["pps"], model.rate, HIGHER, f"throughput {r['size']}")
    for s, r in model.each(result, "latency"):
        trial = f"latency {r['size']} at {model.percent(r['load_percent'])}"
        for key, name in model.PERCENTILES.items():
            put(f"{name} {r['size']} at {model.percent(r['load_percent'])}", s, r, r[key], model.duration, LOWER,
                trial if key in COUNTED else None, rate=r["pps"]["median"])
    for s, r in model.each(result, "back_to_back"):
        put(f"back to back {r['size']}", s, r, r["frames"], model.plain, HIGHER, f"back to back {r['size']}")
    for s, r in model.each(result, "counts"):
        kind, repeats = "" if r["kind"] == "all" else f" ({r['kind']})", r["method"] == model.DETERMINISTIC
        put(f"{r['what']} per {r['per']} {r['size']}{kind}{'' if repeats else ', ' + r['method']}", s, r, r["value"], model.plain, LOWER,
            None if kind else f"counts per {r['per']} {r['size']} {r['method']}", repeats)
    for s, r in model.each(result, "start"):
        put("start, all steps", s, r, whole_start(r["steps"]), model.seconds, LOWER, "start")
        for step in r["steps"]:
            put(f"start, {step['step']}", s, r, step["seconds"], model.seconds, LOWER)
    for s, r in model.each(result, "scale"):
        put(f"{r['vms']} VMs together", s, r, r["total_pps"], model.rate, HIGHER, f"{r['vms']} VMs")
    for s, r in model.each(result, "tcp"):
        put(f"tcp {r['direction']}", s, r, r["gbps"], model.gbps, HIGHER, f"tcp {r['direction']}")
    for _, r in model.each(result, "ratios"):
        kind = r["of"].partition(" ")[0]
        if kind in RATIOS:
            better, trial = RATIOS[kind]
            out.setdefault((f"{r['of']} {r['size'] or ''} over {r['b']}", r["a"]), Measured(
                r["ratio"], model.ratio, better, trial.format(size=r["size"]), kind in ("instructions", "cycles"), paired=True))
    return {key: value for key, value in out.items() if value.figure["median"] is not None}


def whole_start(steps):
    """The figure of all steps together, round by round."""
    rounds = [sum(values) for values in zip(*(step["seconds"]["rounds"] for step in steps))]
    return {**model.NO_FIGURE, "median": statistics.median(rounds) if rounds else None, "rounds": rounds}


def rank_counts(n, m):
    """How many of the orders of n and m rounds have each value of Mann and Whitney's U."""
    ways = [1] + [0] * (n * m)
    for step in range(1, m + 1):
        for at in range(n * m, n + step - 1, -1):
            ways[at] -= ways[at - n - step]
        for at in range(step, n * m + 1):
            ways[at] += ways[at - step]
    return ways


@functools.lru_cache(maxsize=256)
def pairs_outside(n, m):
    """How many of the ordered pairs lie outside the interval on either side; None: too few rounds for any."""
    if n + m > EXACT:
        return max(0, math.floor(n * m / 2 - NORMAL * math.sqrt(n * m * (n + m + 1) / 12)) - 1) or None
    ways, total, below = rank_counts(n, m), math.comb(n + m, n), 0
    for at, count in enumerate(ways):
        below += count
        if 2 * below > (1 - CONFIDENCE) * total:
            return at - 1 if at else None
    return None


def ratio_interval(a, b, most=PAIRS):
    """(low, estimate, high) of b over a, from their rounds; None: cannot be said, or not from so many pairs at most."""
    if not a or not b or min(a) <= 0 or min(b) <= 0 or len(a) * len(b) > most:
        return None
    outside = pairs_outside(len(a), len(b))
    if outside is None:
        return None
    ratios = sorted(y / x for x in a for y in b)
    middle = len(ratios) // 2
    estimate = ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2
    return ratios[outside], estimate, ratios[-1 - outside]


def judge(a, b, repeats, most=PAIRS):
    """Of two figures: {"change": higher, lower, none or None (cannot be said), "ratio", "low", "high", "exact"}.
    exact: it repeats itself, and every round of each was the same; a difference is none of chance's. Rates and times may be the same
    in every round, too: the steps of a search are coarse."""
    ratio = b["median"] / a["median"] if a["median"] else None
    out = {"change": None, "ratio": ratio, "low": None, "high": None, "exact": False}
    fixed = [f for f in (a, b) if f["rounds"] and max(f["rounds"]) - min(f["rounds"]) <= ALIKE * max(f["rounds"])]
    found = ratio_interval(a["rounds"], b["rounds"], most)
    if repeats and len(fixed) == 2 and min(len(a["rounds"]), len(b["rounds"])) > 1:
        out.update(low=ratio, high=ratio, change=sign(a["median"], b["median"]), exact=True)
    elif found:
        low, out["ratio"], high = found
        out.update(low=low, high=high, change="higher" if low > 1 else "lower" if high < 1 else "none")
    elif a["low"] is not None and b["low"] is not None:
        if a["low"] > 0:
            out.update(low=b["low"] / a["high"], high=b["high"] / a["low"])
        out["change"] = "higher" if b["low"] > a["high"] else "lower" if b["high"] < a["low"] else "none"
    return out


def sign(a, b):
    return "none" if abs(b - a) <= ALIKE * max(a, b) else "higher" if b > a else "lower"


def apart(rate, other):
    """Whether latencies are of rates that differ too much: the load decides them more than what is measured."""
    return None not in (rate, other) and max(rate, other) > RATES_APART * min(rate, other)


def drifts(ours, again):
    """Of each figure that was measured again: by how many times, from 1 on; None: from or to nothing."""
    out = {}
    for key, how in ours.items():
        if key not in again or apart(how.rate, again[key].rate):
            continue
        first, second = how.figure["median"], again[key].figure["median"]
        if first == second:
            out[key] = 1.0
        elif not first or not second:
            out[key] = None
        else:
            ratio = judge(how.figure, again[key].figure, how.repeats, min(PAIRS, ALL_PAIRS // len(ours)))["ratio"]
            out[key] = max(ratio, 1 / ratio)
    return out


def kept_within(ours, found, paired):
    """What drifted no more than this: 95% of the figures that count, the ratios within a run or the others; None: there are none."""
    known = sorted(found[key] for key, how in ours.items() if how.trial and not how.repeats and how.paired == paired and found.get(key))
    return known[math.ceil(CONFIDENCE * len(known)) - 1] if known else None


class Drift:
    """By how many times an interval is wider, since A and its second run differ. again: figures of that; None: there is none."""

    def __init__(self, ours, again):
        self.ours, self.known = ours, again is not None
        self.found = drifts(ours, again) if self.known else {}
        self.within = {paired: kept_within(ours, self.found, paired) for paired in (False, True)}

    def of(self, key):
        """None: it cannot be said."""
        if not self.known:
            return 1.0
        how = self.ours[key]
        least = 1.0 if how.repeats else self.within[how.paired]
        own = self.found.get(key, None if how.repeats else least)
        return None if own is None or least is None else max(own, least)

    def summary(self):
        """For JSON; None: there is no second run."""
        return {"within": self.within[False], "ratios_within": self.within[True]} if self.known else None


def widened(row, times):
    """A verdict whose interval is wider on either side."""
    if times is None:
        return {**row, "low": None, "high": None, "change": None, "exact": False, "drift": None}
    if row["low"] is None or times <= 1 + ALIKE:
        return {**row, "drift": times}
    low, high = row["low"] / times, row["high"] * times
    return {**row, "low": low, "high": high, "change": "higher" if low > 1 else "lower" if high < 1 else "none", "exact": False, "drift": times}


def differences(a, b):
    """Facts of the two runs that differ, as "name: of A -> of B"."""
    ours, theirs = dict(model.host_lines(a["host"])), dict(model.host_lines(b["host"]))
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: {ours.get(name, 'not known')} -> {theirs.get(name, 'not known')}"


def cautions(a, b, names=("A", "B")):
    if a["emulated"] != b["emulated"]:
        yield "one host is emulated, the other is not: their rates and times cannot be compared"
    elif a["emulated"]:
        yield "both hosts are emulated: rates and times are the emulator's more than viaduct's"
    if a["profile"] != b["profile"]:
        yield f"the profiles differ: {a['profile']} -> {b['profile']}"
    for name, result in zip(names, (a, b)):
        if result["ended"] != "done":
            yield f"{name} is not complete ({result['ended']})"
    changed = list(differences(a, b))
    if changed:
        yield "the hosts differ: " + "; ".join(changed)


def all_cautions(a, b, again):
    found = list(cautions(a, b))
    if again:
        found += [f"A's second run: {text}" for text in cautions(a, again, ("A", "it")) if text not in found]
    return found


def compared(a, b, again=None):
    """Everything, as an object for JSON. again: a second run of A; what drifted between the two is no change."""
    ours, theirs = figures(a), figures(b)
    drift = Drift(ours, figures(again) if again else None)
    rows, other_rates, both = [], [], [key for key in ours if key in theirs]
    for key in both:
        rates = ours[key].rate, theirs[key].rate
        if apart(*rates):
            other_rates.append(f"{', '.join(key)}: {model.rate(rates[0])} -> {model.rate(rates[1])} packets a second")
            continue
        how, first, second = ours[key], ours[key].figure, theirs[key].figure
        rows.append({"what": key[0], "of": key[1], "trial": how.trial, "a": first["median"], "b": second["median"], "better": how.better,
                     "a_text": how.shape(first["median"]), "b_text": how.shape(second["median"]),
                     **widened(judge(first, second, how.repeats, min(PAIRS, ALL_PAIRS // len(both))), drift.of(key))})
    return {"cautions": all_cautions(a, b, again), "drift": drift.summary(), "figures": rows, "other_rates": other_rates,
            "only_a": [f"{what}, {of}" for what, of in ours if (what, of) not in theirs],
            "only_b": [f"{what}, {of}" for what, of in theirs if (what, of) not in ours]}


def verdict(row):
    if row["change"] not in ("higher", "lower"):
        return "-"
    return "better" if (row["change"] == "higher") == (row["better"] == HIGHER) else WORSE


def spread(row):
    """The largest change in the interval, as a share: so much cannot be ruled out."""
    return None if row["high"] is None else max(row["high"] - 1, 1 - row["low"])


def share(value):
    return "-" if value is None else f"{100 * (value - 1):+.2g}%"


def row_cells(row):
    limits = "-" if row["low"] is None else f"{share(row['low'])} to {share(row['high'])}"
    return [row["what"], row["of"], f"{row['a_text']} -> {row['b_text']}", share(row["ratio"]), limits, verdict(row)]


def table(title, rows):
    return model.Table(title, [("what", 0), ("of", 0), ("A -> B", 2), ("B over A", 0), ("95% interval", 1), ("", 0)],
                       [row_cells(row) for row in rows])


def unseen_table(rows):
    """What the noise may hide in the figures without a change, for each of."""
    groups = {}
    for row in rows:
        groups.setdefault(row["of"], []).append(spread(row))
    lines = []
    for of, spreads in groups.items():
        known = sorted(s for s in spreads if s is not None)
        if known:
            lines.append([of, str(len(spreads)), f"{100 * known[0]:.2g}%", f"{100 * known[-1]:.2g}%"])
    return model.Table("No change beyond the noise; a change of up to this cannot be ruled out",
                       [("of", 0), ("figures", 0), ("at best", 0), ("at worst", 0)], lines)


def by_chance(judged, odds=1 - CONFIDENCE):
    """(about how many, at most how many) of so many would seem to change by chance alone; odds: of each."""
    below = 0.0
    for most in range(judged if 0 < odds < 1 else 0):
        chance = math.exp(math.lgamma(judged + 1) - math.lgamma(most + 1) - math.lgamma(judged - most + 1)
                          + most * math.log(odds) + (judged - most) * math.log(1 - odds))
        below += chance
        if below >= CONFIDENCE:
            return judged * odds, most
    return judged * odds, judged


def trials(found):
    """The figures with noise that count, trial by trial: those of one trial move together, and are no witnesses of each other."""
    out = {}
    for row in found["figures"]:
        if row["trial"] and row["change"] is not None and not row["exact"]:
            out.setdefault((row["of"], row["trial"]), []).append(row)
    return list(out.values())


def seen(judged, says, odds):
    """(of how many trials a figure says so, how many chance makes of them on the whole, and at most). odds: of one figure; those of
    a trial are at most their sum, however its figures hang together."""
    of_each = [min(1, odds * len(rows)) for rows in judged]
    return sum(any(map(says, rows)) for rows in judged), *by_chance(len(judged), statistics.fmean(of_each) if judged else 0)


def changed(row):
    return row["change"] in ("higher", "lower")


def worsened(row):
    return verdict(row) == WORSE


def worse(found):
    """Whether something became worse that chance does not explain: it makes as many figures worse as better."""
    down, _, most = seen(trials(found), worsened, (1 - CONFIDENCE) / 2)
    return down > most or any(row["exact"] and worsened(row) for row in found["figures"])


def headline(found):
    exact, noisy = [[row for row in found["figures"] if changed(row) and row["exact"] == is_exact] for is_exact in (True, False)]
    judged = trials(found)
    some, about, most = seen(judged, changed, 1 - CONFIDENCE)
    if all(row["change"] is None for row in found["figures"]):
        yield "Nothing can be compared: no figure has enough rounds in both results."
    elif not exact and not noisy:
        yield f"No change beyond the noise in {sum(row['change'] is not None for row in found['figures'])} figures."
    if noisy and some <= most:
        yield (f"No change beyond the noise as a whole: {some} of {len(judged)} trials differ, and chance alone makes up to about "
               f"{about:.0f} do so.")
    elif noisy:
        yield f"{some} of {len(judged)} trials changed beyond the noise; chance alone makes up to about {about:.0f} seem to."
    if some > most and not found["drift"]:
        yield ("What drifts from one run to the next is in no interval, but in ratios within a run (\"over\") it cancels: --again takes a second "
               "run of A, which shows how much it is.")
    if found["drift"]:
        yield drift_sentence(found["drift"])
    if exact:
        yield (f"{len(exact)} {'figure' if len(exact) == 1 else 'figures'} without noise changed: the same in every round of A, and in "
               "every round of B.")


def drift_sentence(drift):
    said = [f"{name} within {100 * (drift[key] - 1):.2g}%" for name, key in (("figures", "within"), ("ratios", "ratios_within"))
            if drift[key] is not None]
    return ("The intervals hold what drifts from run to run, as A and its second run show it: of each figure its own, and at least what 95% of "
            f"them stayed within ({', '.join(said) or 'none was measured twice'}).")


def names(title, found, width):
    shown = "; ".join(found[:LISTED]) + (f"; {len(found) - LISTED} more" if len(found) > LISTED else "")
    return ["", *wrapped(f"{title}: ", shown, width)] if found else []


def compare(a, b, width=100, every=False, again=None):
    """The comparison of two checked results for people. every: all figures one by one."""
    return told((a, b, again), compared(a, b, again), width, every)


def told(runs, found, width, every):
    """compare(), of what compared() found. runs: A, B, and A's second or None."""
    width = max(width, LEAST_WIDTH)
    by_change = {change: [row for row in found["figures"] if row["change"] == change] for change in ("higher", "lower", "none", None)}
    differ, same = by_change["higher"] + by_change["lower"], by_change["none"]
    lines = [line for name, run in zip(("A: ", "B: ", "A, again: "), runs) if run for line in wrapped(name, model.head(run), width)]
    for caution in found["cautions"]:
        lines += wrapped("caution: ", caution, width)
    lines.append("")
    for sentence in headline(found):
        lines += wrapped("", sentence, width)
    if differ:
        lines += ["", *table_lines(table("Figures that differ", differ), width)]
    unseen = unseen_table(same)
    if same and every:
        lines += ["", *table_lines(table("No change beyond the noise", same), width)]
    elif unseen.rows:
        lines += ["", *table_lines(unseen, width)]
    lines += names("Too few rounds to tell" + (", or not in both runs of A" if runs[2] else ""), [f"{row['what']}, {row['of']}" for row in by_change[None]], width)
    lines += names("Not compared, since the rates differ", found["other_rates"], width)
    lines += names("In A alone", found["only_a"], width) + names("In B alone", found["only_b"], width)
    return "\n".join(lines)

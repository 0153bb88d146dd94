# SPDX-License-Identifier: BSD-3-Clause
"""What a result file of `viaduct bench` may hold, as a table (docs/bench.md describes the format).

A result file may come from anywhere. read() and check() give a copy that holds known keys alone, each of its type and
within its bounds, or raise ReportError, which says where and what. Nothing else of this package looks at the raw file.
"""

import json
import re
import unicodedata

FORMAT, VERSION = "viaduct-bench", 1
FILE_BYTES = 16 << 20
TEXT_CHARS = 2000
WORD_CHARS = 64
ROUNDS = 1000  # as many as --rounds takes
HISTOGRAM_ROWS = 8192
NUMBER = 1e18
HOST_DEPTH = 5
HOST_VALUES = 2000
QUOTED = 60  # characters of a wrong value that an error repeats
WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._/%+:,()-]*[A-Za-z0-9%+.)])?", re.ASCII)
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # control, direction, halves of pairs: nothing to be seen


class ReportError(Exception):
    """A file that is no result, or an output that cannot be made. The text is for the operator."""


def clean(text):
    """What may be shown: no control character, nothing that changes the direction of text or has no glyph."""
    return "".join("�" if unicodedata.category(c) in HIDDEN else c for c in text.replace("\t", " ").replace("\n", " "))


def refuse(where, what, value=None):
    shown = "" if value is None else f": {clean(repr(value)[:QUOTED])}"
    raise ReportError(f"{where or 'the result'}: {what}{shown}")


def text(value, where):
    if not isinstance(value, str):
        refuse(where, "not a text", value)
    if len(value) > TEXT_CHARS:
        refuse(where, f"a text of {len(value)} characters, more than {TEXT_CHARS}")
    return clean(value)


def word(value, where):
    if not isinstance(value, str) or len(value) > WORD_CHARS or not WORD.fullmatch(value):
        refuse(where, f"not a word of at most {WORD_CHARS} plain characters", value)
    return value


def size(value, where):
    """A frame size, or the name of a mix."""
    return word(str(value) if isinstance(value, int) and not isinstance(value, bool) else value, where)


def one_of(*words):
    def check_word(value, where):
        if not isinstance(value, str) or value not in words:
            refuse(where, "none of " + ", ".join(words), value)
        return value
    return check_word


def number(value, where):
    """From 0 on: nothing that is measured here is negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(where, "not a number", value)
    if value != 0 and not 1 / NUMBER <= value <= NUMBER:  # nor any that no float holds, nor what is no number
        refuse(where, f"neither 0 nor between {1 / NUMBER:g} and {NUMBER:g}", value)
    return value


def whole(value, where):
    if not isinstance(value, int):
        refuse(where, "not a whole number", value)
    return number(value, where)


def truth(value, where):
    if not isinstance(value, bool):
        refuse(where, "neither true nor false", value)
    return value


def or_null(check_value):
    return lambda value, where: None if value is None else check_value(value, where)


def listed(check_item, most):
    """A list of at most so many; null is an empty one."""
    def check_list(value, where):
        if value is None:
            return []
        if not isinstance(value, list):
            refuse(where, "not a list", value)
        if len(value) > most:
            refuse(where, f"a list of {len(value)}, more than {most}")
        return [check_item(item, f"{where}[{at}]") for at, item in enumerate(value)]
    return check_list


def record(fields, verify=None):
    """fields: key -> (check, default); REQUIRED as default: there is none. verify looks at the checked whole."""
    def check_record(value, where):
        if not isinstance(value, dict):
            refuse(where, "not an object", value)
        out = {}
        for key, (check_value, default) in fields.items():
            at = f"{where}.{key}" if where else key
            if key in value:
                out[key] = check_value(value[key], at)
            elif default is REQUIRED:
                refuse(where, f"has no {key}")
            else:
                out[key] = default() if callable(default) else default
        if verify:
            verify(out, where)
        return out
    return check_record


REQUIRED = object()


def whole_figure(out, where):
    """The interval holds the median; outliers are rounds."""
    known = [out[key] for key in ("low", "median", "high") if out[key] is not None]
    if known != sorted(known):
        refuse(where, "low, median and high are not in order", known)
    if out["median"] is None and len(known) > 0:
        refuse(where, "an interval without a median")
    if (out["low"] is None) != (out["high"] is None):
        refuse(where, "one end of an interval")
    if any(index >= len(out["rounds"]) for index in out["outliers"]):
        refuse(where, "an outlier that is no round", out["outliers"])


FIGURE = record({"median": (or_null(number), None), "low": (or_null(number), None), "high": (or_null(number), None),
                 "rounds": (listed(number, ROUNDS), list), "outliers": (listed(whole, ROUNDS), list)}, whole_figure)
NO_FIGURE = {"median": None, "low": None, "high": None, "rounds": [], "outliers": []}


def figure(value, where):
    """null is a figure that is not there."""
    return {**NO_FIGURE, "rounds": [], "outliers": []} if value is None else FIGURE(value, where)


def no_figure():
    return figure(None, "")


def pair(value, where):
    if not isinstance(value, list) or len(value) != 2:
        refuse(where, "not a pair [upper_ns, count]", value)
    return [number(value[0], where), number(value[1], where)]


def histogram(value, where):
    rows = listed(pair, HISTOGRAM_ROWS)(value, where)
    if any(a[0] >= b[0] for a, b in zip(rows, rows[1:])):
        refuse(where, "its upper bounds do not rise")
    return rows


def host_value(value, where, depth=HOST_DEPTH):
    """A value of the host's facts, as it may be shown."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        number(abs(value), where)
        return value
    if isinstance(value, str):
        return text(value, where)
    if depth == 0:
        refuse(where, f"nested deeper than {HOST_DEPTH}")
    if isinstance(value, list):
        return [host_value(item, f"{where}[{at}]", depth - 1) for at, item in enumerate(value)]
    return {text(key, f"a name of {where}"): host_value(item, f"{where}.{clean(key)[:QUOTED]}", depth - 1)
            for key, item in value.items()}


def count_values(value):
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(count_values(item) for item in value) if isinstance(value, list) else 1


def host(value, where):
    if not isinstance(value, dict):
        refuse(where, "not an object", value)
    out = host_value(value, where)
    if count_values(out) > HOST_VALUES:
        refuse(where, f"more than {HOST_VALUES} values")
    return out


FIG = (figure, no_figure)
NAME = (word, REQUIRED)
VARIANT = {"variant": NAME}
SIZED = {**VARIANT, "size": (size, REQUIRED)}
LATENCY_FIGURES = ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns", "jitter_ns")
PERCENT = or_null(number)

SCENARIO = record({
    "name": NAME, "title": (text, ""), "notes": (listed(text, 100), list),
    "variants": (listed(record({"name": NAME, "title": (text, "")}), 32), list),
    "throughput": (listed(record({**SIZED, "criterion": NAME, "pps": FIG, "mbps": FIG}), 1000), list),
    "latency": (listed(record({**SIZED, "load_percent": (PERCENT, None), "pps": FIG, **{key: FIG for key in LATENCY_FIGURES},
                               "error_ns": (or_null(number), None), "histogram": (histogram, list)}), 1000), list),
    "back_to_back": (listed(record({**SIZED, "frames": FIG}), 1000), list),
    "counts": (listed(record({**SIZED, "what": NAME, "per": NAME, "kind": (word, "all"), "method": (word, "wall-clock"),
                              "value": FIG}), 4000), list),
    "ratios": (listed(record({"of": NAME, "size": (or_null(size), None), "a": NAME, "b": NAME, "ratio": FIG,
                              "bound": (or_null(number), None), "holds": (or_null(truth), None)}), 1000), list),
    "start": (listed(record({**VARIANT, "steps": (listed(record({"step": NAME, "seconds": FIG}), 64), list),
                              "total": FIG}), 64), list),
    "scale": (listed(record({**VARIANT, "vms": (whole, REQUIRED), "total_pps": FIG}), 500), list),
    "tcp": (listed(record({**VARIANT, "direction": NAME, "gbps": FIG}), 200), list),
})


def distinct(out, where):
    names = [scenario["name"] for scenario in out["scenarios"]]
    if len(set(names)) != len(names):
        refuse(where, "two scenarios of one name")


RESULT = record({
    "format": (one_of(FORMAT), REQUIRED), "version": (whole, REQUIRED), "at": (text, ""), "profile": (word, REQUIRED),
    "emulated": (truth, REQUIRED), "viaduct": (text, ""), "seconds": (or_null(number), None),
    "ended": (one_of("done", "interrupted", "failed"), REQUIRED), "host": (host, dict),
    "warnings": (listed(record({"code": NAME, "text": (text, "")}), 200), list),
    "scenarios": (listed(SCENARIO, 32), list),
}, distinct)


def check(result):
    """A checked copy of a result; ReportError if it is none."""
    if isinstance(result, dict) and result.get("format") == FORMAT and result.get("version") != VERSION:
        refuse("version", f"this viaduct reads version {VERSION}", result.get("version"))
    return RESULT(result, "")


def no_constant(name):
    raise ValueError(f"{name} is no number")


def parse(raw):
    """The checked result in the bytes of a file."""
    if len(raw) > FILE_BYTES:
        raise ReportError(f"larger than {FILE_BYTES >> 20} MiB: no result of viaduct bench")
    try:
        result = json.loads(raw, parse_constant=no_constant)
    except RecursionError:
        raise ReportError("nested too deeply: no result of viaduct bench") from None
    except ValueError as e:
        raise ReportError(f"not JSON: {clean(str(e))}") from None
    return check(result)


def read(path):
    """The checked result in a file; every error names the file."""
    try:
        with open(path, "rb") as file:
            raw = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as e:
        raise ReportError(f"{clean(str(path))}: {getattr(e, 'strerror', None) or e}") from None
    try:
        return parse(raw)
    except ReportError as e:
        raise ReportError(f"{clean(str(path))}: {e}") from None

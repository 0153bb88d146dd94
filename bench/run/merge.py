# SPDX-License-Identifier: BSD-3-Clause
"""One result of two runs: rates and times of the first, what does not depend on speed of the second, and scenarios that it alone has."""

KEPT = ("instructions", "cycles", "exits", "interrupts")


def merged(result, counts):
    """counts: a result in deterministic time, or None."""
    if counts is None:
        return result
    if result.get("ended") == "done" and counts.get("ended") != "done":
        result["ended"] = counts.get("ended", "failed")  # half of it is not complete
    known = {scenario["name"]: scenario for scenario in result["scenarios"]}
    for scenario in counts["scenarios"]:
        into = known.get(scenario["name"])
        if into is None:
            result["scenarios"].append(scenario)
            continue
        rows = [row for row in scenario.get("counts", []) if row["method"] == "deterministic-time" and row["what"] in KEPT]
        ratios = [row for row in scenario.get("ratios", []) if row["of"] in KEPT]
        # First what can be believed.
        into["counts"] = rows + into.get("counts", [])
        into["ratios"] = ratios + into.get("ratios", [])
        into["notes"] = into.get("notes", []) + [note for note in scenario.get("notes", []) if note not in into.get("notes", [])]
    return result

# SPDX-License-Identifier: BSD-3-Clause
"""The virtual host loses power in the midst of its work; the disk keeps what was flushed and some of the rest.
What viaductd had acknowledged is in the ledger on the disk, and the next boot's daemon comes to a clean state."""

import pytest
from hostrun import boot

STEPS = ("create", "alloc", "set", "start", "stop", "release", "destroy")
# Which of a ledger's facts a step changes: (as on disk, before, after).
FACTS = {
    "create": ("vfs", 0, 2), "alloc": ("leases", [], ["mine"]), "set": ("set", False, True),
    "start": ("running", False, True), "stop": ("running", True, False),
    "release": ("leases", ["mine"], []), "destroy": ("vfs", 2, 0),
}


def told(rows, key):
    return [row[key] for row in rows if key in row]


def found_is_acknowledged(rows, found):
    """rows: of the boot that was cut; found: of the next, before its daemon started."""
    assert found["check"] == ["ok"]
    found["running"] = "running" in found["vms"]
    done, begun = told(rows, "done"), told(rows, "begun")
    now = {}
    for step in done:
        fact, _, now[fact] = FACTS[step]
    if "release" in done:
        now["set"] = False
    # The step that was cut may have got so far or not.
    cut = begun[len(done):]
    unsure = {FACTS[step][0] for step in cut} | ({"set"} if "release" in cut else set())
    for fact, value in now.items():
        assert fact in unsure or found[fact] == value, (fact, rows, found)
    assert found["events"] >= max(told(rows, "events")), (rows, found)


def cuts(folder, where):
    before = None
    for words in [*where, ["check"]]:
        rows = boot(folder, words)
        if before:
            found_is_acknowledged(before, told(rows, "found")[0])
        # The program has held ledger and machine against each other.
        assert len(told(rows, "recovered")) == 1 and not told(rows, "alarms")[0], rows
        assert words == ["check"] or told(rows, "cut"), rows
        before = rows
    return rows


@pytest.mark.outside
@pytest.mark.timeout(400)
def test_power_is_cut_twice(tmp_path):
    cuts(tmp_path, [["set"], ["start", "write", "5"]])

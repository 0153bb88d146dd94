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


def lease_came_back(rows, found):
    """It waited, which is said, until its PF had VFs again, and has what was set on it."""
    had = found["leases"] == ["mine"]
    assert [a["kind"] for a in told(rows, "alarms")[0]] == ["lease-parked"] * had, rows
    back = told(rows, "back")
    assert len(back) == had, rows
    if had:
        assert back[0]["lease"] and back[0]["vlan"] == (100 if found["set"] else 0), rows


def cuts(folder, where, swap=()):
    """Boots, each ended by a power cut at its words of where, and a last one; in those of `swap` the PFs have
    changed places."""
    before = None
    for turn, words in enumerate([*where, ["check"]]):
        rows = boot(folder, words, ["--swap-pfs"] if turn in swap else [])
        found = told(rows, "found")[0]
        if before:
            found_is_acknowledged(before, found)
            lease_came_back(rows, found)
        # The program has held ledger and machine against each other.
        assert len(told(rows, "recovered")) == 1, rows
        assert words == ["check"] or told(rows, "cut"), rows
        for address in told(rows, "at"):
            assert address.startswith("0000:02:" if turn in swap else "0000:01:"), rows
        before = rows
    return rows


@pytest.mark.outside
@pytest.mark.timeout(500)
def test_power_is_cut_twice_and_pfs_change_places(tmp_path):
    cuts(tmp_path, [["set"], ["start", "write", "5"]], swap=(1,))

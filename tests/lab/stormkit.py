# SPDX-License-Identifier: BSD-3-Clause
"""viaductd killed again and again in the midst of its work on real VFs: how often is up to the caller."""

import collections
import dataclasses

from crashkit import IMAGE, State, Trace, acknowledged, place_of, points, settled, steps
from labkit import cli
from operate import api

KILLS_OF_A_ROUND = 6  # at least
PLACES = ("ledger", "sysfs", "netlink", "process")  # that steps in turn, and turns, begin with


def points_of(daemon, pf, todo):
    """Where each step can be killed; nothing is killed yet."""
    state, found = State(), {}
    for step in todo:
        with Trace(daemon) as trace:
            api.post(*step.call)
        state = dataclasses.replace(state, **step.changes)
        settled(pf, [state], step.name)
        found[step.name] = points(trace.calls())
    return found


def choose(there, number, turn, rounds):
    """One point of a step, the number-th. The first turns go for one place after the other, each step for another one; the others spread evenly."""
    wanted = PLACES[(number + turn) % len(PLACES)] if turn < len(PLACES) else None
    found = [point for point, place in there if place == wanted]
    return found[len(found) // 2] if found else there[len(there) * (2 * turn + 1) // (2 * rounds)][0]


def kill_in(daemon, step, at):
    """Runs the step; returns (acknowledged, the call that the daemon did not come to, or None: it lives)."""
    with Trace(daemon, at) as trace:
        answer = acknowledged(step.call)
        was_killed = trace.daemon_was_killed(answer)
    # Nothing is wrong with these requests: whatever is refused is refused by a fault.
    assert answer is not False, step
    return answer, trace.calls()[-1] if was_killed else None


def storm(daemon, pf, folder, rounds):
    """Each step of a VF's and a VM's life, so many times."""
    cli("pf", "apply", pf, "--vfs", "0")
    (folder / IMAGE).write_bytes(bytes(1 << 20))
    todo = steps(pf, folder, [f"disks: [{{path: {folder / IMAGE}, name: root}}]"])
    there = points_of(daemon, pf, todo)
    state, kills = State(), []
    for turn in range(rounds):
        for number, step in enumerate(todo):
            before, after = state, dataclasses.replace(state, **step.changes)
            at = choose(there[step.name], number, turn, rounds)
            is_done, call = kill_in(daemon, step, at)
            what = f"{step.name}, killed at {at}: {call}"
            print(what)
            if call:
                kills.append(place_of(call))
                daemon.start()
            state = settled(pf, [after] if is_done else [before, after], what)
            if state != after:
                api.post(*step.call)
                state = settled(pf, [after], f"{what}, then again")
    assert state == State()
    places = collections.Counter(kills)
    print(f"{len(kills)} kills: {dict(places)} of {sum(map(len, there.values()))} points")
    assert len(kills) >= KILLS_OF_A_ROUND * rounds
    assert {"ledger", "sysfs", "netlink"} <= set(places)

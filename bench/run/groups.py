# SPDX-License-Identifier: BSD-3-Clause
"""How the scenarios of each group are set up and measured. Each function gets the session (what is wanted, where figures go), the
bench, begin(pieces) and say(what), and leaves what it borrowed to the bench."""

from . import measure, rigs
from .guests import VmRun
from .operator import viaduct
from .signals import held

START_ROUNDS_MIN = 2
SCALE_MAX = 7


def vf(session, bench, begin, say):
    """Bare host and guest: a VF each of the same PF, the generator at the far end of the cable."""
    guests = session.wants("guest-vf")
    bench.pages(rigs.GEN_MIB + rigs.REFLECT_MIB + (bench.image.memory_mib if guests else 0))
    gen, src_mac, _ = rigs.wire_open(bench)
    lanes = [session.lane("host-vf", "bare", rigs.host_rig(bench, gen, src_mac))]
    say("host-vf: the bare host's VF answers", False)
    if guests:
        lanes.append(session.lane("guest-vf", "viaduct", rigs.guest_vf_rig(bench, gen, src_mac)))
        say("guest-vf: the guest is up", False)
        session.store.note("guest-vf", "the bare host's VF and the guest's are two of the same PF; while one is measured, the other's "
                           "program waits")
    run_rounds(session, lanes, begin, say)


def run_rounds(session, lanes, begin, say):
    rounds = measure.Rounds(lanes, session.plan, session.store, say)
    begin(rounds.pieces())
    rounds.run()


def polled(session, bench, begin, say):
    """One viaduct-pmd, the generator at one of its ports, and a guest of each monitor at another."""
    monitors = ["viaduct", *([session.options.against] if session.options.against else [])]
    backend = rigs.Polled(bench)
    lanes = []
    for index, monitor in enumerate(monitors):
        lanes.append(session.lane("guest-polled", monitor, backend.rig(monitor, index)))
        say(f"guest-polled: the guest of {monitor} is up", False)
    session.store.note("guest-polled", "generator and guests are ports of one viaduct-pmd, all on one switch without a wire")
    run_rounds(session, lanes, begin, say)


def chain(session, bench, begin, say):
    """Generator, guest, guest, generator: three networks of one viaduct-pmd."""
    backend = rigs.Polled(bench, 3)
    lane = session.lane("guest-chain", "viaduct", backend.chain(2))
    say("guest-chain: the guests are up", False)
    run_rounds(session, [lane], begin, say)


def interrupt(session, bench, begin, say):
    bench.pages(rigs.GEN_MIB + bench.image.memory_mib)
    gen, src_mac, _ = rigs.wire_open(bench)
    lane = session.lane("interrupt", "viaduct", rigs.guest_vf_rig(bench, gen, src_mac, "bench-irq", kernel_driver=True))
    begin(session.plan.rounds)
    measure.interrupts(lane, session.plan, session.store, say)


def start(session, bench, begin, say):
    """Through the daemon, as an operator starts a VM; the steps are the daemon's and the VMM's own."""
    ports = {"plain": [], "vf": [rigs.guest_port(session.options.pf)]}
    rounds = max(session.plan.rounds, START_ROUNDS_MIN)
    begin(rounds * len(ports))
    for number in range(-1, rounds):  # the first fills caches and does not count
        for variant in list(ports)[::1 if number % 2 else -1]:
            session.done.add(("start", variant))
            with held():
                guest = VmRun(bench.folder, f"bench-start-{variant}", bench.image, ports[variant])
                steps = guest.shown["start_steps"]
                guest.stop()
            for step in steps if number >= 0 else []:
                session.store.put(number, step["ns"] / 1e9, "start", variant, "start", step["step"])
            say(f"start {variant}", number >= 0)


def scale(session, bench, begin, say):
    """The first guest is measured while more and more others are up, each polling its own VF."""
    free = sum(1 for vf_row in viaduct("vf", "list")["vfs"] if vf_row["state"] == "free" and of_pf(vf_row, session.options.pf))
    most = min(SCALE_MAX, free, session.options.vms or SCALE_MAX)
    bench.pages(rigs.GEN_MIB + bench.image.memory_mib * most)
    gen, src_mac, _ = rigs.wire_open(bench)
    begin(most * session.plan.rounds)
    up = []
    for count in range(1, most + 1):
        up.append(rigs.guest_vf_rig(bench, gen, src_mac, f"bench-scale-{count}"))
        session.lane("scale", "viaduct", up[-1])
        scale_at(session, up, say)


def scale_at(session, up, say):
    size = session.plan.sizes[0]
    for rig in up:
        rig.on()
    try:
        for number in range(session.plan.rounds):
            answer = up[0].trial(size, 0, session.plan.trial_ms, dst_macs=[rig.mac for rig in up])
            session.store.put(number, answer["rx_pps"], "scale", "viaduct", "scale", len(up))
            say(f"scale: {len(up)} guests")
    finally:
        for rig in up:
            rig.off()


def of_pf(vf_row, pf):
    return pf in (None, vf_row["pf"], vf_row["pf_name"])


GROUPS = {"vf": vf, "polled": polled, "chain": chain, "interrupt": interrupt, "start": start, "scale": scale}

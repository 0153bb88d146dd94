# SPDX-License-Identifier: BSD-3-Clause
"""How the scenarios of each group are set up and measured. Each function gets the session (what is wanted, where figures go), the
bench, begin(pieces) and say(what), and leaves what it borrowed to the bench."""

import json
import subprocess
import time

from reflect import counts

from . import BenchError, host, measure, rigs
from .guests import VmRun
from .operator import ours, viaduct
from .signals import held
from .store import DETERMINISTIC, Store

SCALE_MAX = 7
SLEEPER = rigs.Wanted("bench-irq", kernel_driver=True)
TCP_NET, TCP_TRIES = "198.18.77", 5  # RFC 2544: for benchmarks


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


def counts_wire(session, bench):
    """In deterministic time the far end is the kernel's device."""
    kind, _, device = (session.options.wire or "").partition(":")
    if kind != "af-packet":
        raise BenchError("the profile counted takes --wire af-packet:INTERFACE")
    with held():
        host.link_up(bench.borrowed, device)
        wire = counts.Wire(device)
        bench.borrowed.callback("wire", wire.close)
    return wire


def vf_counts(session, bench, begin, say):
    """The same rigs in deterministic time: what a packet takes, and no rate."""
    bench.pages(rigs.REFLECT_MIB + bench.image.memory_mib)
    bench.ring = counts.RING
    wire = counts_wire(session, bench)
    lanes = [session.lane("host-vf", "bare", rigs.host_rig(bench, None, wire.mac))]
    say("host-vf: the bare host's VF answers", False)
    lanes.append(session.lane("guest-vf", "viaduct", rigs.guest_vf_rig(bench, None, wire.mac)))
    say("guest-vf: the guest is up", False)
    session.store.note("guest-vf", "in deterministic time: frames from the kernel's generator at the far end; instructions are the lower quartile "
                       "of full polls, from their start until their frames are sent, whoever executed them; exits are those of the vCPU that "
                       "polls, timer ticks among them")
    begin(session.plan.rounds * len(session.plan.sizes) * len(lanes))
    for number in range(-1, session.plan.rounds):  # the first fills caches and does not count
        for size in session.plan.sizes:
            for lane in lanes[::1 if number % 2 else -1]:
                scenario, variant, rig = lane
                place = measure.Place(session.store if number >= 0 else Store(), number, scenario, variant, size)
                measure.flooded(rig, wire, place, DETERMINISTIC)
                say(f"{scenario} {variant}, {size} bytes: instructions", number >= 0)


def interrupt_counts(session, bench, begin, say):
    """What a guest that sleeps exits for, by KVM's own trace."""
    bench.pages(bench.image.memory_mib)
    wire = counts_wire(session, bench)
    scenario, variant, rig = session.lane("interrupt", "viaduct", rigs.guest_vf_rig(bench, None, wire.mac, SLEEPER))
    session.store.note("interrupt", "in deterministic time: a frame each 20 ms; exits per interrupt that the guest counted at its VF, those "
                       "of its timer and of going to sleep among them")
    begin(session.plan.rounds)
    for number in range(-1, session.plan.rounds):
        store = session.store if number >= 0 else Store()
        measure.woken(rig, wire, measure.Place(store, number, scenario, variant, session.plan.sizes[0]))
        say("interrupt viaduct: exits", number >= 0)


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
        rig = backend.rig(monitor, index, rigs.Still if session.plan.deterministic else rigs.Reflected)
        rig.drain_ms = session.plan.drain_ms or rig.drain_ms
        lanes.append(session.lane("guest-polled", monitor, rig))
        say(f"guest-polled: the guest of {monitor} is up", False)
    session.store.note("guest-polled", "generator and guests are ports of one viaduct-pmd, all on one switch without a wire")
    if session.plan.deterministic:
        session.store.note("guest-polled", "in deterministic time: a second is 1e9 instructions of all processors together, which take "
                           "turns; rates and latencies are of such seconds")
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
    lane = session.lane("interrupt", "viaduct", rigs.guest_vf_rig(bench, gen, src_mac, SLEEPER))
    begin(session.plan.rounds)
    measure.interrupts(lane, session.plan, session.store, say)


def start(session, bench, begin, say):
    """Through the daemon, as an operator starts a VM; the steps are the daemon's and the VMM's own."""
    ports = {"plain": [], "vf": [rigs.guest_port(session.options.pf)]}
    rounds = session.plan.rounds
    begin(rounds * len(ports))
    for number in range(-1 if rounds > 1 else 0, rounds):  # the first of several fills caches and does not count
        for variant in list(ports)[::1 if number % 2 else -1]:
            name = ours(f"bench-start-{variant}")
            with held(), bench.borrowed.noted(f"VM {name}", "vm_delete", name):
                guest = VmRun(bench.folder, name, bench.image, ports[variant])
                try:
                    steps = guest.shown["start_steps"]
                finally:
                    guest.stop()
            session.done.add(("start", variant))
            for step in steps if number >= 0 else []:
                session.store.put(number, step["ns"] / 1e9, "start", variant, "start", step["step"])
            say(f"start {variant}", number >= 0)


def scale(session, bench, begin, say):
    """More and more guests are up, each polling its own VF; what all of them can do together."""
    session.store.note("scale", "frames a second that all guests together send back, while the generator sends to them in turn as fast as it goes")
    free = sum(1 for vf_row in viaduct("vf", "list")["vfs"] if vf_row["state"] == "free" and of_pf(vf_row, session.options.pf))
    most = min(SCALE_MAX, free, session.options.vms or SCALE_MAX)
    if most == 0:
        raise BenchError("no VF is free: viaduct pf apply PF --vfs N makes some, viaduct vf list says who has them")
    bench.pages(rigs.GEN_MIB + bench.image.memory_mib * most)
    gen, src_mac, _ = rigs.wire_open(bench)
    begin(most * session.plan.rounds)
    up = []
    for count in range(1, most + 1):
        up.append(rigs.guest_vf_rig(bench, gen, src_mac, rigs.Wanted(f"bench-scale-{count}", image=bench.image)))
        scale_at(session, up, say)


def scale_at(session, up, say):
    size, together = session.plan.sizes[0], rigs.Together(up)
    together.on()
    try:
        measure.probe(session.lane("scale", "viaduct", up[-1]), size)
        for number in range(session.plan.rounds):
            session.store.put(number, together.trial(size, 0, session.plan.trial_ms)["rx_pps"], "scale", "viaduct", "scale", len(up))
            say(f"scale: {len(up)} guests")
    finally:
        together.off()


def tcp(session, bench, begin, say):
    """iperf3 between the kernel's device at the far end and the guest's kernel on its VF."""
    wire = session.options.wire or ""
    names = host.interfaces_of(wire) if host.ADDRESS.match(wire) else [wire.rpartition(":")[2]]
    if not names or not names[0]:
        raise BenchError("tcp takes a far end that the kernel drives: --wire PCI-ADDRESS of one, or --wire af-packet:INTERFACE")
    bench.pages(bench.image.memory_mib)
    with held():
        host.link_up(bench.borrowed, names[0])
        host.address_add(bench.borrowed, names[0], f"{TCP_NET}.1/24")
        name = ours("bench-tcp")
        guest = bench.borrowed.vm(name, lambda: VmRun(
            bench.folder, name, bench.image.with_words(f"bench_net={TCP_NET}.2/24"), [rigs.guest_port(session.options.pf)]))
    session.done.add(("tcp", "viaduct"))
    session.addresses.append(guest.shown["ports"][0].get("vf") or "")
    begin(session.plan.rounds * 2)
    for number in range(session.plan.rounds):
        for direction, words in (("to-guest", ()), ("from-guest", ("--reverse",)))[::1 if number % 2 else -1]:
            session.store.put(number, iperf(f"{TCP_NET}.2", session.plan.trial_ms, words), "tcp", "viaduct", "tcp", direction)
            say(f"tcp: {direction}")


def iperf(address, ms, words):
    """Gbit/s that arrived."""
    seconds = max(1, round(ms / 1000))
    command = ["iperf3", "--client", address, "--json", "--time", str(seconds), "--connect-timeout", "10000", *words]
    for tried in range(TCP_TRIES):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False, stdin=subprocess.DEVNULL)
        except FileNotFoundError as e:
            raise BenchError("iperf3 is not installed") from e
        except subprocess.TimeoutExpired as e:
            raise BenchError(f"iperf3 did not end in {seconds + 60} s") from e
        if done.returncode == 0 or tried == TCP_TRIES - 1:
            break
        time.sleep(2)  # the guest's server comes up, its link too
    try:
        return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
    except (ValueError, KeyError) as e:
        raise BenchError(f"iperf3 to {address}: {(done.stdout + done.stderr)[-300:]}") from e


def of_pf(vf_row, pf):
    return pf in (None, vf_row["pf"], vf_row["pf_name"])


# In deterministic time.
COUNTS = {"vf": vf_counts, "polled": polled, "interrupt": interrupt_counts}
GROUPS = {"vf": vf, "polled": polled, "chain": chain, "interrupt": interrupt, "tcp": tcp, "start": start, "scale": scale}

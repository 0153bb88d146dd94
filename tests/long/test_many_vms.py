# SPDX-License-Identifier: BSD-3-Clause
"""Several VMs started at once on one PF, each with a VF: none is lost, nothing is left behind.

VIADUCT_MANY_ROUNDS says how often each number of VMs is started (10). The last round is one of Linux guests
that ping; in those before a guest that only says what VFs it has (tests/guest/hostile) is enough."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import time

import hostilekit
import pytest
from labkit import PEER_IP, Guest, OperateError, cli, cli_json, eventually, mac_of, peer, vfs

ROUNDS = int(os.environ.get("VIADUCT_MANY_ROUNDS", 10))
SECONDS_A_VM = 40  # to boot, ping and stop, all VMs sharing two emulated CPUs
SECONDS_A_BARE_VM = 10
CGROUPS = pathlib.Path("/sys/fs/cgroup/viaduct")
SOCKETS = pathlib.Path("/run/viaduct/vm")


@pytest.fixture(scope="module")
def seven(daemon, ports):
    """The first PF with all of its VFs."""
    name = ports[0]
    cli("pf", "apply", name, "--vfs", "7")
    peer.wait_carrier(name)
    yield name
    eventually(lambda: all(v["state"] == "free" for v in vfs(name).values()), "all VFs free")
    cli("pf", "apply", name, "--vfs", "2")


@pytest.fixture(scope="module")
def small_pages():
    """khugepaged makes 2 MiB of a heap of 200 KiB when it comes by: that would look like a leak."""
    rule = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    before = re.search(r"\[(\w+)\]", rule.read_text()).group(1)
    rule.write_text("never")
    yield
    rule.write_text(before)


def at_once(work, items):
    """Runs work(item) for all of them in parallel; every failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(work, items))


def guest_of(folder, pf, n, image):
    """A guest; image: of the one that ends after its first words, or None for Linux."""
    port = f'name: wan, pf: "{pf}", mac: "{mac_of(30 + n)}"'
    if image:
        return Guest(folder, f"many{n}", [port], memory="64M", kernel=image, cmdline="only=nothing")
    return Guest(folder, f"many{n}", [port], memory="128M")


def use(guest, n, image):
    """It has its own VF, and as Linux: with the MAC that it was given, and reaches the peer."""
    if image:
        said = guest.console.wait_for(r"HOSTILE begins[^\n]* vfs=(\d+) [^\n]* end", SECONDS_A_BARE_VM * 7)
        assert said.group(1) == "1", said.group(0)
        return
    guest.console.wait_ready(SECONDS_A_VM * 7)
    assert guest.console.mac("eth0") == mac_of(30 + n)
    guest.network_up(f"10.77.0.{30 + n}")
    assert guest.ping(PEER_IP, count=2)


def text_of(name):
    """What there is to know of a VM after something went wrong."""
    log = pathlib.Path(cli_json("vm", "show", name)["log"])
    return cli("vm", "show", name) + log.read_text(errors="replace")[-2000:]


def left_behind():
    """What of a VM is still there: processes, cgroups, sockets."""
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "viaduct-vmm":
                found.append(str(comm))
        except OSError:
            continue  # it ended meanwhile
    found += [str(path) for path in CGROUPS.glob("vm-*")]
    return found + [str(path) for path in SOCKETS.glob("*/*.sock")]


def one_round(folder, pf, count, image):
    guests = [guest_of(folder, pf, n, image) for n in range(count)]
    begin = time.monotonic()
    try:
        at_once(lambda guest: cli("vm", "run", str(guest.file), timeout=300), guests)
        took = time.monotonic() - begin
        for guest in guests:
            guest.connect()
        try:
            at_once(lambda n: use(guests[n], n, image), range(count))
        except OperateError as e:
            time.sleep(3)  # its record is read when its process has gone
            raise OperateError("\n".join([str(e), *(text_of(guest.name) for guest in guests)])) from e
        used = {guest.port()["vf"] for guest in guests}
        assert len(used) == count and used <= set(vfs(pf)), used
        states = [v["state"] for v in vfs(pf).values()]
        assert states.count("assigned") == count, states
    finally:
        at_once(lambda guest: guest.__exit__(None, None, None), guests)
    eventually(lambda: all(v["state"] == "free" for v in vfs(pf).values()), "all VFs free")
    assert len(vfs(pf)) == 7
    eventually(lambda: not left_behind(), "nothing of the VMs being left")
    return took


@pytest.mark.timeout(60 + SECONDS_A_VM * 7 + SECONDS_A_BARE_VM * 7 * ROUNDS)
@pytest.mark.parametrize("count", [2, 4, 7])
def test_many_starts_at_once(small_pages, seven, far, folder, build_dir, count):
    held = hostilekit.Process(cli_json("version")["pid"])
    image = folder / "bare"
    shutil.copyfile(build_dir / "tests/guest/hostile/hostile", image)
    said = []
    for n in range(ROUNDS):
        said.append(f"{one_round(folder, seven, count, image if n < ROUNDS - 1 else None):.1f} s")
        held.sample()
    print(f"{count} VMs at once, {ROUNDS} rounds: {', '.join(said)}; daemon: {held.text()}")
    held.check_flat(1, 512)
    assert not re.search(r"quarantined|unknown", cli("vf", "list"))

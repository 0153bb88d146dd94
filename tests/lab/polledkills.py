# SPDX-License-Identifier: BSD-3-Clause
"""A backend that is killed again and again under a transfer of two guests, in rounds: a busy virtual host is where the emulator
makes triple faults of its own (HACKING.md, Traps), and a round in which a guest had one is done anew."""

import signal
import time

from labkit import Guest, eventually, mac_of
from polledkit import GRACE_S, done, listen, loss, port_set, serving, stats, successor

CONFIG = """uplinks:
  - {name: wire, kind: af-packet, device: lab-sw}
networks:
  - {name: to-host, uplinks: [wire]}
backends: {memory: 64M, hugepages: off, idle: adaptive}
"""
REPEATS = 3  # rounds that the emulator's triple faults may cost
A_IP, B_IP = "10.88.1.1", "10.88.1.2"


def port(n):
    return [f'name: lan, network: to-host, engine: polled, backend_grace: {GRACE_S}s, mac: "{mac_of(0x84 + n)}"']


def kills_under_a_transfer(a, b, kills):
    """How long each successor took to serve."""
    a.network_up(A_IP)
    b.network_up(B_IP)
    port_set("a/lan", rate="20M")
    assert loss(a, B_IP) == 0
    flaps = [g.run("cat /sys/class/net/eth0/carrier_changes") for g in (a, b)]
    listen(b, "sha256sum >/tmp/sha")
    a.run("mkfifo /tmp/p; (sha256sum </tmp/p >/tmp/sha; echo >/tmp/hashed) & "
          f"(while [ ! -e /tmp/stop ]; do head -c 65536 /dev/urandom; done | tee /tmp/p | nc {B_IP} 5000; true) >/dev/null 2>&1 &")
    waits = []
    for _ in range(kills):
        begin = time.monotonic()
        successor(signal.SIGKILL)
        waits.append(time.monotonic() - begin)
        # The connection lives: the next hundred frames have come through this backend.
        eventually(lambda: stats("b/lan")["to_guest"]["bytes"] > 150000, "the transfer to go on")
        time.sleep(2.5)  # one that ends sooner than after 2 s would be waited for
    a.run("echo >/tmp/stop")
    done(b, 60)
    a.run("until [ -e /tmp/hashed ]; do usleep 20000; done")
    assert a.run("cat /tmp/sha") == b.run("cat /tmp/sha")
    assert max(waits) < GRACE_S
    assert flaps == [g.run("cat /sys/class/net/eth0/carrier_changes") for g in (a, b)]
    return waits


def storm(folder, rounds, kills):
    """So many rounds, each of two new guests and so many kills."""
    config = folder / "kills.yaml"
    config.write_text(CONFIG)
    waits, repeats = [], 0
    with serving(config):
        while len(waits) < rounds * kills:
            with Guest(folder, "a", port(1)) as a, Guest(folder, "b", port(2)) as b:
                try:
                    waits += kills_under_a_transfer(a, b, kills)
                except Exception:
                    resets = sum(g.show()["life"]["resets"].get("triple-fault", 0) for g in (a, b))
                    if resets == 0 or repeats == REPEATS:
                        raise
                    repeats += 1
    print(f"{len(waits)} kills: served again after {min(waits):.2f} to {max(waits):.2f} s; {repeats} rounds repeated after a triple fault")

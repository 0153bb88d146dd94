# SPDX-License-Identifier: BSD-3-Clause
"""A guest that does everything wrong that a guest can do (tests/guest/hostile), from two vCPUs at once.

VIADUCT_HOSTILE_SECONDS says for how long (25), VIADUCT_HOSTILE_SEED where its random sequence starts,
VIADUCT_HOSTILE_OPTIONS what it leaves out (tests/guest/hostile/hostile.h)."""

import contextlib
import shutil
import time

import hostilekit
import pytest
from labkit import PEER_IP, Failed, Guest, cli, cli_json, eventually, mac_of, vfs
from vmmdrive import Refused, Vmm

# Reasons that a guest's own doing may have. "signal" or none would be a VMM that died.
NAMED_ENDS = ("poweroff", "internal-error", "guest-panicked", "watchdog")
SECONDS = hostilekit.seconds(25)


@pytest.fixture(scope="module")
def image(build_dir, folder):
    path = folder / "hostile"
    shutil.copyfile(build_dir / "tests/guest/hostile/hostile", path)
    return path


class HostileVm:
    """Keeps a hostile guest running under the daemon: what ended or stands still is started again."""

    def __init__(self, folder, image, port):
        self.file = folder / "hostile.yaml"
        self.image, self.port = image, port
        self.seed = hostilekit.first_seed()
        self.ends, self.processes = [], []
        self.ops = self.stalls = 0
        self.slowest = 0.0
        self.reports = None

    def __enter__(self):
        print(f"hostile guest: seed {self.seed}, {SECONDS:.0f} s")
        self.start()
        return self

    def __exit__(self, *exc):
        print(self.text())
        with contextlib.suppress(Failed):
            cli("vm", "kill", "hostile")

    def start(self):
        self.file.write_text(
            "name: hostile\nmemory: {size: 128M}\ncpus: {count: 2}\n"
            f'boot: {{kernel: {self.image}, cmdline: "{hostilekit.cmdline(self.seed)}"}}\n'
            f"ports:\n  - {{{self.port}}}\n")
        cli("vm", "run", str(self.file))
        show = cli_json("vm", "show", "hostile")
        self.processes.append(hostilekit.Process(show["pid"]))
        self.reports = hostilekit.Reports(cli_json("vm", "console", "hostile")["socket"])

    def again(self):
        self.ops += self.reports.ops()
        self.reports.close()
        self.seed += 1
        self.start()

    def step(self):
        """A few seconds of its life."""
        until = time.monotonic() + 3
        while time.monotonic() < until and self.reports.read(0.5):
            pass
        begin = time.monotonic()
        show = cli_json("vm", "show", "hostile")
        self.slowest = max(self.slowest, time.monotonic() - begin)
        if show["state"] != "running":
            end = show["exit"]
            assert end["reason"] in NAMED_ENDS and end["text"], (self.seed, show)
            self.ends.append(f"seed {self.seed}: {end['reason']}: {end['text']}")
            self.again()
        elif self.reports.is_stalled():
            self.stalls += 1
            cli("vm", "kill", "hostile")
            self.again()
        else:
            self.processes[-1].sample()

    def text(self):
        return (f"hostile guest: seed {self.seed}, {self.ops + self.reports.ops()} operations,"
                f" {len(self.ends)} ends, {self.stalls} stalls, slowest answer {self.slowest:.2f} s\n"
                f"last report: {self.reports.last}\n" + "\n".join(self.ends)
                + "".join("\n" + p.text() for p in self.processes))


def ping_in_background(guest, count):
    guest.run(f"(ping -c {count} -W 10 {PEER_IP} >/tmp/ping.txt 2>&1; echo done >>/tmp/ping.txt) &")


def pings_lost(guest, count):
    eventually(lambda: guest.console.run("grep -q done /tmp/ping.txt")[0] == 0, "the ping's end", count + 60)
    said = guest.run("grep received /tmp/ping.txt")
    sent, received = (int(part.split()[0]) for part in said.split(",")[:2])
    assert sent == count, said
    return sent - received


@pytest.mark.host("hostile")
@pytest.mark.timeout(int(SECONDS * 2 + 420))
def test_hostile_guest_harms_only_itself(pf, far, folder, image):
    log, daemon = hostilekit.HostLog(), hostilekit.Process(cli_json("version")["pid"])
    with Guest(folder, "watched", [f'name: wan, pf: "{pf}", mac: "{mac_of(2)}"']) as watched:
        watched.network_up("10.77.0.12")
        ping_in_background(watched, 10)
        base = pings_lost(watched, 10)
        count = int(SECONDS)
        with HostileVm(folder, image, f'name: wan, pf: "{pf}", mac: "{mac_of(1)}"') as hostile:
            ping_in_background(watched, count)
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                hostile.step()
                daemon.sample()
            lost = pings_lost(watched, count)
        assert watched.show()["state"] == "running"
        assert lost <= base, f"{lost} of {count} pings lost beside the hostile guest, {base} of 10 without"
    print(f"{log.check()} remapping faults logged; pings lost: {lost} of {count}, before {base} of 10")
    assert hostile.ops + hostile.reports.ops() > SECONDS, hostile.text()
    for process in hostile.processes:
        process.check_flat(4, 512)
    daemon.check_flat(2, 1024)
    eventually(lambda: all(v["state"] == "free" for v in vfs(pf).values()), "all VFs free")
    with Guest(folder, "fresh", [f'name: wan, pf: "{pf}", mac: "{mac_of(3)}"']) as fresh:
        assert fresh.console.mac("eth0") == mac_of(3)
        fresh.network_up("10.77.0.13")
        assert fresh.ping(count=5)


@pytest.mark.host("hostile")
@pytest.mark.timeout(int(SECONDS * 2 + 120))
def test_hostile_guest_without_a_daemon(build_dir, image):
    """viaduct-vmm alone, no VF: it answers within its time and holds no more than at the start."""
    log, seed = hostilekit.HostLog(), hostilekit.first_seed()
    until, ops, ends, slowest = time.monotonic() + SECONDS / 2, 0, [], 0.0
    while time.monotonic() < until:
        print(f"hostile guest: seed {seed}")
        with Vmm(str(build_dir / "vmm/viaduct-vmm")) as vmm:
            vmm.launch(vmm.spec(128, 2, hostilekit.cmdline(seed)), image)
            process, reports = hostilekit.Process(vmm.process.pid), hostilekit.Reports(vmm.path("console"))
            while time.monotonic() < until and reports.read(1) and not reports.is_stalled():
                begin = time.monotonic()
                with contextlib.suppress(ConnectionError, Refused):
                    vmm.request("status")
                    process.sample()
                slowest = max(slowest, time.monotonic() - begin)
            ops += reports.ops()
            with contextlib.suppress(ConnectionError):
                vmm.request("kill")
            assert vmm.wait(60) in (0, 1), seed  # 1: a guest that KVM cannot run on; its record says why
            ends.append(f"seed {seed}: {vmm.record()['reason']}: {vmm.record()['text']}")
            assert vmm.record()["reason"] in (*NAMED_ENDS, "killed"), ends
            process.check_flat(2, 512)
        seed += 1
    log.check()
    print(f"{ops} operations, slowest answer {slowest:.2f} s; {ends}")
    assert ops > SECONDS / 2 and slowest < 5

# SPDX-License-Identifier: BSD-3-Clause
"""How a guest starts again and ends, and what is said of it: resets, panics, watchdog, power button."""

import pathlib
import time

import pytest
from labkit import Guest, cli, cli_json, eventually, pvh_kernel, refused

RUN = pathlib.Path("/run/viaduct/vm")
CRASH = "echo c >/proc/sysrq-trigger"
TRIPLE_FAULT = b"\x0f\x0b" * 8  # without an IDT to go to
BOOT_S = 150  # of a guest on a busy machine


def send(guest, command):
    """A command after which the guest does not answer any more."""
    guest.console.sock.sendall(f"T{time.monotonic_ns()}\n{command}\n".encode())


def ended(name, timeout=60):
    eventually(lambda: cli_json("vm", "show", name)["pid"] is None, f"the end of {name}", timeout)
    return cli_json("vm", "show", name)


def test_a_loop_of_resets_harms_nobody(daemon, folder):
    from operate import vmfile

    file = vmfile.write(folder, "loop", memory="64M", kernel=pvh_kernel(folder / "loop.elf", TRIPLE_FAULT))
    cli("vm", "run", str(file))
    try:
        time.sleep(15)
        vm = cli_json("vm", "show", "loop")
        assert vm["answers"] and vm["state"] == "running"
        # Ten at once, then one a second.
        assert 12 <= vm["life"]["resets"]["triple-fault"] <= vm["uptime_s"] + 12
        log = (RUN / "loop/vmm.log").read_text()
        assert len(log.splitlines()) < 30
        cli("vm", "pause", "loop")
        count = cli_json("vm", "show", "loop")["life"]["resets"]
        cli("vm", "resume", "loop")
        eventually(lambda: cli_json("vm", "show", "loop")["life"]["resets"] != count, "another reset")
    finally:
        cli("vm", "kill", "loop")
    # By the VMM itself: it had time to answer.
    vm = cli_json("vm", "show", "loop")
    assert vm["exit"]["text"] == "killed by root (uid 0)" and vm["life"]["resets"]["triple-fault"] > 12


@pytest.mark.timeout(400)
def test_panic_restarts_the_guest(daemon, folder):
    with Guest(folder, "panics", cpus=2) as guest:
        limits = pathlib.Path(f"/proc/{guest.show()['pid']}/limits").read_text()
        assert "Max file size             4194304" in limits
        send(guest, CRASH)
        guest.console.wait_ready(BOOT_S)
        life = guest.show()["life"]
        assert life["resets"] == {"panic": 1} and life["panics"] == 1
        assert "1, last at 20" in cli("vm", "show", "panics")
        # The last words of the kernel before are there for whoever comes next.
        assert "Kernel panic - not syncing" in cli("vm", "console", "panics", "--log")


@pytest.mark.timeout(400)
def test_panic_stops_the_vm_if_so_told(daemon, folder):
    extra = ["on_panic: stop", "watchdog: off"]
    with Guest(folder, "stops", extra=extra) as guest:
        assert guest.run("sh /init load-watchdog 2>/dev/null; ls /dev | grep -c watchdog || true").strip() == "0"
        send(guest, CRASH)
        vm = ended("stops")
        assert vm["state"] == "failed" and vm["exit"]["reason"] == "guest-panicked"
        assert abs(vm["exit"]["wall_time"] - time.time()) < 60 and vm["exit"]["uptime_s"] > 0
        text = cli("vm", "show", "stops")
        assert "because:" in text and "the guest's kernel panicked" in text
        assert "viaduct vm console stops --log" in text
        log = cli("vm", "console", "stops", "--log")
        assert "Kernel panic - not syncing: sysrq triggered crash" in log and "\r" not in log


def watchdog_feed(guest):
    """Four seconds, fed each second."""
    guest.run("sh /init load-watchdog; watchdog -T 4 -t 1 /dev/watchdog", 120)
    assert guest.run("cat /sys/class/watchdog/watchdog0/state").strip() == "active"


@pytest.mark.timeout(400)
def test_watchdog_resets_a_guest_that_does_not_feed_it(daemon, folder):
    with Guest(folder, "dog", cpus=2) as guest:
        watchdog_feed(guest)
        time.sleep(10)
        assert guest.show()["life"]["watchdogs"] == 0
        send(guest, "killall -9 watchdog")
        guest.console.wait_ready(BOOT_S)
        life = guest.show()["life"]
        assert life["watchdogs"] == 1 and life["resets"] == {"watchdog": 1}
        assert "did not feed its watchdog" in (RUN / "dog/vmm.log").read_text()


@pytest.mark.timeout(400)
def test_watchdog_stands_still_in_a_pause_and_stops_the_vm_if_so_told(daemon, folder):
    with Guest(folder, "stopdog", extra=["watchdog: stop"]) as guest:
        watchdog_feed(guest)
        cli("vm", "pause", "stopdog")
        time.sleep(12)
        cli("vm", "resume", "stopdog")
        assert guest.run("echo alive").strip() == "alive"
        send(guest, "killall -STOP watchdog")
        vm = ended("stopdog")
        assert vm["state"] == "failed" and vm["exit"]["reason"] == "watchdog"
        assert "did not feed its watchdog" in vm["exit"]["text"]
        assert "ended:                watchdog" in cli("vm", "show", "stopdog")


@pytest.mark.timeout(400)
def test_guest_that_ignores_its_power_button(daemon, folder):
    with Guest(folder, "deaf") as guest:
        guest.run("killall -STOP dd")
        text = refused("vm", "stop", "deaf", "--timeout", "3", "--no-kill", status=1)
        assert "still running" in text and "viaduct vm kill deaf" in text
        assert guest.show()["state"] == "running" and guest.run("echo alive").strip() == "alive"
        text = cli("vm", "stop", "deaf", "--timeout", "3")
        assert "it did not power off within 3 s of its power button: killed for root (uid 0)" in text
        assert "viaduct vm console deaf --log" in text
        assert cli_json("vm", "show", "deaf")["exit"]["reason"] == "killed"


@pytest.mark.timeout(400)
def test_vmm_that_the_oom_killer_chose(daemon, folder):
    with Guest(folder, "fat") as guest:
        pid = guest.show()["pid"]
        pathlib.Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        pathlib.Path("/proc/sysrq-trigger").write_text("f")
        vm = ended("fat")
        assert vm["exit"]["reason"] == "oom-killed" and vm["state"] == "failed", vm["exit"]
        assert "out of memory" in cli("vm", "show", "fat")

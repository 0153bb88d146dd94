# SPDX-License-Identifier: BSD-3-Clause
"""viaductd as `meson install` leaves it to systemd: what happens to the service does not happen to the VMs."""

import os
import re
import signal
import subprocess

import pytest
from labkit import Guest, OperateError, cli, cli_json, eventually, peer
from operate import api

pytestmark = pytest.mark.host("systemd")
PING = "ping -i 0.2 -c 1000 10.77.0.1"


def run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}"
    return done.stdout.strip()


def main_pid():
    return int(run("systemctl", "show", "-P", "MainPID", "viaductd.service"))


def answers():
    try:
        return api.get("/v1/version", timeout=5)["pid"]
    except (OSError, OperateError):
        return None


@pytest.fixture(scope="module")
def service(build_dir):
    run("meson", "install", "--no-rebuild", "--quiet", "-C", str(build_dir))
    run("systemd-sysusers")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "viaductd.socket", "viaductd.service")
    yield
    print(run("journalctl", "-u", "viaductd", "--no-pager"))
    run("systemctl", "stop", "viaductd.service", "viaductd.socket")


@pytest.fixture
def guest(service, ports, far, folder):
    cli("pf", "apply", ports[0], "--vfs", "1")
    peer.wait_carrier(ports[0])
    with Guest(folder, "survivor", [f"name: wan, pf: {ports[0]}"], memory="256M") as g:
        g.network_up("10.77.0.9")
        assert g.ping()
        yield g


def pinged(guest):
    """(sent, answered) so far."""
    said = guest.run("kill -INT $(pidof ping); sleep 1; cat /tmp/ping")
    return tuple(int(n) for n in re.search(r"(\d+) packets transmitted, (\d+) packets received", said).groups())


def stopped_and_started(_):
    run("systemctl", "stop", "viaductd.socket", "viaductd.service")
    assert answers() is None and main_pid() == 0
    run("systemctl", "start", "viaductd.socket", "viaductd.service")


def test_the_service_is_as_the_unit_says(service):
    assert run("systemctl", "is-active", "viaductd.service", "viaductd.socket").split() == ["active", "active"]
    assert answers() == main_pid()
    assert run("systemctl", "show", "-P", "NotifyAccess", "viaductd.service") == "main"


@pytest.mark.timeout(300)
def test_vms_outlive_the_service(guest):
    pid = guest.show()["pid"]
    guest.run(f"({PING}) >/tmp/ping 2>&1 &")
    for end in (lambda old: os.kill(old, signal.SIGKILL), lambda old: run("systemctl", "restart", "viaductd.service"),
                stopped_and_started):
        old = main_pid()
        end(old)
        eventually(lambda: answers() not in (None, old), 30, "another daemon")
        assert main_pid() == answers()
        shown = guest.show()
        assert (shown["pid"], shown["state"], shown["answers"]) == (pid, "running", True)
        assert cli_json("vf", "show", shown["ports"][0]["vf"])["owner"] == "survivor/wan"
    sent, answered = pinged(guest)
    assert sent == answered > 10
    # And it can be managed, with a console as before.
    cli("vm", "pause", "survivor")
    assert guest.show()["state"] == "paused"
    cli("vm", "resume", "survivor")
    assert guest.ping()
    cli("vm", "kill", "survivor")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the end of the VM")
    assert cli_json("vf", "list")["vfs"][0]["state"] == "free"

# SPDX-License-Identifier: BSD-3-Clause
"""viaductd as `meson install` leaves it to systemd: what happens to the service does not happen to the VMs."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest
from labkit import SYSFS, Guest, OperateError, cli, cli_json, eventually, peer
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
    with Guest(folder, "survivor", [f"name: wan, pf: {ports[0]}"]) as g:
        g.network_up("10.77.0.9")
        assert g.ping()
        yield g


def pinged(guest):
    """How many were answered, none left out: the last one may be on its way when ping is told to end."""
    said = guest.run("kill -INT $(pidof ping); sleep 1; cat /tmp/ping")
    answered = [int(n) for n in re.findall(r" seq=(\d+) ", said)]
    sent = int(re.search(r"(\d+) packets transmitted", said)[1])
    assert answered == list(range(len(answered))) and sent - len(answered) in (0, 1), said
    return len(answered)


def stopped_and_started(_):
    run("systemctl", "stop", "viaductd.socket", "viaductd.service")
    assert answers() is None and main_pid() == 0
    run("systemctl", "start", "viaductd.socket", "viaductd.service")


def test_the_service_is_as_the_unit_says(service):
    assert run("systemctl", "is-active", "viaductd.service", "viaductd.socket").split() == ["active", "active"]
    assert answers() == main_pid()
    assert run("systemctl", "show", "-P", "NotifyAccess", "viaductd.service") == "main"


SCOPE = "viaduct-vm-survivor.scope"


def in_scope(pid):
    """systemd has the process, and nothing else, in the VM's scope; the daemon says the same."""
    group = run("systemctl", "show", "-P", "ControlGroup", SCOPE)
    assert group == f"/viaduct.slice/{SCOPE}"
    return (pathlib.Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split() == [str(pid)]
            and run("systemctl", "is-active", SCOPE) == "active" and cli_json("vm", "show", "survivor")["unit"] == SCOPE)


def test_vms_outlive_the_service(guest):
    pid = guest.show()["pid"]
    assert in_scope(pid) and SCOPE in cli("vm", "show", "survivor")
    assert not pathlib.Path("/sys/fs/cgroup/viaduct/vm-survivor").exists()
    # One vCPU and 64 others; the kernel's word, and systemd's.
    assert guest.show()["limits"]["tasks"] == 65 and run("systemctl", "show", "-P", "TasksMax", SCOPE) == "65"
    guest.run(f"({PING}) >/tmp/ping 2>&1 &")
    for end in (lambda old: os.kill(old, signal.SIGKILL), lambda old: run("systemctl", "restart", "viaductd.service"),
                stopped_and_started):
        old = main_pid()
        end(old)
        eventually(lambda: answers() not in (None, old), "another daemon")
        assert main_pid() == answers()
        shown = guest.show()
        assert (shown["pid"], shown["state"], shown["answers"]) == (pid, "running", True)
        assert cli_json("vf", "show", shown["ports"][0]["vf"])["owner"] == "survivor/wan" and in_scope(pid)
    assert pinged(guest) > 10
    # And it can be managed, with a console as before.
    cli("vm", "pause", "survivor")
    assert guest.show()["state"] == "paused"
    cli("vm", "resume", "survivor")
    assert guest.ping()
    cli("vm", "kill", "survivor")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the VM")
    assert cli_json("vf", "list")["vfs"][0]["state"] == "free"
    eventually(lambda: run("systemctl", "show", "-P", "LoadState", SCOPE) == "not-found", "the end of its scope")
    assert cli_json("vm", "show", "survivor")["unit"] is None


MANAGERS = ("systemd-udevd.service", "systemd-networkd.service")
# Without viaduct's files a device like any other: renamed, given an address of its own, managed.
ANY_DEVICE = {"98-any.link": "[Match]\nOriginalName=*\n[Link]\nName=taken0\nMACAddressPolicy=random\n",
              "98-any.network": "[Match]\nName=*\n[Network]\nLinkLocalAddressing=ipv6\n"}


@contextlib.contextmanager
def host_network_managers():
    """udev and networkd, which the lab does without, with an administrator's files that would take any device."""
    folder = pathlib.Path("/etc/systemd/network")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ANY_DEVICE.items():
        (folder / name).write_text(text)
    units = [*MANAGERS, "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"]
    for unit in units:
        pathlib.Path("/run/systemd/system", unit).unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "start", *MANAGERS)
    try:
        yield
    finally:
        run("systemctl", "stop", *units, "systemd-networkd.socket")
        for unit in units:
            pathlib.Path("/run/systemd/system", unit).symlink_to("/dev/null")
        run("systemctl", "daemon-reload")
        for name in ANY_DEVICE:
            (folder / name).unlink()


@contextlib.contextmanager
def driven_by_host(vf):
    """The host's own driver takes the VF, by hand; its network device."""
    run("modprobe", "igbvf")
    (SYSFS / vf / "driver_override").write_text("igbvf")
    (SYSFS.parent / "drivers_probe").write_text(vf)
    try:
        eventually(lambda: any((SYSFS / vf).glob("net/*")), "its network device")
        yield next((SYSFS / vf).glob("net/*")).name
    finally:
        (SYSFS / vf / "driver/unbind").write_text(vf)
        (SYSFS / vf / "driver_override").write_text("\n")


def properties(device):
    said = subprocess.run(["udevadm", "info", "-q", "property", "-p", f"/sys/class/net/{device}"], capture_output=True, text=True, check=False)
    return dict(line.split("=", 1) for line in said.stdout.splitlines())


def setup_of(device):
    links = json.loads(run("networkctl", "list", "--json=short"))["Interfaces"]
    return next((link["AdministrativeState"] for link in links if link["Name"] == device), None)


def test_host_programs_keep_their_hands_off_vfs(service, ports):
    cli("pf", "apply", ports[0], "--vfs", "1")
    vf = cli_json("vf", "list")["vfs"][0]["address"]
    with host_network_managers(), driven_by_host(vf) as device:
        eventually(lambda: properties(device).get("VIADUCT_VF") == "1", "udev's word")
        facts = properties(device)
        assert (facts["NM_UNMANAGED"], facts["ID_NET_MANAGED_BY"]) == ("1", "viaduct")
        assert facts["ID_NET_LINK_FILE"].endswith("/10-viaduct-vf.link")
        eventually(lambda: setup_of(device) == "unmanaged", "networkd's decision")
        # The same files of the administrator's do take another device.
        peer.ip("link", "add", "other0", "type", "dummy")
        try:
            eventually(lambda: setup_of("taken0") not in (None, "unmanaged"), "a device that is managed")
        finally:
            peer.ip("link", "del", "taken0")
        said = run("journalctl", "--no-pager", "-u", MANAGERS[0], "-u", MANAGERS[1])
        assert not re.findall(r".*viaduct.*(?i:invalid|unknown|ignor|failed).*", said)
    eventually(lambda: cli_json("vf", "show", vf)["driver"] is None, "the end of it")


VMS = "viaduct-vms.service"


@pytest.mark.timeout(600)
def test_vms_go_down_with_the_host_and_not_with_the_daemon(service, folder):
    """The unit that the host's shutdown stops, with a guest that is deaf to its power button."""
    run("systemctl", "start", VMS)
    with Guest(folder, "deaf", extra=["stop: {timeout: 3}"]) as guest:
        guest.run("killall -STOP dd")
        pid = guest.show()["pid"]
        assert VMS in run("systemctl", "show", "-P", "Before", "viaduct-vm-deaf.scope").split()
        old = main_pid()
        run("systemctl", "restart", "viaductd.service")
        eventually(lambda: answers() not in (None, old), "another daemon")
        assert guest.show()["pid"] == pid and run("systemctl", "is-active", VMS) == "active"
        run("systemctl", "stop", VMS)
        assert not os.path.exists(f"/proc/{pid}") and run("systemctl", "show", "-P", "Result", VMS) == "success"
        end = cli_json("vm", "show", "deaf")["exit"]
        assert end["reason"] == "killed" and "within 3 s of its power button" in end["text"]
        assert [e["what"] for e in cli_json("vm", "history", "deaf")["history"]] == ["ended", "started"]


@pytest.mark.timeout(600)
def test_an_image_outside_of_the_daemons_folders_is_written(service, folder, tmp_path):
    """What the unit takes from the daemon is not what disks need."""
    image = tmp_path / "root.img"
    image.touch()
    os.truncate(image, 1 << 24)
    with Guest(folder, "disky", extra=[f"disks: [{{path: {image}, name: root}}]"]) as vm:
        vm.run("echo first | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null")
        assert image.read_bytes()[:5] == b"first"
        assert run("systemctl", "is-active", "viaduct-pmd-disk-disky.scope") == "active"

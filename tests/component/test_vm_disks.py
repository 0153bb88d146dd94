# SPDX-License-Identifier: BSD-3-Clause
"""Disks of VMs: the real viaductd and viaduct-pmd, and a viaduct-vmm that only speaks its contract (fake_vmm.py)."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import daemonkit
import pytest
from daemonkit import eventually
from disk_front import SECTOR, DiskError, DiskFront
from pmdkit import SANITIZER
from test_daemon_events import metrics

MIB = 1 << 20
OWNER, OWNER_BYTES = 100, 200  # pmd_msg.h
UIDS = "uids: {first: 64000, count: 100}\n"
DISK_UID = 64098  # the second last
F_OFD_SETLK = 37


class Host:
    """A viaductd with a real viaduct-pmd for disks."""

    def __init__(self, daemon, folder, build_dir):
        self.daemon, self.folder = daemon, folder
        daemonkit.setup(daemon, folder)
        # The leak checker traces, for which the sandbox kills; the daemon starts its processes without an environment.
        pmd = folder / "pmd"
        pmd.write_text(f"#!/bin/sh\nASAN_OPTIONS=detect_leaks=0 exec {build_dir}/pmd-backends/viaduct-pmd \"$@\"\n")
        pmd.chmod(0o755)
        daemon.args += ["--pmd-path", str(pmd)]
        daemon.config.write_text(UIDS)
        folder.chmod(0o755)

    def image(self, name="a.img", size=8 * MIB, data=b""):
        path = self.folder / name
        with open(path, "wb") as file:
            file.write(data)
            file.truncate(size)
        return path

    def yaml(self, name="vm1", disks="", cmdline="", extra=""):
        return daemonkit.vm_yaml(self.folder, name, cmdline, f"disks:\n{disks}{extra}")

    def run(self, name="vm1", disks="", **more):
        return self.daemon.request("POST", "/v1/vms", {"yaml": self.yaml(name, disks, **more)})

    def ok(self, *args, **more):
        status, vm = self.run(*args, **more)
        assert status == 200, vm
        return vm

    def refused(self, *args, **more):
        status, reply = self.run(*args, **more)
        assert status >= 400, reply
        return reply["error"]

    def vm(self, name="vm1"):
        return self.daemon.request("GET", f"/v1/vms/{name}")[1]

    def vmm(self, name="vm1"):
        """STATUS of the VMM."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(self.daemon.run_dir / "vm" / name / "control.sock"))
            sock.send(json.dumps({"v": 1, "op": "status"}).encode())
            return json.loads(sock.recv(1 << 16))["result"]

    def pmd(self, name="vm1", op="status", **body):
        """What the viaduct-pmd of that VM's disks answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(self.daemon.run_dir / f"pmd/disk-{name}/control.sock"))
            sock.send(json.dumps({"v": 1, "op": op, **body}).encode())
            return json.loads(sock.recv(1 << 20))["result"]

    def served(self, name="vm1"):
        with contextlib.suppress(OSError, ValueError):
            return {disk["disk"]: disk for disk in self.pmd(name)["disks"]}
        return {}

    def pmd_pid(self, name="vm1"):
        with contextlib.suppress(OSError, ValueError):
            return self.pmd(name)["pid"]
        return None

    @contextlib.contextmanager
    def front(self, name="vm1"):
        """The guest's requests: a front end in the place of the VMM's, for a VM with one disk that is connected."""
        assert eventually(lambda: self.vm(name)["disks"][0]["state"] == "connected")
        path = self.daemon.run_dir / f"pmd/disk-{name}/0.sock"
        path.unlink()
        with DiskFront(str(path)) as front:
            path.chmod(0o666)
            os.kill(self.pmd_pid(name), signal.SIGKILL)
            front.connect()
            yield front

    def pmd_pids(self):
        """Of all VMs."""
        names = [path.name.removeprefix("disk-") for path in (self.daemon.run_dir / "pmd").glob("disk-*")]
        return {pid for pid in map(self.pmd_pid, names) if pid}

    def holds(self, pid, path):
        """Has that process this file open, by inode?"""
        want = os.stat(path)
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                is_ = os.stat(f"/proc/{pid}/fd/{fd}")
                if (is_.st_dev, is_.st_ino) == (want.st_dev, want.st_ino):
                    return True
        return False

    def kill_all(self):
        for vm in self.daemon.request("GET", "/v1/vms")[1].get("vms", []):
            if vm["pid"]:
                self.daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})


@pytest.fixture
def host(stopped_daemon, short_tmp, build_dir):
    made = Host(stopped_daemon, short_tmp, build_dir)
    stopped_daemon.start()
    try:
        yield made
        made.kill_all()
        assert eventually(lambda: not made.pmd_pids()), made.pmd_pids()
    finally:
        pids = made.pmd_pids()
        stopped_daemon.stop()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for log in (stopped_daemon.run_dir / "pmd").rglob("pmd.log"):
        assert not SANITIZER.search(log.read_text()), log.read_text()


def lock_is_free(path, kind=fcntl.F_WRLCK):
    with open(path, "r+b") as file:
        try:
            fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, OWNER, OWNER_BYTES, 0))
        except BlockingIOError:
            return False
    return True


def disk(path, name="root", more=""):
    return f"  - {{path: {path}, name: {name}{more}}}\n"


def test_a_vm_has_its_disks_from_its_start_to_its_end(host):
    image = host.image()
    vm = host.ok(disks=disk(image, more=", iops: 500, serial: abc") + disk(host.image("b.img"), "data", ", readonly: true"))
    assert [one["name"] for one in vm["disks"]] == ["root", "data"]
    assert set(host.served()) == {"vm1/root", "vm1/data"}
    status = host.vmm()
    assert {"disk:root", "image:root", "disk:data", "image:data"} <= set(status["fds"])
    assert status["disk_spec"][0] == {"disk": "root", "queues": 1, "queue_size": 256, "backend_uid": DISK_UID}
    assert not lock_is_free(image)
    assert os.stat(f"/proc/{host.pmd_pid()}").st_uid in (DISK_UID, 0)
    one = vm["disks"][0]
    assert one["size"] == 8 * MIB and one["serial"] == "abc" and one["iops"] == 500
    host.daemon.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 10})
    assert lock_is_free(image)
    assert host.served() == {}
    assert not list((host.daemon.run_dir / "pmd").rglob("[0-9]*.sock"))
    assert eventually(lambda: host.pmd_pid() is None)
    assert host.run(disks=disk(image))[0] == 200


def test_one_image_is_of_one_vm(host):
    image = host.image()
    host.ok(disks=disk(image))
    error = host.refused("vm2", disks=disk(image))
    assert error["code"] == "image-in-use" and "vm1/root" in error["text"], error
    link = host.folder / "b.img"
    os.link(image, link)
    assert "vm1/root" in host.refused("vm2", disks=disk(link, more=", readonly: true"))["text"]
    error = host.refused("vm2", disks=disk(host.image("c.img"), "one") + disk(host.folder / "c.img", "two"))
    assert error["code"] == "image-in-use" and "disk one" in error["text"], error
    assert [vm["name"] for vm in host.daemon.request("GET", "/v1/vms")[1]["vms"]] == ["vm1"]
    assert set(host.served()) == {"vm1/root"}
    status, reply = host.daemon.request("POST", "/v1/vms/check", {"yaml": host.yaml("vm2", disk(image))})
    assert status == 409 and "vm1/root" in reply["error"]["text"], reply
    status, reply = host.daemon.request("POST", "/v1/vms/check", {"yaml": host.yaml("vm1", disk(image))})
    assert status == 200 and any(str(image) in step for step in reply["plan"]), reply


def test_readers_share_an_image(host):
    image = host.image()
    host.ok(disks=disk(image, more=", readonly: true"))
    host.ok("vm2", disks=disk(image, more=", readonly: true"))
    assert set(host.served()) == {"vm1/root"} and set(host.served("vm2")) == {"vm2/root"}
    assert host.refused("vm3", disks=disk(image))["code"] == "image-in-use"


def test_an_image_that_another_program_has_is_refused_and_qemu_is_kept_away(host):
    image = host.image()
    with open(image, "r+b") as file:
        fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, OWNER, 1, 0))
        error = host.refused(disks=disk(image))
        assert error["code"] == "image-in-use" and "another program" in error["text"], error
    host.ok(disks=disk(image))
    said = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 4k", str(image)], capture_output=True, text=True, check=False)
    assert "lock" in said.stderr + said.stdout, said


def test_an_image_of_another_user_a_device_and_a_foreign_format_are_refused(host):
    for magic, name in ((b"QFI\xfb", "qcow2"), (b"KDMV", "vmdk"), (b"vhdxfile", "vhdx")):
        error = host.refused(disks=disk(host.image(data=magic)))
        assert error["code"] == "image-format" and name in error["text"] and "image import" in error["hint"], error
    assert "truncate" in host.refused(disks=disk(host.image(size=100)))["hint"]
    assert host.daemon.request("GET", "/v1/vms")[1]["vms"] == []


def test_the_same_image_is_served_again_whatever_lies_at_its_path(host):
    image = host.image(data=b"first")
    host.ok(disks=disk(image))
    kept = image.rename(host.folder / "moved.img")
    host.image(data=b"second")
    first = host.pmd_pid()
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: host.pmd_pid() not in (None, first) and "vm1/root" in host.served())
    pid = host.pmd_pid()
    assert host.holds(pid, kept) and not host.holds(pid, image)
    assert eventually(lambda: host.vm()["disks"][0]["vmm"]["reconnects"] >= 1)
    # The same after a restart of the daemon, with the backend gone meanwhile.
    assert host.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    os.kill(pid, signal.SIGKILL)
    host.daemon.start()
    assert eventually(lambda: host.pmd_pid() not in (None, pid) and "vm1/root" in host.served()), host.daemon.text()
    assert host.holds(host.pmd_pid(), kept) and not host.holds(host.pmd_pid(), image)
    assert not lock_is_free(kept) and lock_is_free(image)


def test_a_daemon_that_comes_back_finds_backend_and_disks(host):
    host.ok(disks=disk(host.image()))
    pid = host.pmd_pid()
    assert host.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    host.daemon.start()
    assert eventually(lambda: host.vm()["disks"][0]["state"] in ("waiting", "connected"))
    assert host.pmd_pid() == pid
    os.kill(host.vm()["pid"], signal.SIGKILL)
    assert eventually(lambda: host.pmd_pid() is None)
    assert lock_is_free(host.folder / "a.img")


def test_a_backend_goes_with_a_vm_that_ended_while_the_daemon_was_away(host):
    host.ok(disks=disk(host.image()))
    pid, vmm = host.pmd_pid(), host.vm()["pid"]
    assert host.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    os.kill(vmm, signal.SIGKILL)
    assert host.pmd_pid() == pid
    host.daemon.start()
    assert eventually(lambda: host.pmd_pid() is None) and lock_is_free(host.folder / "a.img")
    # Its log stays as long as the VM is known.
    assert (host.daemon.run_dir / "pmd/disk-vm1/pmd.log").exists()
    assert host.daemon.request("POST", "/v1/vms/vm1/delete", {})[0] == 200
    assert not list((host.daemon.run_dir / "pmd").iterdir())
    assert 'backend="disk-vm1"' not in metrics(host.daemon)
    long = "v" * 63
    host.ok(long, disks=disk(host.image()))
    assert eventually(lambda: host.vm(long)["disks"][0]["state"] == "connected"), host.daemon.text()
    assert [path.name for path in (host.daemon.run_dir / "pmd").iterdir()] == [f"disk-{long}"]


@pytest.mark.parametrize("word", ["fail", "die"])
def test_a_start_that_fails_leaves_nothing(host, word):
    image = host.image()
    assert host.run(disks=disk(image), cmdline=word)[0] >= 400
    assert host.daemon.request("GET", "/v1/vms")[1]["vms"] == []
    assert eventually(lambda: host.pmd_pid() is None)
    assert lock_is_free(image)
    assert not list((host.daemon.run_dir / "pmd").rglob("[0-9]*.sock"))


def test_a_backend_that_does_not_start_refuses_the_vm(host):
    image = host.image()
    good = (host.folder / "pmd").read_text()
    (host.folder / "pmd").write_text("#!/bin/sh\nexit 3\n")
    error = host.refused(disks=disk(image))
    assert error["code"] == "backend-down" and "disk root" in error["text"], error
    assert lock_is_free(image)
    # No process is missed any more.
    assert eventually(lambda: 'viaduct_backend_up{backend="disk-vm1"}' not in metrics(host.daemon))
    (host.folder / "pmd").write_text(good)
    host.ok(disks=disk(image))


def test_limits_are_set_shown_and_kept(host):
    host.ok(disks=disk(host.image(), more=", iops: 700"))
    assert host.daemon.cli("disk", "set", "vm1/root", "bandwidth=50M").returncode == 0
    for restart in (None, "backend", "daemon"):
        if restart == "backend":
            os.kill(host.pmd_pid(), signal.SIGKILL)
        elif restart == "daemon":
            host.daemon.stop(signal.SIGKILL)
            host.daemon.start()
        assert eventually(lambda: host.vm()["disks"][0]["state"] in ("waiting", "connected"))
        one = host.vm()["disks"][0]
        assert (one["iops"], one["bandwidth"]) == (700, 50 * MIB)
    shown = host.daemon.cli("disk", "show", "vm1/root").stdout
    assert "50 MiB/s" in shown and "700" in shown, shown
    assert "vm1/root" in host.daemon.cli("disk", "list").stdout
    assert "FLUSHES" in host.daemon.cli("disk", "stats", "vm1/root").stdout
    assert "disk root: 8 MiB" in host.daemon.cli("vm", "show", "vm1").stdout
    said = host.daemon.cli("disk", "set", "vm1/root", "iops=99999999")
    assert said.returncode != 0 and "10000000" in said.stderr, said
    assert "iops=5000" in host.daemon.cli("disk", "set", "vm1/root", "speed=1").stderr
    said = host.daemon.cli("disk", "show", "vm1/other")
    assert said.returncode != 0 and "no disk other" in said.stderr, said


def test_a_disk_grows_and_never_shrinks(host):
    image = host.image()
    host.ok(disks=disk(image) + disk(host.image("b.img"), "ro", ", readonly: true"))
    assert host.daemon.cli("disk", "resize", "vm1/root", "16M").returncode == 0
    assert image.stat().st_size == 16 * MIB and host.served()["vm1/root"]["size"] == 16 * MIB
    assert host.vm()["disks"][0]["size"] == 16 * MIB
    said = host.daemon.cli("disk", "resize", "vm1/root", "8M")
    assert said.returncode != 0 and "lose data" in said.stderr and image.stat().st_size == 16 * MIB, said
    with open(image, "r+b") as file:
        file.truncate(32 * MIB)
    assert host.daemon.cli("disk", "resize", "vm1/root").returncode == 0
    assert host.served()["vm1/root"]["size"] == 32 * MIB
    assert "only read" in host.daemon.cli("disk", "resize", "vm1/ro", "16M").stderr
    assert host.daemon.request("POST", "/v1/vms/vm1/disks/resize", {"disk": "root", "size": 32 * MIB + 1})[0] == 400


def test_only_who_may_write_an_image_can_give_it_to_a_vm(host):
    """As another user, of the group that manages viaductd."""
    image = host.image()
    image.chmod(0o600)
    mine = host.image("mine.img")
    os.chown(mine, 1234, 1234)
    code = ("import http.client, json, os, socket, sys\n"
            "os.setgroups([]); os.setgid(0); os.setuid(1234)\n"
            "c = http.client.HTTPConnection('localhost'); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])\n"
            "c.request('POST', '/v1/vms/check', sys.argv[2], {'Content-Type': 'application/json'})\n"
            "print(c.getresponse().read().decode())\n")
    os.chmod(host.daemon.socket, 0o666)
    for path, said in ((image, "Permission denied"), (mine, None)):
        body = json.dumps({"yaml": host.yaml(disks=disk(path))})
        reply = subprocess.run(["/usr/bin/python3", "-c", code, str(host.daemon.socket), body], capture_output=True, text=True, check=False)
        if said:
            assert said in reply.stdout and str(path) in reply.stdout, reply
        else:
            assert "error" not in json.loads(reply.stdout), reply


def test_a_file_system_without_direct_io_is_said(host):
    """And the same image on a tmpfs that can is direct."""
    vm = host.ok(disks=disk(host.image()) + disk(host.image("b.img"), "b", ", cache: buffered"))
    assert vm["disks"][1]["direct"] is False and vm["disks"][1]["warning"] is None
    assert vm["disks"][0]["direct"] is (vm["disks"][0]["warning"] is None)


def alarms(host):
    return {(a["kind"], a["object"]): a for a in host.daemon.request("GET", "/v1/alarms")[1]["alarms"]}


def test_a_backend_that_is_away_is_an_alarm_and_it_is_over(host):
    host.ok(disks=disk(host.image()))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    good = (host.folder / "pmd").read_text()
    (host.folder / "pmd").write_text("#!/bin/sh\nexit 3\n")
    os.kill(host.pmd_pid(), signal.SIGKILL)
    assert eventually(lambda: {("backend-down", "disk-vm1"), ("disk-down", "vm1/root")} <= set(alarms(host))), alarms(host)
    assert 'viaduct_disk_served{disk="vm1/root"} 0' in metrics(host.daemon)
    assert "absent" in host.daemon.cli("disk", "list").stdout
    refused = host.daemon.cli("disk", "resize", "vm1/root")
    assert refused.returncode != 0 and "viaduct disk list" in refused.stderr, refused.stderr
    (host.folder / "pmd").write_text(good)
    assert eventually(lambda: not {"backend-down", "disk-down"} & {kind for kind, _ in alarms(host)}), alarms(host)
    said = metrics(host.daemon)
    assert 'viaduct_disk_served{disk="vm1/root"} 1' in said and 'viaduct_disk_errors_total{disk="vm1/root",kind="no-space"} 0' in said


def server_of(image):
    """The viaduct-pmd that has it open."""
    want = os.stat(image)
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            has = path.stat()
            if (has.st_dev, has.st_ino) == (want.st_dev, want.st_ino) and (path.parent.parent / "comm").read_text() == "viaduct-pmd\n":
                return int(path.parent.parent.name)
    return None


@pytest.mark.parametrize("word", ["SIGSTOP", "SIGKILL"])
def test_what_befalls_the_backend_of_one_vm_is_nothing_to_another(host, word):
    """The other's guest writes all the while, over one connection."""
    first, second = host.image("a.img"), host.image("b.img")
    host.ok(disks=disk(first))
    host.ok("vm2", disks=disk(second))
    assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    with host.front("vm2") as front:
        front.write(0, b"before".ljust(SECTOR, b"\0"))
        server = server_of(second)
        assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
        former = server_of(first)
        os.kill(former, getattr(signal, word))
        # Longer than viaductd takes to end one that is silent, and to start the next.
        until, written = time.monotonic() + 12, 0
        while time.monotonic() < until:
            front.write(1 + written % 1000, b"x" * SECTOR)
            written += 1
        assert server_of(second) == server and written > 1000
        assert eventually(lambda: server_of(first) not in (None, former))
        assert eventually(lambda: host.vm()["disks"][0]["state"] == "connected")
    assert host.vm()["disks"][0]["backend"]["restarts"] == host.vm("vm2")["disks"][0]["backend"]["restarts"] == 1


def reaches(pid, path):
    """May who has that process's rights connect there? What lies above the folder of run folders is the test's own."""
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    done = subprocess.run(["/usr/bin/python3", "-c", code, path.relative_to(path.parents[1])], cwd=path.parents[1], capture_output=True, text=True,
                          check=False, user=int(fields["Uid"].split()[0]), group=int(fields["Gid"].split()[0]),
                          extra_groups=[int(group) for group in fields["Groups"].split()])
    assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
    return done.returncode == 0


def test_a_backend_reaches_the_socket_of_no_other_vm(host):
    """They have one uid. Who were to connect to another VM's socket first would be given its memory."""
    host.ok(disks=disk(host.image("a.img")))
    host.ok("vm2", disks=disk(host.image("b.img")))
    folder = host.daemon.run_dir / "pmd"
    for _ in range(2):
        assert eventually(lambda: host.vm()["disks"][0]["state"] == host.vm("vm2")["disks"][0]["state"] == "connected")
        pids = host.pmd_pid(), host.pmd_pid("vm2")
        assert [reaches(pid, folder / f"disk-{vm}/0.sock") for pid in pids for vm in ("vm1", "vm2")] == [True, False, False, True]
        # The same for one that a new daemon has started.
        host.daemon.stop(signal.SIGKILL)
        host.daemon.start()
        os.kill(pids[0], signal.SIGKILL)
        assert eventually(lambda former=pids[0]: host.pmd_pid() not in (None, former))


def test_a_full_file_system_is_an_alarm_until_there_is_room(host):
    full = host.folder / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", full], check=True)
    try:
        image = full / "a.img"
        image.touch()
        os.truncate(image, 4 * MIB)
        host.ok(disks=disk(image))
        with host.front() as front:
            front.write(0, bytes(16384))
            with pytest.raises(DiskError):
                for at in range(1, 128):
                    front.write(at * 16384 // SECTOR, b"x" * 16384)
            assert eventually(lambda: ("disk-full", "vm1/root") in alarms(host)), host.vm()
            subprocess.run(["mount", "-o", "remount,size=16m", full], check=True)
            front.write(2 * MIB // SECTOR, b"x" * 16384)
            assert eventually(lambda: ("disk-full", "vm1/root") not in alarms(host))
            # It has been told: a daemon that comes back does not tell it again.
            host.daemon.stop(signal.SIGKILL)
            host.daemon.start()
            assert eventually(lambda: (host.vm()["disks"][0]["stats"] or {}).get("no_space"))
            assert ("disk-full", "vm1/root") not in alarms(host)
    finally:
        host.kill_all()
        subprocess.run(["umount", "-l", full], check=True)

# SPDX-License-Identifier: BSD-3-Clause
"""viaduct-vmm alone, without its daemon: boots, stops, resets, and what it refuses."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from vmmdrive import NOBODY, Refused, Vmm

TOP = pathlib.Path(__file__).resolve().parents[2]
READY = "VIADUCT-GUEST ready"
CMDLINE = "console=ttyS0 quiet mitigations=off"
# Says what the guest has; then does what it is told over the console.
SCRIPT = """\
echo "cpus $(grep -c ^processor /proc/cpuinfo) mem $(awk '/MemTotal/ {print $2}' /proc/meminfo)"
echo "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
grep -q 100000000- /proc/iomem && echo "high ram"
dmesg -l err,warn | sed 's/^/LOG /'
echo "script runs"
while read -r line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """kernel and initrd by name."""
    folder = tmp_path_factory.mktemp("vmm")
    script = folder / "script"
    script.write_text(SCRIPT)
    initrd = folder / "guest.cpio"
    subprocess.run([TOP / "lab/guest-image", "--script", script, "-o", initrd], check=True)
    found = {"initrd": initrd}
    for kind in ("bzimage", "vmlinux"):
        path = subprocess.run([TOP / "lab/setup-cache", "--print", kind], check=True, text=True,
                              capture_output=True).stdout.strip()
        found[kind] = pathlib.Path(path)
    return found


@pytest.fixture
def vmm(build_dir):
    with Vmm(str(build_dir / "vmm/viaduct-vmm")) as vmm:
        yield vmm


def boot(vmm, images, kernel="vmlinux", **options):
    options.setdefault("cmdline", CMDLINE)
    console = vmm.console()
    status = vmm.launch(vmm.spec(**options), images[kernel], images["initrd"])
    assert console.wait("script runs", 150), console.seen
    return status, console


def end_of(vmm):
    assert vmm.wait(60) == 0
    return vmm.record()


@pytest.mark.parametrize("kernel,cpus,mem,low", [("bzimage", 2, 256, 0), ("vmlinux", 2, 512, 256),
                                                 ("bzimage", 1, 512, 256)])
def test_boot_and_power_off(vmm, images, kernel, cpus, mem, low):
    status, console = boot(vmm, images, kernel, cpus=cpus, mem_mib=mem, low_limit=low << 20)
    assert [s["step"] for s in status["start"]] == ["ram", "prefault", "pin", "devices", "kernel", "entry"]
    assert status["memory"] == mem << 20 and status["vcpus"] == cpus and status["state"] == "running"
    assert f"cpus {cpus} mem " in console.seen
    assert "clock kvm-clock" in console.seen
    assert ("high ram" in console.seen) == bool(low)
    assert "MTRR" not in console.seen and "BUG" not in console.seen
    console.write("poweroff -f\n")
    record = end_of(vmm)
    assert record["reason"] == "poweroff" and record["name"] == "t1" and record["v"] == 1
    assert pathlib.Path(vmm.log_path).read_text().count(READY) == 1


def test_power_button(vmm, images):
    _, console = boot(vmm, images)
    assert vmm.request("shutdown") == {}
    assert end_of(vmm)["reason"] == "poweroff"


@pytest.mark.parametrize("how", ["pci", "triple"])
def test_reset_in_place(vmm, images, how):
    """Two resets, and a guest that works after them; memory and vCPUs are as at the first boot."""
    _, console = boot(vmm, images, cpus=2, cmdline=f"{CMDLINE} reboot={how}")
    for _ in range(2):
        begin = len(console.seen)
        console.write("reboot -f\n")
        assert console.wait("script runs", 150, begin), console.seen[begin:]
        assert "cpus 2 mem" in console.seen[begin:]
    assert vmm.request("status")["guest_resets"] == 2
    console.write("poweroff -f\n")
    assert end_of(vmm)["reason"] == "poweroff"


def test_pause_resume_status_and_kill(vmm, images):
    _, console = boot(vmm, images, cpus=2)
    other = vmm.connect()
    assert vmm.request("pause", other)["state"] == "paused"
    with pytest.raises(Refused, match="is paused"):
        vmm.request("pause")
    with pytest.raises(Refused, match="power button"):
        vmm.request("shutdown")
    before = vmm.request("status")["exits"]
    begin = len(console.seen)
    console.write("echo back $((40 + 2))\n")
    time.sleep(1)
    assert "back 42" not in console.seen[begin:]
    assert vmm.request("status", other)["exits"] == before
    assert vmm.request("resume")["state"] == "running"
    assert console.wait("back 42", 60, begin)
    assert vmm.request("status")["exits"]["io"] > before["io"]
    other.close()
    assert vmm.request("kill") == {}
    assert end_of(vmm)["reason"] == "killed"


def test_signal_and_sigkill_leave_their_mark(vmm, images, build_dir):
    boot(vmm, images)
    vmm.process.send_signal(signal.SIGTERM)
    record = end_of(vmm)
    assert record["reason"] == "signal" and "signal 15" in record["text"]
    with Vmm(str(build_dir / "vmm/viaduct-vmm")) as second:
        second.launch(second.spec(), images["vmlinux"], images["initrd"])
        second.process.kill()
        assert second.wait(60) == -signal.SIGKILL
        assert second.record() is None


def test_daemon_may_go_and_come_back(vmm, images):
    boot(vmm, images)
    vmm.launch_sock.close()
    with vmm.connect() as sock:
        assert vmm.request("status", sock)["state"] == "running"
        vmm.request("kill", sock)
    assert end_of(vmm)["reason"] == "killed"


def test_process_has_given_up_its_rights(vmm, images):
    boot(vmm, images, cpus=2)
    # KVM has a kernel thread of its own among the process's tasks.
    tasks = [t for t in pathlib.Path(f"/proc/{vmm.process.pid}/task").iterdir()
             if not (t / "comm").read_text().startswith("kvm-")]
    for task in tasks:
        fields = dict(line.split(":\t") for line in (task / "status").read_text().splitlines()
                      if ":\t" in line)
        assert fields["Seccomp"].strip() == "2" and fields["NoNewPrivs"].strip() == "1"
        assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0
        assert fields["Uid"].split() == [str(NOBODY)] * 4
    names = sorted((t / "comm").read_text().strip() for t in tasks)
    assert names == ["vcpu0", "vcpu1", "viaduct-vmm"]


def test_bad_requests_are_answered(vmm, images):
    boot(vmm, images)
    for raw, text in [(b"{}", "v is missing"), (b"not json", "JSON"),
                      (b'{"v":1,"op":"fly"}', "unknown request"),
                      (b'{"v":9,"op":"status"}', "version 9")]:
        vmm.launch_sock.sendall(raw)
        with pytest.raises(Refused, match=text):
            vmm.reply(vmm.launch_sock)
    held = [vmm.connect() for _ in range(10)]
    refused = 0
    for sock in held:
        try:
            vmm.request("status", sock)
        except (Refused, BrokenPipeError, ConnectionResetError):
            refused += 1
    assert refused == 3  # 8 connections, one of which is the launch socket
    for sock in held:
        sock.close()
    assert vmm.request("status")["state"] == "running"


def test_other_users_are_turned_away(vmm, images):
    boot(vmm, images)
    os.chmod(vmm.folder.name, 0o755)
    os.chmod(vmm.path("control"), 0o666)
    code = ("import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
            "s.connect(sys.argv[1]); print(s.recv(65536).decode())")
    said = subprocess.run(["/usr/bin/python3", "-c", code, vmm.path("control")], user=1, group=1,
                          extra_groups=[], capture_output=True, text=True, check=True).stdout
    assert "only root and the daemon" in json.loads(said)["error"]["text"]


REFUSED = {
    "no memory": ({"mem_mib": 0}, "memory of 0 bytes"),
    "too much memory": ({"mem_mib": 2 << 20}, "1024 GiB"),
    "no CPU": ({"cpus": 0}, "count of 0 vCPUs"),
    "too many CPUs": ({"cpus": 255}, "1 to 254"),
    "host CPU that is not there": ({"pin": [1000]}, "host CPU 1000"),
    "dedicated and not pinned": ({"dedicated": True}, "vCPU 0 is not pinned"),
    "own CPUs that are not there": ({"pin": [1], "own": "1000"}, "host CPUs 1000"),
    "hugepages that are not there": ({"mem_mib": 1 << 18, "hugepage": 2 << 20}, "hugepages of 2 MiB"),
    "command line too long": ({"cmdline": "x" * 2048}, "cmdline is longer"),
    "unknown member": ({"tapes": []}, "tapes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_launch(vmm, images, case):
    options, text = REFUSED[case]
    with pytest.raises(Refused, match=text):
        vmm.launch(vmm.spec(**options), images["bzimage"], images["initrd"])
    assert vmm.wait(60) == 1
    record = vmm.record()
    assert record is None or record["reason"] == "launch-failed"


def test_initrd_that_does_not_fit(vmm, images, tmp_path):
    large = tmp_path / "initrd"
    with large.open("wb") as f:
        f.truncate(300 << 20)
    with pytest.raises(Refused, match="initrd does not fit: it has 314572800 bytes, and [0-9]+ are free"):
        vmm.launch(vmm.spec(), images["bzimage"], large)
    assert vmm.wait(60) == 1
    assert vmm.record()["reason"] == "launch-failed"


def test_kernel_that_is_no_kernel(vmm, images):
    with pytest.raises(Refused, match="neither bzImage nor ELF vmlinux"):
        vmm.launch(vmm.spec(), __file__)
    assert vmm.wait(60) == 1
    assert vmm.record()["reason"] == "launch-failed"


def test_first_message_must_be_launch(vmm):
    with pytest.raises(Refused, match="must be \"launch\""):
        vmm.request("status")
    assert vmm.wait(60) == 1


def test_root_is_refused(build_dir):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        r = subprocess.run([build_dir / "vmm/viaduct-vmm", "--fd", str(theirs.fileno())], text=True,
                           pass_fds=[theirs.fileno()], capture_output=True)
    assert r.returncode == 2 and "refuses to run as root" in r.stderr

# SPDX-License-Identifier: BSD-3-Clause
"""The whole of viaduct-vmm, its sandbox included, on a KVM that does what the guest's command line says
(tests/fake/kvm_kernel.h): from the launch message to the exit record."""

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import daemonkit
import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lab"))
from vmmdrive import NOBODY, Refused, Vmm  # noqa: E402

KERNEL_AT = 0x1000000


class FakeVmm(Vmm):
    """Every device is /dev/null."""

    def spec_fds(self, kernel, initrd=None, devices=(), firmware=None):
        assert firmware is None, "this one boots kernels only"

        def null():
            return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

        fds = [
            ("kvm", null()),
            ("listener", os.dup(self.listener.fileno())),
            ("console", os.dup(self.console_listener.fileno())),
            ("exit_record", os.open(self.record_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)),
            ("console_log", os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)),
            ("kernel", os.open(kernel, os.O_RDONLY | os.O_CLOEXEC)),
        ]
        return fds + [("container", null())] * bool(devices) + [
            (f"group:{group}", null()) for group in sorted({d["group"] for d in devices})]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The least that is a PVH kernel."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen", KERNEL_AT)
    code = bytes(16)
    head = 64 + 2 * 56
    ident = b"\x7fELF\2\1\1" + bytes(9)
    ehdr = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    phdrs = struct.pack("<IIQQQQQQ", 4, 0, head, 0, 0, len(note), len(note), 4)
    phdrs += struct.pack("<IIQQQQQQ", 1, 0, head + len(note), 0, KERNEL_AT, len(code), len(code), 4)
    path = tmp_path_factory.mktemp("kernel") / "vmlinux"
    path.write_bytes(ehdr + phdrs + note + code)
    return path


@pytest.fixture
def vmm(build_dir, monkeypatch):
    # The leak checker makes system calls that the sandbox kills for.
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    uid = NOBODY if os.geteuid() == 0 else 0  # 0: whoever runs the tests
    with FakeVmm(str(build_dir / "tests/viaduct-vmm-fake-kvm"), uid) as vmm:
        yield vmm


def launch(vmm, kernel, cmdline, **more):
    return vmm.launch(vmm.spec(64, cmdline=cmdline, **more), kernel)


def end_of(vmm, status=0):
    """The exit record of a VMM that ends by itself."""
    assert vmm.wait(daemonkit.PATIENCE_S) == status
    record = vmm.record()
    assert record["v"] == 1 and record["name"] == "t1" and record["uptime_ns"] > 0
    assert abs(record["wall_time"] - time.time()) < 60
    return record


@pytest.mark.parametrize("cmdline, reason, text, status", [
    ("off", "poweroff", "the guest powered off", 0),
    ("out@604=2000*1 off", "poweroff", "the guest powered itself off", 0),
    ("triple | reboot | off", "poweroff", "the guest powered off", 0),
    ("refused", "internal-error", "vCPU 0: the CPU refused to enter the guest: invalid guest state (0x80000021)", 1),
    ("1:internal", "internal-error", "vCPU 1: KVM cannot emulate the guest's instruction (at 0x0)", 1),
])
def test_guest_ends(vmm, kernel, cmdline, reason, text, status):
    launched = launch(vmm, kernel, cmdline, cpus=2)
    assert launched["state"] == "running" and launched["vcpus"] == 2
    assert launched["memory"] == 64 << 20 and launched["pid"] == vmm.process.pid
    assert [step["step"] for step in launched["start"]][-1] == "entry"
    record = end_of(vmm, status)
    assert record["reason"] == reason and record["text"].startswith(text), record


def test_control(vmm, kernel):
    launch(vmm, kernel, "hlt hlt in@3fd")
    with vmm.connect() as other:
        assert vmm.request("status", other)["state"] == "running"
        assert vmm.request("pause", other)["state"] == "paused"
        for op, code in (("pause", "paused"), ("shutdown", "is paused and cannot see its power button")):
            with pytest.raises(Refused, match=code):
                vmm.request(op)
        assert vmm.request("resume")["state"] == "running"
        with pytest.raises(Refused, match="unknown request"):
            vmm.request("reboot", other)
        assert vmm.request("shutdown", other) == {}
        status = vmm.request("status", other)
        assert status["exits"]["hlt"] == 2 and status["exits"]["io"] == 1
        assert vmm.request("kill", other) == {}
    assert end_of(vmm)["reason"] == "killed"


def test_control_takes_what_it_can_and_drops_the_rest(vmm, kernel):
    launch(vmm, kernel, "hlt")
    with vmm.connect() as bad:
        for garbage in (b"{", b"[]", b"\xff" * 100, b'{"v":1,"op":"status","op":"kill"}'):
            bad.sendall(garbage)
            with pytest.raises(Refused, match="no JSON object"):
                vmm.reply(bad)
        bad.sendall(b'{"v":1,"op":"' + b"a" * 70000 + b'"}')
        with pytest.raises((Refused, ConnectionResetError)):
            vmm.reply(bad)
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(vmm.connect()) for _ in range(16)]
        answers = []
        for sock in many:
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(json.dumps({"v": 1, "op": "status"}).encode())
            try:
                answers.append(vmm.reply(sock)["state"])
            except Refused as e:
                answers.append(e.error["text"])
        assert answers.count("running") == 7  # the launch socket is the eighth
        assert set(answers) == {"running", "too many control connections"}
    # Their places are free again, and a client that takes no replies costs only itself.
    with vmm.connect() as deaf:
        deaf.setblocking(False)
        with pytest.raises((BlockingIOError, BrokenPipeError, ConnectionResetError)):
            while True:
                deaf.send(b'{"v":1,"op":"status"}')
    assert vmm.request("status")["state"] == "running"


def test_who_is_refused_hears_why(vmm, kernel):
    """Though it has asked by then."""
    launch(vmm, kernel, "hlt")
    with contextlib.ExitStack() as stack:
        for _ in range(7):
            assert vmm.request("status", stack.enter_context(vmm.connect()))["state"] == "running"
        vmm.process.send_signal(signal.SIGSTOP)
        late = stack.enter_context(vmm.connect())
        late.sendall(b'{"v":1,"op":"status"}')
        vmm.process.send_signal(signal.SIGCONT)
        closed = select.poll()
        closed.register(late, 0)
        assert closed.poll(daemonkit.PATIENCE_S * 1000)
        with pytest.raises(Refused, match="too many control connections"):
            vmm.reply(late)


def test_console_and_its_log(vmm, kernel):
    """The words reach COM1's transmitter; the log has them, and who connects later sees them, too."""
    text = "Hello"
    launch(vmm, kernel, " ".join(f"out@3f8={ord(c):x}" for c in text))
    console = vmm.console()
    assert console.wait(text, 20)
    log = pathlib.Path(vmm.log_path)  # clients come first
    assert daemonkit.eventually(lambda: log.read_text(encoding="ascii") == text), log.read_text()
    assert vmm.request("status")["console_bytes"] == len(text)
    vmm.request("kill")
    assert end_of(vmm)["reason"] == "killed"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it_in_order(vmm, kernel, sig):
    launch(vmm, kernel, "hlt")
    vmm.process.send_signal(sig)
    record = end_of(vmm)
    assert record["reason"] == "signal" and re.fullmatch(rf"ended by signal {int(sig)} from process \d+ of uid \d+", record["text"])


def test_crash_leaves_a_record(vmm, kernel):
    launch(vmm, kernel, "hlt")
    vmm.process.send_signal(signal.SIGSEGV)
    record = end_of(vmm, -signal.SIGSEGV)
    assert record["reason"] == "signal" and "signal 11" in record["text"]


@pytest.mark.parametrize("body, spec, words", [
    ({"v": 2}, {}, "message version 2"),
    ({"op": "status"}, {}, 'the first message must be "launch"'),
    ({}, {"name": "../x"}, "is no name for a VM"),
    ({}, {"cpus": {"count": 0}}, "count of 0 vCPUs"),
    ({}, {"cpus": {"count": 255}}, "must be 1 to 254"),
    ({}, {"cpus": {"count": 2, "pin": [1]}}, "1 host CPUs for 2 vCPUs"),
    ({}, {"cpus": {"count": 1, "pin": [-1]}}, "no host CPU"),
    ({}, {"cpus": {"count": 1, "pin": [1023]}}, "cannot run on host CPU 1023"),
    ({}, {"memory": {"size": 1 << 20}}, "must be 64 MiB to"),
    ({}, {"memory": {"size": 64 << 20, "hugepage": 4096}}, "hugepages of 4096 bytes"),
    ({}, {"memory": {"size": 64 << 20, "low_limit": 1}}, "low_limit of 1 bytes"),
    ({}, {"boot": {"cmdline": "x" * 2048}}, "cmdline is longer"),
    ({}, {"tapes": []}, "tapes"),
    ({}, {"disks": [{"disk": "root"}]}, 'fd "disk:root" is missing'),
    ({}, {"devices": [{"port": "wan", "address": "0000:01:10.0", "group": 7}]}, 'fd "group:7" is missing'),
    ({}, {"devices": [{"port": "wan", "address": "01:10", "group": 7}]}, "is no PCI address"),
    ({}, {"devices": [{"port": "", "address": "0000:01:10.0", "group": 7}]}, "is no name"),
], ids=range(17))
def test_refused_launch(vmm, kernel, body, spec, words):
    fds = vmm.spec_fds(kernel)
    try:
        vmm.send_launch({**vmm.spec(64), **spec}, fds, **body)
    finally:
        for _, fd in fds:
            os.close(fd)
    with pytest.raises(Refused) as refused:
        vmm.reply(vmm.launch_sock, 60)
    assert words in refused.value.error["text"]
    assert vmm.wait(daemonkit.PATIENCE_S) == 1


def test_device_that_is_none(vmm, kernel):
    """A group that is not VFIO's: refused with the port's group, and the exit record says the same."""
    devices = [{"port": p, "address": f"0000:01:10.{n}", "group": 7} for n, p in enumerate("ab")]
    with pytest.raises(Refused, match="VFIO|group 7") as refused:
        vmm.launch(vmm.spec(64, devices=devices), kernel)
    assert vmm.wait(daemonkit.PATIENCE_S) == 1
    record = vmm.record()
    assert record["reason"] == "launch-failed" and record["text"] == refused.value.error["text"]


def test_daemon_that_goes_away_before_the_launch(vmm):
    vmm.launch_sock.shutdown(socket.SHUT_RDWR)
    assert vmm.wait(daemonkit.PATIENCE_S) == 1


@pytest.mark.parametrize("args, words", [
    ([], "not meant to be started by hand"), (["--fd", "2"], "--fd takes a number from 3 on"),
    (["--fd", "x"], "--fd takes a number"), (["--fd", "900"], "is no socket"),
    (["--nonsense"], "unknown option"), (["--help"], "one virtual machine"),
    (["file"], "takes no arguments"),
])
def test_started_by_hand(program, args, words):
    done = subprocess.run([program("viaduct-vmm"), *args], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2 and words in done.stderr and "viaduct vm run FILE" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be refused as root")
def test_refuses_to_be_root(program):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        done = subprocess.run([program("viaduct-vmm"), "--fd", str(theirs.fileno())],
                              pass_fds=[theirs.fileno()], capture_output=True, text=True,
                              timeout=60, check=False)
    assert done.returncode == 2 and "refuses to run as root" in done.stderr


def test_version_and_kvm_probe(program, build_dir):
    run = {"capture_output": True, "text": True, "timeout": 60, "check": False}
    assert subprocess.run([program("viaduct-vmm"), "--version"], **run).stdout.startswith("viaduct-vmm ")
    done = subprocess.run([program("viaduct-vmm"), "--check-kvm"], **run)
    answer = json.loads(done.stdout)
    assert answer["detail"] and done.returncode == (0 if answer["usable"] else 1)

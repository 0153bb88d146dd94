# SPDX-License-Identifier: BSD-3-Clause
"""What systemd and viaductd say to each other, without systemd: NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS, the unit files."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import daemonkit
import pytest

USEC = 600_000


@pytest.fixture
def notify(stopped_daemon, short_tmp):
    """A daemon, not started, whose words come out of notify()."""
    daemonkit.setup(stopped_daemon, short_tmp)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(short_tmp / "notify"))
        stopped_daemon.env["NOTIFY_SOCKET"] = str(short_tmp / "notify")

        def receive(seconds=daemonkit.PATIENCE_S):
            s.settimeout(seconds)
            with contextlib.suppress(TimeoutError):
                return dict(line.split("=", 1) for line in s.recv(4096).decode().splitlines())
            return None

        yield stopped_daemon, receive


def test_it_says_its_version(program):
    done = subprocess.run([program("viaductd"), "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.startswith("viaductd ")


def test_ready_and_stopping(notify, short_tmp):
    daemon, receive = notify
    daemon.start()
    said = receive()
    assert said["READY"] == "1" and said["STATUS"].startswith("0 VMs run")
    assert daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})[0] == 200
    said = receive()
    assert said["STATUS"].startswith("1 VMs run") and "WATCHDOG" not in said
    assert daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    assert daemon.stop() == 0
    while (said := receive()) and "STOPPING" not in said:
        pass
    assert said["STOPPING"] == "1"


def test_not_ready_with_a_wrong_configuration(notify):
    daemon, receive = notify
    daemon.config.write_text("colour: red\n")
    done = subprocess.run([daemon.program("viaductd"), "--config", str(daemon.config), *daemon.args], env=daemon.env,
                          capture_output=True, check=False)
    assert done.returncode == 1 and receive(0.2) is None


def test_the_watchdog_hears_of_a_daemon_that_gets_on(notify, short_tmp):
    daemon, receive = notify
    daemon.env["WATCHDOG_USEC"] = str(USEC)
    daemon.start()
    assert receive()["READY"] == "1"
    begin, pings = time.monotonic(), 0
    while pings < 6:
        pings += receive().get("WATCHDOG") == "1"
    assert time.monotonic() - begin < daemonkit.PATIENCE_S
    daemon.proc.send_signal(signal.SIGSTOP)
    while receive(0.1):
        pass
    assert receive(2 * USEC / 1e6) is None
    daemon.proc.send_signal(signal.SIGCONT)
    assert receive()["WATCHDOG"] == "1"


def test_another_process_watchdog_is_not_ours(notify):
    daemon, receive = notify
    daemon.env |= {"WATCHDOG_USEC": str(USEC), "WATCHDOG_PID": "1"}
    daemon.start()
    assert receive()["READY"] == "1"
    assert receive(2) is None


@pytest.fixture
def activated(stopped_daemon, short_tmp):
    """activated(kind, count): a daemon that is handed that socket as file descriptor 3."""
    daemonkit.setup(stopped_daemon, short_tmp)
    with contextlib.ExitStack() as stack:
        def start(kind=socket.SOCK_STREAM, count=1):
            s = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            s.bind(str(stopped_daemon.socket))
            s.listen(8)
            command = ['exec 3<&$0; LISTEN_PID=$$ LISTEN_FDS=$1; export LISTEN_PID LISTEN_FDS; shift; exec "$@"']
            args = [stopped_daemon.program("viaductd"), "--run-dir", stopped_daemon.run_dir, "--state-dir", stopped_daemon.state_dir]
            with open(stopped_daemon.log, "ab") as log:
                stopped_daemon.proc = subprocess.Popen(
                    ["/bin/bash", "-c", *command, str(s.fileno()), str(count), *map(str, args), *stopped_daemon.args],
                    pass_fds=[s.fileno()], env=stopped_daemon.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            return stopped_daemon

        yield start


def test_socket_activation(activated, short_tmp):
    daemon = activated()
    # Asked before it is ready: the socket waits.
    assert daemon.request("GET", "/v1/version")[1]["pid"] == daemon.proc.pid
    assert daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})[0] == 200
    assert daemon.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    if os.geteuid() == 0:
        short_tmp.chmod(0o755)
        daemon.run_dir.chmod(0o755)
        daemon.socket.chmod(0o666)
        done = subprocess.run(["curl", "-s", "--unix-socket", str(daemon.socket), "-d", "{}", "http://x/v1/vms/vm1/kill"], user=65534,
                              group=65534, extra_groups=[], capture_output=True, text=True, check=True)
        assert '"not-allowed"' in done.stdout and "65534" in done.stdout
    assert daemon.stop() == 0
    assert daemon.socket.exists()  # it is systemd's


def test_a_socket_of_systemd_that_somebody_removes_is_replaced(activated):
    daemon = activated()
    assert daemonkit.eventually(daemon.answers)
    assert daemon.request("GET", "/v1/version")[0] == 200
    shutil.rmtree(daemon.run_dir)
    assert daemonkit.eventually(daemon.answers) and daemon.request("GET", "/v1/version")[1]["pid"] == daemon.proc.pid
    assert daemon.stop() == 0
    assert not daemon.socket.exists()  # it was the daemon's own


@pytest.mark.parametrize("kind, count", [(socket.SOCK_SEQPACKET, 1), (socket.SOCK_STREAM, 2)])
def test_what_is_no_socket_of_ours(activated, kind, count):
    daemon = activated(kind, count)
    assert daemon.proc.wait(daemonkit.PATIENCE_S) == 1 and "socket activation" in daemon.text()
    daemon.proc = None


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_the_units_are_right(build_dir, short_tmp):
    unit = (build_dir / "vf-manager/viaductd.service").read_text()
    unit = "\n".join("ExecStart=/bin/true" if line.startswith("ExecStart=") else line for line in unit.splitlines())
    (short_tmp / "viaductd.service").write_text(unit + "\n")
    shutil.copy(daemonkit.HERE.parents[1] / "vf-manager/dist/viaductd.socket", short_tmp)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(short_tmp / "viaductd.service"), str(short_tmp / "viaductd.socket")],
                          capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "viaductd" in line]
    assert not said, said
    for line in ("ProtectSystem=strict", "ProtectHome=read-only", "ProtectHome=yes"):
        assert line not in unit, "no image of a disk could be opened for writing"
    # 6.9, and what uplinks of kind af-xdp take: CAP_BPF and its address family; and images of disks: files that are written.
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=73", str(short_tmp / "viaductd.service")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-600:]

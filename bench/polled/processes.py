# SPDX-License-Identifier: BSD-3-Clause
"""The processes of the benchmark: the generator, and the backends of the three makes, all with one way to be asked."""

import array
import contextlib
import dataclasses
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time

import figures  # which knows where run is
from run.ends import with_us

START_SECONDS = 60
STOP_SECONDS = 10
MEMORY_MIB = {"gen": 256, "loop": 64, "viaduct": 128, "testpmd": 256, "ovs": 512}


class BenchError(Exception):
    """Its text says what to do next."""


class StartError(BenchError):
    """A case's processes did not come up: another try may do, since memory is everybody's."""


@dataclasses.dataclass
class Place:
    """Where and how processes run."""
    folder: pathlib.Path
    build: pathlib.Path  # viaduct-pmd's
    tools: pathlib.Path  # polled-gen's and polled-loop's
    gen_cpu: int
    backend_cpu: int
    small_pages: bool = False
    enter: tuple = ()  # words before a command, for the network namespace of the run
    wires: dict = dataclasses.field(default_factory=dict)  # backend -> (its end of a cable, the generator's)

    def check(self):
        """BenchError: what every case needs is not there."""
        self.program(self.build, "pmd-backends/viaduct-pmd")
        self.program(self.tools, "bench/polled/polled-gen")

    def program(self, root, name):
        path = root / name
        if not path.exists():
            raise BenchError(f"{path} is not built: scripts/test --build-only release, or VIADUCT_BUILD=DIR")
        return str(path)

    def pages(self, mib):
        """Options of DPDK."""
        return ["--no-huge" if self.small_pages else "--in-memory", "-m", str(mib), "--no-telemetry", "--no-pci"]


class Process:
    """A child with its log; it dies with stop(), whatever state it is in."""

    def __init__(self, place, name):
        self.place, self.name = place, name
        self.log = place.folder / f"{name}.log"
        self.process = None

    def spawn(self, command, env=None, **options):
        run_dir = self.place.folder / f"{self.name}.run"
        run_dir.mkdir(exist_ok=True)
        env = {**(env or os.environ), "RUNTIME_DIRECTORY": str(run_dir), "XDG_RUNTIME_DIR": str(run_dir),
               # The leak checker traces the process, for which the sandbox kills.
               "ASAN_OPTIONS": "detect_leaks=0"}
        with open(self.log, "ab") as log:  # a signal that comes before the next line has ended leaves nobody to stop it
            self.process = subprocess.Popen([str(word) for word in command], env=env, stderr=log,
                                            **{"stdout": log, "stdin": subprocess.DEVNULL, "start_new_session": True,
                                               "preexec_fn": with_us(signal.SIGKILL), **options})

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def fail(self, what):
        raise BenchError(f"{self.name}: {what}; its log:\n" + "\n".join(self.text().splitlines()[-15:]))

    def check(self):
        if self.process is not None and self.process.poll() is not None:
            self.fail(f"has ended with {self.process.returncode}")

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.check()
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.process = None

    def wait_for(self, what, condition, seconds=START_SECONDS):
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            self.check()
            if time.monotonic() > deadline:
                self.fail(f"{what}: not in {seconds} s")
            time.sleep(0.02)


class Asked(Process):
    """It does what its standard input says, one JSON object a line, and answers each with one."""

    def ask(self, op, **members):
        try:
            self.process.stdin.write(json.dumps({"op": op, **members}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait()
            self.check()
        for line in self.process.stdout:
            if line.startswith("{"):
                break
        else:
            self.process.wait()
            self.fail("has ended")
        reply = json.loads(line)
        if not reply["ok"]:
            self.fail(f"{op} {members}: {reply['text']}")
        return reply


class Generator(Asked):
    """polled-gen."""

    def __init__(self, place):
        super().__init__(place, "gen")
        self.hz = 0  # of the cycles, as DPDK measured it

    def start(self, size):
        p = self.place
        self.spawn([*p.enter, p.program(p.tools, "bench/polled/polled-gen"), "--lcores", f"0@{p.gen_cpu}", "--file-prefix",
                    f"bench-gen-{os.getpid()}", "--log-level", "lib.eal:error", *p.pages(MEMORY_MIB["gen"]),
                    *([] if p.small_pages else ["--single-file-segments"])],
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hz = self.ask("sizes", sizes=size)["hz"]


class Backend(Process):
    """paths: sockets of the guests' ports, where the generator listens."""

    def __init__(self, place, name):
        super().__init__(place, name)
        self.paths = []

    @staticmethod
    def version():
        """Its version, if it is known by other than this tree's; BenchError: it cannot be had."""
        return ""

    def start(self, case, guests):
        raise NotImplementedError

    def is_ready(self):
        return True

    def read(self):
        """Busy cycles so far; None: not counted."""
        return None

    def wrapped(self, command):
        """In the network namespace of the run, if there is one."""
        return [*self.place.enter, *command]

    def uplink_devices(self, case):
        """(name, arguments) of DPDK's device on the other side, if the case has one."""
        if case.uplink == "null":
            return [("net_null0", "net_null0,no-rx=1")]
        if case.uplink == "af-xdp":
            return [("net_af_xdp0", f"net_af_xdp0,iface={self.place.wires[self.name][0]}")]
        return []

    def socket_paths(self, guests):
        self.paths = [str(self.place.folder / f"{self.name}{i}") for i in range(guests)]
        return self.paths


class Viaduct(Backend):
    """viaduct-pmd, told by its contract (pmd-backends/pmd_msg.h) what viaductd would tell it."""

    def __init__(self, place):
        super().__init__(place, "viaduct")
        self.control = None

    def start(self, case, guests):
        p = self.place
        program = p.program(p.build, "pmd-backends/viaduct-pmd")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.spawn(self.wrapped(["bash", "-c", f'exec 3<&{theirs.fileno()} && exec "$0" --fd 3', program]),
                       pass_fds=(theirs.fileno(),))
        self.control = ours
        ours.settimeout(START_SECONDS)
        spec = {"name": f"bench{os.getpid()}", "cpus": [p.backend_cpu], "memory": MEMORY_MIB["viaduct"] << 20,
                "hugepages": not p.small_pages, "idle": "poll", "guest_uid": [os.getuid(), 1]}
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with listener:
            path = p.folder / "viaduct.control"
            listener.bind(str(path))
            listener.listen(4)
            self.exchange({"v": 1, "op": "launch", "fds": ["listener"], "spec": spec}, listener.fileno())
        ours.close()
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(START_SECONDS)
        self.control.connect(str(path))
        self.add_ports(case, guests)

    def add_ports(self, case, guests):
        uplinks = [name for name, _ in self.uplink_devices(case)]
        for name in uplinks:
            device = "" if case.uplink == "null" else self.place.wires[self.name][0]
            self.call("uplink-add", name=name, kind=case.uplink, device=device)
        self.call("network-add", name="lan", uplinks=uplinks, bond="none")
        receivers = {to for _, to in case.flows()}
        for i, path in enumerate(self.socket_paths(guests)):
            policy = {"mac": mac(i), "trust": "none", "spoofchk": True}
            if case.macs > 1 and i in receivers:
                policy.update(trust="promisc", spoofchk=False)
            self.call("port-add", port=f"vm{i}/lan", network="lan", socket=path, policy=policy)

    def exchange(self, body, *fds):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.control.sendmsg([json.dumps(body).encode()], extra)
            data = self.control.recv(1 << 20)
        except ConnectionError:
            data = b""
        except OSError as e:
            self.fail(f"{body['op']}: {e}")
        if not data:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
            self.check()
            self.fail(f"{body['op']}: has hung up")
        reply = json.loads(data)
        if not reply["ok"]:
            self.fail(f"{body['op']}: {reply['error']['text']}; {reply['error'].get('hint', '')}")
        return reply["result"]

    def call(self, op, **members):
        return self.exchange({"v": 1, "op": op, **members})

    def is_ready(self):
        return all(port["state"] == "running" for port in self.call("status")["ports"])

    def read(self):
        return figures.viaduct_cycles(self.call("stats"))

    def stop(self):
        if self.control is not None:
            self.control.close()
            self.control = None
        super().stop()


class Testpmd(Backend):
    """dpdk-testpmd with the vhost PMD: what comes into one port goes out of the other, unseen."""

    def __init__(self, place):
        super().__init__(place, "testpmd")

    @staticmethod
    def version():
        if not shutil.which("dpdk-testpmd"):
            raise BenchError("dpdk-testpmd is not installed: scripts/setup")
        return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "dpdk"], capture_output=True, text=True,
                              check=False).stdout.strip()

    def start(self, case, guests):
        p = self.place
        devices = [f"--vdev=net_vhost{i},iface={path},queues=1,client=1" for i, path in enumerate(self.socket_paths(guests))]
        devices += [f"--vdev={args}" for _, args in self.uplink_devices(case)]
        self.spawn(self.wrapped(["stdbuf", "-o0", "dpdk-testpmd", "--lcores", f"0@{p.gen_cpu},1@{p.backend_cpu}", "--file-prefix",
                    f"bench-testpmd-{os.getpid()}", *p.pages(MEMORY_MIB["testpmd"]), *devices, "--", "-i", "--auto-start",
                    "--record-core-cycles", "--forward-mode=io", "--total-num-mbufs=32768"]),
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.until(b"testpmd> ", START_SECONDS)

    def until(self, mark, seconds):
        """What it printed, until there is `mark`."""
        text, deadline = b"", time.monotonic() + seconds
        while mark not in text:
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                self.fail(f"says no {mark.decode()!r} but {text[-500:].decode(errors='replace')!r}")
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                self.process.wait(STOP_SECONDS)
                self.check()
            text += got
        with open(self.log, "ab") as log:
            log.write(text)
        return text.decode(errors="replace")

    def ask(self, *lines):
        """What it says to these lines. The prompt tells no answer's end: links' news comes between."""
        mark = f"end-of-answer-{time.monotonic_ns()}"
        for line in (*lines, mark):
            self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.until(b"Command not found", STOP_SECONDS)

    def is_ready(self):
        return self.ask("show port summary all").count(" up") >= len(self.paths)

    def read(self):
        cycles = figures.testpmd_cycles(self.ask("show fwd stats all"))
        return 0 if cycles is None else cycles


class Loop(Backend):
    """polled-loop, for the generator's own ceiling."""

    def __init__(self, place):
        super().__init__(place, figures.CEILING)

    def start(self, case, guests):
        p = self.place
        self.spawn([p.program(p.tools, "bench/polled/polled-loop"), "--lcores", f"0@{p.gen_cpu},1@{p.backend_cpu}",
                    "--file-prefix", f"bench-loop-{os.getpid()}", *p.pages(MEMORY_MIB["loop"]), "--", *self.socket_paths(guests)])

    def is_ready(self):
        return all(f"ready {path}\n" in self.text() for path in self.paths)


def mac(index):
    """As packet_mac() of packet.h."""
    return f"02:00:{index + 1:02x}:00:00:00"

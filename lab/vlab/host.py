# SPDX-License-Identifier: BSD-3-Clause
"""One run of the virtual host: makes its folder, starts the emulator, waits, cleans up.

Events (status lines, end of the emulator, signals) meet in one queue, read by the main thread. The
emulator dies with this process, whatever kills it.
"""

import ctypes
import os
import queue
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

from vlab import LabError, control, emulator, job, machine
from vlab.cache import LAB_DIR, Cache
from vlab.disk import Disk
from vlab.qmp import Qmp
from vlab.streams import OutputRelay, read_lines

EXIT_TIMEOUT = 124
EXIT_HOST_FAILED = 125
DISK_BYTES = 64 << 20
TAIL_LINES = 60
# The processor model has features that pure emulation lacks: known, and said for each of them.
NOISE = re.compile(r"TCG doesn't support requested feature|hub 1 is not connected")
PR_SET_PDEATHSIG = 1


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def runs_dir():
    """Folder that holds one folder for each running host, where lab/ctl finds them."""
    return os.path.join(tempfile.gettempdir(), f"viaduct-lab-{os.getuid()}")


def boot_and_run(options):
    """A host that did not come up has done nothing yet (the emulator now and then loses a timer's interrupt
    while it boots, or aborts): it is booted once more."""
    host = Host(options)
    status = host.run()
    if host.failed_to_boot and options.boots > 1:
        say("booting it once more")
        status = Host(options).run()
    return status


class Host:
    def __init__(self, options):
        self.options = options
        self.events = queue.SimpleQueue()
        self.process = None
        self.dir = None
        self.sockets = {}
        self.scratch_is_default = False
        self.mark = secrets.token_hex(16)
        self.relays = []
        self.started = None
        self.failed_to_boot = False

    def run(self):
        """Boot, run the command, return its exit status or 124, 125, 128 + signal."""
        try:
            for warning in machine.check(self.options):
                say(f"warning: {warning}")
            cache = Cache(self.options.kernel)
            cache.ensure(say=say)
            self._make_folders()
            self._catch_signals()
            self._start(cache)
            return self._wait()
        except LabError as e:
            say(str(e))
            return EXIT_HOST_FAILED
        finally:
            self._clean_up()

    def _make_folders(self):
        base = runs_dir()
        os.makedirs(base, mode=0o700, exist_ok=True)
        if os.stat(base, follow_symlinks=False).st_uid != os.getuid():
            raise LabError(f"{base} belongs to another user; remove it or set TMPDIR")
        for name in os.listdir(base):
            if not os.path.exists(f"/proc/{name}") or name == str(os.getpid()):
                shutil.rmtree(os.path.join(base, name), ignore_errors=True)  # left by a killed run
        self.dir = os.path.join(base, str(os.getpid()))
        os.mkdir(self.dir, 0o700)
        scratch = self.options.scratch
        if not scratch:
            self.scratch_is_default = True
            scratch = os.path.join(os.path.dirname(LAB_DIR), "build", "lab",
                                   f"scratch-{os.getpid()}")
        try:
            os.makedirs(scratch, exist_ok=True)
        except OSError as e:
            raise LabError(f"scratch folder {scratch}: {e.strerror}; give one: --scratch DIR") from e
        self.scratch = os.path.realpath(scratch)

    def _path(self, name):
        return os.path.join(self.dir, name)

    def _catch_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, frame: self.events.put(("signal", n)))
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def _start(self, cache):
        names = ["qmp", "status", "ctl"]
        names += ["terminal"] if self.options.terminal else ["stdout", "stderr"]
        theirs = {}
        for name in names:
            self.sockets[name], theirs[name] = socket.socketpair()
        self._write_initrd(cache)
        with open(self._path("disk"), "wb") as f:
            f.truncate(DISK_BYTES)
        files = SimpleNamespace(cache=cache, initrd=self._path("initrd"), disk=self._path("disk"),
                                state=self._path("state"),
                                console=self._path("console"), scratch=self.scratch,
                                fds={name: s.fileno() for name, s in theirs.items()})
        if self.options.disk:
            Disk(self.options.disk).serve(self._path("state"))
        libc = ctypes.CDLL(None)
        with open(self._path("emulator"), "wb") as log:
            self.process = subprocess.Popen(
                machine.arguments(self.options, files), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, pass_fds=list(files.fds.values()), start_new_session=True, env=self._environment(),
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        for sock in theirs.values():
            sock.close()
        self._watch()

    def _environment(self):
        environment = dict(os.environ)
        library = None
        if machine.emulates(self.options):
            library = emulator.ensure(Cache().dir, machine.QEMU, machine.qemu_version(), say)
        if library:
            environment["VIADUCT_LAB_TURN_NS"] = str(self.options.turn)
            environment["LD_PRELOAD"] = " ".join([library, *environment.get("LD_PRELOAD", "").split()])
        return environment

    def _write_initrd(self, cache):
        extra = {"VIADUCT_LAB": "1", "VIADUCT_LAB_SCRATCH": self.scratch,
                 "VIADUCT_LAB_RUN": str(os.getpid())}
        size = shutil.get_terminal_size()
        config = {"LAB_MODE": "terminal" if self.options.terminal else "streams",
                  "LAB_MARK": self.mark, "LAB_SCRATCH": self.scratch,
                  "LAB_MODULES": cache.kernel().modules_dir,
                  "LAB_PORTS": " ".join(machine.port_addresses(self.options)),
                  "LAB_CHANNELS": " ".join(n for n in self.sockets if n not in ("qmp", "terminal")),
                  "LAB_SYSTEMD": "yes" if self.options.systemd else "",
                  "LAB_ROWS": size.lines, "LAB_COLS": size.columns}
        script = job.job_script(self.options.command, os.getcwd(), job.environment(extra))
        with open(self._path("initrd"), "wb") as out, open(cache.host_cpio, "rb") as base:
            shutil.copyfileobj(base, out)
            out.write(job.job_archive(script, config))

    def _watch(self):
        qmp = Qmp(self.sockets["qmp"])
        control.serve_port(self.sockets["ctl"], qmp)
        control.serve_socket(self._path("ctl.sock"), qmp)
        read_lines(self.sockets["status"], lambda line: self.events.put(("status", line)))
        mark = b"\0" + self.mark.encode() + b"\0"
        for name, fd in (("stdout", 1), ("stderr", 2)):
            if name in self.sockets:
                self.relays.append(OutputRelay(self.sockets[name], fd, mark))

        def wait():
            self.events.put(("emulator", self.process.wait()))
        threading.Thread(target=wait, daemon=True).start()

    def _wait(self):
        deadline = time.monotonic() + self.options.boot_timeout
        stands_still = threading.TIMEOUT_MAX
        while True:
            try:
                until = min(deadline, stands_still)
                kind, value = self.events.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                if stands_still < deadline:
                    return self._host_failed(f"the virtual host gave no sign of life for "
                                             f"{self.options.life_timeout:g} s")
                return self._timed_out()
            if kind == "signal":
                return 128 + value
            if kind == "emulator":
                return self._host_failed(f"the virtual host ended {_ending(value)} " +
                                         ("while the command ran" if self.started else
                                          "before the command started"))
            if value == "started":
                self.started = time.monotonic()
                limit = self.options.timeout
                deadline = self.started + limit if limit else threading.TIMEOUT_MAX
                if self.options.on_started:
                    self.options.on_started(self)
            if kind == "status" and self.started:
                stands_still = time.monotonic() + self.options.life_timeout
            if value and value.startswith("exit "):
                for relay in self.relays:
                    relay.wait(10)
                return int(value.split()[1])

    def _timed_out(self):
        if self.started is None:
            return self._host_failed(f"the virtual host was not up after "
                                     f"{self.options.boot_timeout:g} s")
        say(f"command still running after {self.options.timeout:g} s, host killed")
        return EXIT_TIMEOUT

    def _host_failed(self, why):
        self.failed_to_boot = self.started is None
        for relay in self.relays:
            relay.wait(1)
        say(why)
        for name in ("emulator", "console"):
            tail = _tail(self._path(name))
            if tail:
                say(f"end of the {name}'s output:\n{tail}")
        return EXIT_HOST_FAILED

    def _clean_up(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        for relay in self.relays:
            relay.wait(1)
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
        if self.scratch_is_default:
            try:
                os.rmdir(self.scratch)
            except OSError:
                pass  # Something was left there to be read.


def _ending(status):
    if status < 0:
        return f"by signal {signal.Signals(-status).name}"
    return f"with status {status}"


def _tail(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read().replace("\r", "").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if not NOISE.search(line)][-TAIL_LINES:])

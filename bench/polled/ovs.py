# SPDX-License-Identifier: BSD-3-Clause
"""OVS with DPDK, action NORMAL: its daemons with sockets and a database of their own. Installed on the machine or not."""

import os
import pathlib
import re
import shutil
import subprocess

import figures
from processes import MEMORY_MIB, STOP_SECONDS, Backend, BenchError, Process, mac

PACKAGES = ("openvswitch-switch-dpdk", "openvswitch-switch", "openvswitch-common")
LIBRARIES = {"libunbound.so.8": "libunbound8", "libevent-2.1.so.7": "libevent-2.1-7"}
PROGRAMS = {"vswitchd": "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk", "server": "usr/sbin/ovsdb-server",
            "tool": "usr/bin/ovsdb-tool", "vsctl": "usr/bin/ovs-vsctl", "appctl": "usr/bin/ovs-appctl",
            "schema": "usr/share/openvswitch/vswitch.ovsschema"}
CALL_SECONDS = 60


def cache():
    return pathlib.Path(os.environ.get("VIADUCT_CACHE_DIR", "/var/cache/viaduct")) / "ovs"


def has_all(root):
    return all((root / path).exists() for path in PROGRAMS.values())


def fetch(root, packages):
    """Packages, taken apart below root: nothing is installed."""
    root.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["apt-get", "-q", "download", *packages], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"OVS could not be fetched: apt-get download {' '.join(packages)}: {done.stderr.strip()[-300:]}; "
                         "apt-get update, or install openvswitch-switch-dpdk")
    for package in root.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        package.unlink()


def missing_libraries(root, env):
    found = subprocess.run(["ldd", root / PROGRAMS["vswitchd"]], capture_output=True, text=True, check=False, env=env)
    return re.findall(r"(\S+) => not found", found.stdout)


def find():
    """(folder of the programs, environment). Fetches them into the cache, if they are not installed."""
    if has_all(pathlib.Path("/")):
        return pathlib.Path("/"), dict(os.environ)
    root = cache()
    env = {**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/{os.uname().machine}-linux-gnu"}
    try:
        if not has_all(root):
            fetch(root, PACKAGES)
        missing = missing_libraries(root, env)
        if missing and set(missing) <= set(LIBRARIES):
            fetch(root, [LIBRARIES[name] for name in missing])
            missing = missing_libraries(root, env)
    except OSError as e:
        raise BenchError(f"OVS could not be fetched: {e}; run as root, or set VIADUCT_CACHE_DIR to a folder of your own") from e
    if missing:
        raise BenchError(f"OVS lacks {', '.join(missing)}: install openvswitch-switch-dpdk")
    return root, env


class Ovs(Backend):
    def __init__(self, place):
        super().__init__(place, "ovs")
        self.root, self.env = find()
        self.server = Process(place, "ovsdb")
        self.db = f"unix:{place.folder}/ovsdb.sock"
        self.control = place.folder / "ovs.control"
        self.bridge = f"bp{os.getpid()}"

    @staticmethod
    def version():
        root, env = find()
        said = subprocess.run([root / PROGRAMS["vswitchd"], "--version"], capture_output=True, text=True, check=False,
                              env=env).stdout
        return said.splitlines()[0] if said else ""

    def path(self, name):
        return self.root / PROGRAMS[name]

    def run(self, name, *words):
        done = subprocess.run([self.path(name), *map(str, words)], capture_output=True, text=True, check=False, env=self.env,
                              timeout=CALL_SECONDS)
        if done.returncode:
            self.fail(f"{name} {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def vsctl(self, *words):
        return self.run("vsctl", f"--db={self.db}", f"--timeout={CALL_SECONDS // 2}", *words)

    def start_server(self):
        folder = self.place.folder
        self.run("tool", "create", folder / "ovs.db", self.path("schema"))
        self.server.spawn([self.path("server"), folder / "ovs.db", f"--remote=p{self.db}", f"--unixctl={folder}/ovsdb.control"],
                          env=self.env)
        self.server.wait_for("no socket", (folder / "ovsdb.sock").exists)

    def start(self, case, guests):
        p = self.place
        self.start_server()
        extra = " ".join(p.pages(MEMORY_MIB["ovs"])[:1] + ["--no-pci", "--no-telemetry", f"--file-prefix=bench-ovs-{os.getpid()}"])
        if p.small_pages:
            extra += f" -m {MEMORY_MIB['ovs']}"
        memory = [] if p.small_pages else [f"other_config:dpdk-socket-mem={MEMORY_MIB['ovs']}",
                                           f"other_config:dpdk-socket-limit={MEMORY_MIB['ovs']}"]
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   f"other_config:dpdk-extra={extra}", f"other_config:dpdk-lcore-mask={1 << p.gen_cpu:#x}",
                   f"other_config:pmd-cpu-mask={1 << p.backend_cpu:#x}", *memory)
        self.spawn(self.wrapped([self.path("vswitchd"), self.db, f"--unixctl={self.control}"]), env=self.env)
        self.wait_for("no control socket", self.control.exists)
        self.vsctl("add-br", self.bridge, "--", "set", "bridge", self.bridge, "datapath_type=netdev")
        for i, path in enumerate(self.socket_paths(guests)):
            self.vsctl("add-port", self.bridge, f"v{i}", "--", "set", "Interface", f"v{i}", "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={path}")
        for i, (_, args) in enumerate(self.uplink_devices(case)):
            self.vsctl("add-port", self.bridge, f"u{i}", "--", "set", "Interface", f"u{i}", "type=dpdk",
                       f"options:dpdk-devargs={args}")
        if case.uplink == "null":
            # From where nothing comes nothing is learned; frames to there are not to be flooded.
            self.run("appctl", "-t", self.control, "fdb/add", self.bridge, "u0", "0", mac(guests))

    def is_ready(self):
        return all(self.vsctl("get", "Interface", f"v{i}", "link_state").strip() == "up" for i in range(len(self.paths)))

    def read(self):
        return figures.ovs_cycles(self.run("appctl", "-t", self.control, "dpif-netdev/pmd-stats-show"))

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            # By its own way out, which takes its bridge's device away.
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        super().stop()
        self.server.stop()
        if shutil.which("ip"):
            subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)

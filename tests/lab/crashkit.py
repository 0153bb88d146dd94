# SPDX-License-Identifier: BSD-3-Clause
"""viaductd killed at a system call of an operation, and ledger and machine read apart from each other.

strace counts the calls that change something, each kind and each thread of the daemon on its own, and sends
SIGKILL at the entry of the n-th: the call itself does not happen any more."""

import collections
import dataclasses
import json
import pathlib
import re
import subprocess
import tempfile
import time

from labkit import SYSFS, OperateError, pvh_kernel, vmfile
from operate import api

CALLS = "write,pwrite64,writev,fdatasync,fsync,sendto,sendmsg,clone,clone3,vfork,unlink,unlinkat,mkdir,mkdirat,rename,ioctl"
# Where a call goes, by how strace prints its file.
PLACES = {
    "ledger": r"state\.db",
    "sysfs": r"</sys/",
    "netlink": r"<NETLINK:",
    "process": r"\b(clone3?|vfork)\(",
    "answer": r"<UNIX-STREAM:",
}
VM = "storm"
IMAGE = "storm.img"  # of the VM's disk
SLEEPS = b"\xf4\xeb\xfd"  # hlt; jmp to it
LEASE_MAC = "02:00:00:00:0c:01"
TRACED = re.compile(r"^(\d+) +(?:\d+\.\d+ +)?([a-z0-9_]+\(.*)")


class Trace:
    """The daemon under strace; a context manager. kill_at: (call's name, n), the daemon's last."""

    def __init__(self, daemon, kill_at=None):
        self.daemon = daemon
        self.file = pathlib.Path(tempfile.mkdtemp(prefix="storm-")) / "calls"
        # What the daemon starts is followed to its exec and no further.
        self.argv = ["strace", "-f", "-yy", "-s", "0", "-b", "execve", "-e", f"trace={CALLS}",
                     "-e", "signal=none", "-o", str(self.file), "-p", str(daemon.process.pid)]
        if kill_at:
            self.argv[1:1] = ["-e", f"inject={kill_at[0]}:signal=SIGKILL:when={kill_at[1]}+"]

    def __enter__(self):
        self.strace = subprocess.Popen(self.argv, stderr=subprocess.PIPE, text=True)
        line = self.strace.stderr.readline()
        assert "attached" in line, line
        return self

    def __exit__(self, *exc):
        self.strace.terminate()
        self.strace.communicate(timeout=60)

    def daemon_was_killed(self, answer):
        """answer: of acknowledged(). One that has answered may still come to the call at which it is killed."""
        try:
            return self.daemon.process.wait(60 if answer is None else 3) == -9
        except subprocess.TimeoutExpired:
            return False

    def calls(self):
        """[call] of the thread that made the most."""
        by_thread = collections.defaultdict(list)
        for line in self.file.read_text("utf-8", "replace").splitlines():
            match = TRACED.match(line)
            if match:
                by_thread[match[1]].append(match[2])
        return max(by_thread.values(), key=len, default=[])


def points(calls):
    """[(name, n), place] of each: what Trace takes, and what it is for."""
    seen = collections.Counter()
    found = []
    for call in calls:
        name = call.split("(")[0]
        seen[name] += 1
        found.append(((name, seen[name]), place_of(call)))
    return found


def place_of(call):
    return next((name for name, pattern in PLACES.items() if re.search(pattern, call)), "other")


@dataclasses.dataclass
class State:
    """What there is of one PF."""

    vfs: int = 0  # how many
    lease: bool = False  # whether VF 0 is leased by name
    vlan: int = 0  # of that lease
    vm: bool = False  # whether the VM runs, on VF 1


@dataclasses.dataclass
class Step:
    name: str
    call: tuple  # path and body of a POST
    changes: dict  # of State


def steps(pf, folder, extra=()):
    """The life of two VFs, one leased by name and one in a VM, whose file has these lines, too."""
    kernel = pvh_kernel(folder / "sleeps.elf", SLEEPS)
    file = vmfile.write(folder, VM, [f"name: wan, pf: {pf}"], memory="64M", kernel=kernel, extra=list(extra))
    attrs = {"vlan": 100, "trust": True, "mac": LEASE_MAC}
    return [
        Step("create", (f"/v1/pfs/{pf}/apply", {"vfs": 2}), {"vfs": 2}),
        Step("alloc", ("/v1/vfs/alloc", {"name": "mine", "pf": pf}), {"lease": True}),
        Step("set", ("/v1/vfs/mine/set", attrs), {"vlan": 100}),
        Step("start", ("/v1/vms", api.vm_body(file)), {"vm": True}),
        Step("stop", (f"/v1/vms/{VM}/kill",), {"vm": False}),
        Step("release", ("/v1/vfs/mine/release",), {"lease": False, "vlan": 0}),
        Step("destroy", (f"/v1/pfs/{pf}/apply", {"vfs": 0}), {"vfs": 0}),
    ]


def ledger_state(pf, vm=VM):
    """As viaduct says it."""
    mine = [v for v in api.get("/v1/vfs")["vfs"] if v["pf_name"] == pf]
    said = {v["address"]: v["state"] for v in mine}
    assert len(said) == len(mine), mine
    assert set(said.values()) <= {"free", "leased", "assigned"}, said
    leases = [v for v in mine if v["lease"]]
    owners = [v for v in mine if v["owner"]]
    assert len(leases) <= 1 and len(owners) <= 1, mine
    assert all(v["state"] == "leased" for v in leases) and all(v["state"] == "assigned" for v in owners), mine
    live = [v["name"] for v in api.get("/v1/vms")["vms"] if v["state"] in ("running", "paused")]
    assert live in ([], [vm]) and len(live) == len(owners), (live, mine)
    vlan = leases[0]["attributes"]["vlan"] if leases else 0
    return State(len(mine), bool(leases), vlan or 0, bool(live)), mine


def machine_agrees(pf, state, listed):
    """The machine's own words against what viaduct listed."""
    device = (pathlib.Path("/sys/class/net") / pf / "device").resolve()
    links = {link.resolve().name for link in device.glob("virtfn*")}
    assert links == {v["address"] for v in listed}
    assert int((device / "sriov_numvfs").read_text()) == len(listed) == state.vfs
    out = subprocess.run(["ip", "-j", "-d", "link", "show", pf], capture_output=True, text=True, check=True)
    real = {v["vf"]: v for v in json.loads(out.stdout)[0].get("vfinfo_list", [])}
    for vf in listed:
        driver = SYSFS / vf["address"] / "driver"
        bound = driver.resolve().name if driver.exists() else None
        assert bound == ("vfio-pci" if vf["state"] == "assigned" else None), vf
        attributes_agree(vf, state, real[vf["index"]])
    holders = processes("viaduct-vmm")
    assert len(holders) == state.vm, holders
    disks_agree(state)


def disks_agree(state):
    """One process serves the VM's disk, with the image in its hands; without the VM there is none."""
    servers = processes("viaduct-pmd")
    assert len(servers) == state.vm, servers
    listed = {(d["vm"], d["name"]): d for d in api.get("/v1/disks")["disks"]}
    assert list(listed) == [(VM, "root")] * state.vm, listed
    if state.vm:
        assert listed[VM, "root"]["state"] in ("connected", "running"), listed
        assert holds_image(servers[0]), servers


def holds_image(pid):
    try:
        return any(str(f.resolve()).endswith(f"/{IMAGE}") for f in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def attributes_agree(vf, state, real):
    vlan = state.vlan if vf["state"] == "leased" else 0
    assert real["vlan_list"][0].get("vlan", 0) == vlan, (vf, real)
    assert real["trust"] is bool(vlan) and real["rate"]["max_tx"] == 0, (vf, real)
    assert real["spoofchk"] is True, (vf, real)
    if vf["state"] != "assigned":
        assert real["address"] == (LEASE_MAC if vlan else "00:00:00:00:00:00"), (vf, real)


def processes(name):
    """Pids of those that are not on their way out."""
    found = []
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (proc / "comm").read_text().strip() == name and "\nState:\tZ" not in (proc / "status").read_text():
                found.append(int(proc.name))
        except OSError:
            continue
    return found


def agreed(pf, vm=VM):
    """The state that ledger and machine agree on, AssertionError if they do not."""
    state, listed = ledger_state(pf, vm)
    machine_agrees(pf, state, listed)
    # A VMM that was cut off at its start cannot say how it ended, and viaduct does not guess.
    alarms = [a for a in api.get("/v1/alarms")["alarms"] if (a["kind"], a["object"]) != ("vm-unknown", vm)]
    assert not alarms, alarms
    return state


def acknowledged(call):
    """Whether the daemon answered the request, and well; None if it did not answer."""
    try:
        api.post(*call)
        return True
    except OperateError:
        return False
    except OSError:
        return None


def settled(pf, allowed, what):
    """Ledger and machine agree, soon, on one of the allowed states; which."""
    deadline = time.monotonic() + 60
    while True:
        try:
            state = agreed(pf)
            assert state in allowed, (what, state, allowed)
            return state
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)

# SPDX-License-Identifier: BSD-3-Clause
"""What the daemon's cases share: a host made of files, and a VM file for it."""

import contextlib
import os
import pathlib
import sqlite3
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
FAKE_VMM = HERE / "fake_vmm.py"
FAKE_PMD = HERE / "fake_pmd.py"
MACHINE = "0000:01:00.0"
PATIENCE_S = 60  # for what another process does: as long as it takes on a machine that does other work, and no longer


def kernel_make(path):
    """A file that looks like a bzImage to who only looks at its head."""
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    path.write_bytes(head)
    return path


def pf_make(sysfs, address=MACHINE, total=4):
    """A PF without a network device: its VFs have no attributes to set."""
    fn = sysfs / "bus/pci/devices" / address
    fn.mkdir(parents=True)
    for name, text in {
        "vendor": "0x8086", "device": "0x10c9", "subsystem_vendor": "0x0000",
        "subsystem_device": "0x0000", "class": "0xff0000", "revision": "0x01",
        "numa_node": "-1", "sriov_totalvfs": str(total), "sriov_numvfs": "0",
        "sriov_drivers_autoprobe": "1", "resource": "", "driver_override": "(null)",
    }.items():
        (fn / name).write_text(text + "\n")
    (fn / "config").write_bytes(bytes(256))
    return fn


def cpus_make(sysfs):
    """Eight CPUs on two nodes, two threads a core (0-1, 2-3, ...); node 1 has little memory."""
    system = sysfs / "devices/system"
    files = {"cpu/online": "0-7", "cpu/isolated": "2-3,6-7", "node/online": "0-1"}
    for cpu in range(8):
        files[f"cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu & ~1}-{cpu | 1}"
    for node, free_kib, pages in ((0, 1 << 20, 64), (1, 16 << 10, 8)):
        base = f"node/node{node}"
        files[f"{base}/cpulist"] = f"{4 * node}-{4 * node + 3}"
        files[f"{base}/meminfo"] = (
            f"Node {node} MemTotal: 8388608 kB\nNode {node} MemFree: {free_kib} kB\n"
            f"Node {node} Active(file): 8192 kB\nNode {node} Inactive(file): 4096 kB\n"
            f"Node {node} SReclaimable: 4096 kB")
        files[f"{base}/hugepages/hugepages-2048kB/free_hugepages"] = str(pages)
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text + "\n")


def setup(daemon, folder):
    """Points a stopped daemon at a fake host; returns the folder of the fake /sys."""
    sysfs, dev = folder / "host/sys", folder / "dev"
    (sysfs / "bus/pci/devices").mkdir(parents=True)
    (sysfs / "bus/pci/drivers/vfio-pci").mkdir(parents=True)
    dev.mkdir()
    cpus_make(sysfs)
    (dev / "kvm").touch()
    # A log to which the kernel adds nothing; the writing end stays open as long as this process.
    os.mkfifo(dev / "kmsg")
    daemon.kmsg_fd = os.open(dev / "kmsg", os.O_RDWR)
    daemon.args = ["--sysfs", str(sysfs), "--dev", str(dev), "--vmm-path", str(FAKE_VMM),
                   "--pmd-path", str(FAKE_PMD)]
    kernel_make(folder / "kernel")
    return sysfs


def vm_yaml(folder, name="vm1", cmdline="", extra=""):
    return (f"name: {name}\nmemory: {{size: 64M}}\n"
            f"boot: {{kernel: {folder}/kernel, cmdline: \"{cmdline}\"}}\n{extra}")


def vf_address(pf, index):
    return f"{pf[:8]}{0x10 + index // 8:02x}.{index % 8}"


def vf_make(sysfs, pf, index, reset="flr"):
    """A VF that a PF's driver has just made: nobody's, and it can be reset."""
    fn = sysfs / "bus/pci/devices" / vf_address(pf, index)
    fn.mkdir()
    for name, text in {
        "vendor": "0x8086", "device": "0x10ca", "subsystem_vendor": "0x0000",
        "subsystem_device": "0x0000", "class": "0xff0000", "revision": "0x01", "numa_node": "-1",
        "resource": "", "driver_override": "(null)", "reset_method": reset, "reset": "",
    }.items():
        (fn / name).write_text(text + "\n")
    (fn / "config").write_bytes(bytes(256))
    (fn / "physfn").symlink_to(f"../{pf}")
    (sysfs / "bus/pci/devices" / pf / f"virtfn{index}").symlink_to(f"../{fn.name}")
    return fn


class PfDriver(threading.Thread):
    """The part of the kernel that makes and destroys the VFs of PFs when sriov_numvfs is written."""

    def __init__(self, sysfs, *pfs):
        super().__init__(daemon=True)
        self.sysfs, self.pfs = sysfs, pfs
        self.made = dict.fromkeys(pfs, 0)
        self.resets = {}
        self.ended = threading.Event()

    def follow(self, pf):
        text = (self.sysfs / "bus/pci/devices" / pf / "sriov_numvfs").read_text().strip()
        while text.isdigit() and int(text) > self.made[pf]:
            vf_make(self.sysfs, pf, self.made[pf], self.resets.get(self.made[pf], "flr"))
            self.made[pf] += 1
        while text.isdigit() and int(text) < self.made[pf]:
            self.made[pf] -= 1
            (self.sysfs / "bus/pci/devices" / pf / f"virtfn{self.made[pf]}").unlink()
            # Out of sight, not deleted: the kernel never gives the number of a folder out again.
            fn = self.sysfs / "bus/pci/devices" / vf_address(pf, self.made[pf])
            (self.sysfs / "gone").mkdir(exist_ok=True)
            fn.rename(self.sysfs / "gone" / str(fn.stat().st_ino))

    def run(self):
        while not self.ended.wait(0.002):
            for pf in self.pfs:
                with contextlib.suppress(FileNotFoundError):
                    self.follow(pf)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def ledger_change(daemon, statement, *values):
    """On the ledger of a stopped daemon: what another time or a crash could have left in it."""
    with contextlib.closing(sqlite3.connect(daemon.state_dir / "state.db")) as db, db:
        db.execute(statement, values)


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def vf_assign(daemon, owner, index=0, state="assigned", lease=""):
    """A VF of MACHINE as a running VM has it."""
    ledger_change(daemon, "INSERT OR REPLACE INTO vfs(pf, idx, address, state, lease, owner, generation, boot_id, note)"
                  " VALUES(?, ?, ?, ?, ?, ?, 1, ?, '')", MACHINE, index, vf_address(MACHINE, index), state, lease,
                  owner, boot_id())


def eventually(look, seconds=PATIENCE_S):
    """What look() says once it says something, or at the end of the time. Whoever waits for another process waits so: a
    wait that comes true costs nothing."""
    deadline = time.monotonic() + seconds
    while not (got := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return got

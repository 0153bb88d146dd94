# SPDX-License-Identifier: BSD-3-Clause
"""fio writes a disk and reads it back with checksums while the process that serves it is killed again and again."""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from labkit import TOP, Guest, cli_json, eventually
from operate import api
from operate.console import GUEST_SCRIPT
from test_vm_disks import backend_pid, disk, image_make

MIB = 1 << 20
SIZE = 16 * MIB
BLOCK = 16 << 10
KILLS = int(os.environ.get("VIADUCT_DISK_KILLS") or 5)
REQUESTS = 700  # that the guest makes at least between two kills
FIO = ("/usr/bin/fio --name=load --filename=/dev/vda --thread --direct=1 --iodepth=16 --rw=randwrite "
       f"--bs={BLOCK} --size={SIZE} --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --output-format=json")
# The disk is empty before each round, since fio would take a block of the round before for this round's. The two engines take turns.
LOOP = ("n=0; while [ ! -e /stop ] || [ $n -lt 2 ]; do n=$((n+1)); e=libaio; [ $((n%2)) = 1 ] || e=io_uring; "
        f"blkdiscard /dev/vda && chroot /tools {FIO} --ioengine=$e --output=/tmp/$n.json || {{ echo $? >/failed; break; }}; "
        "done; echo $n >/ended")


def tools_make(path, program):
    """A disk whose file system has the program and its libraries."""
    folder = path.with_suffix(".d")
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for file in [program, *re.findall(r"(/\S+) \(0x", said)]:
        to = folder / file.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)
    for name in ("dev", "proc", "sys", "tmp"):
        (folder / name).mkdir()
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", folder, path, "300M"], check=True)
    shutil.rmtree(folder)
    return path


def initrd_make(folder):
    (folder / "script").write_text(GUEST_SCRIPT)
    modules = [word for name in ("crc32c_generic", "ext4") for word in ("--module", name)]
    subprocess.run([TOP / "lab/guest-image", "--script", folder / "script", *modules, "-o", folder / "initrd"], check=True)
    return folder / "initrd"


def restarts():
    """Of the backend, as the metrics say it."""
    found = re.search(r'^viaduct_backend_restarts_total\{backend="disk-loaded"\} (\d+)$', api.text("GET", "/metrics"), re.M)
    return int(found[1]) if found else 0


def requests():
    """Of the guest to the process that serves its disk now."""
    stats = disk("loaded/root").get("stats", {})
    return stats.get("writes", 0) + stats.get("reads", 0)


def killed_under_load(vm, before):
    """Returns how often; the daemon alone starts the next one."""
    for i in range(1, KILLS + 1):
        eventually(lambda: requests() >= REQUESTS, f"load before kill {i}", 120)
        os.kill(backend_pid(), signal.SIGKILL)
        eventually(lambda i=i: restarts() == before + i, f"the metrics of kill {i}")
        eventually(lambda i=i: vm.show()["disks"][0]["vmm"]["reconnects"] == i, f"the VMM's next backend after kill {i}")


@pytest.mark.timeout(1200)
def test_fio_finds_every_block_though_backends_die(daemon, folder, tmp_path):
    root, tools = image_make(tmp_path / "root.img", SIZE), tools_make(tmp_path / "tools.img", "/usr/bin/fio")
    disks = f"disks: [{{path: {root}, name: root}}, {{path: {tools}, name: tools, readonly: yes}}]"
    before, event = restarts(), api.get("/v1/events?limit=1")["newest"]
    with Guest(folder, "loaded", extra=[disks], memory="512M", initrd=initrd_make(tmp_path)) as vm:
        vm.run("for i in crc32c_generic ext4; do /init load-module $i; done; mkdir /tools && mount -t ext4 -o ro /dev/vdb /tools")
        vm.run("for i in dev proc sys; do mount -o bind /$i /tools/$i; done; mount -t tmpfs none /tools/tmp")
        vm.run(f"({LOOP}) >/said 2>&1 &")
        killed_under_load(vm, before)
        vm.run("touch /stop; until [ -e /ended ]; do sleep 1; done", 400)
        vm.run("cat /said; [ ! -e /failed ]")
        rounds = int(vm.run("cat /ended"))
        for i in range(1, rounds + 1):
            job = json.loads(vm.run(f"cat /tools/tmp/{i}.json"))["jobs"][0]
            assert job["error"] == 0 and job["write"]["total_ios"] == job["read"]["total_ios"] == SIZE // BLOCK, job
        print(f"{rounds} rounds of {SIZE // BLOCK} blocks, {KILLS} kills")
        vm.run("! dmesg | grep -iE 'I/O error|Buffer I/O|blocked for'")
        one = disk("loaded/root")
        assert one["state"] == "running" and one["stats"]["errors"] == 0, one
        wrong = {"backend-down", "disk-down", "disk-errors", "disk-full"}
        eventually(lambda: not wrong & {a["kind"] for a in cli_json("alarms")["alarms"]}, "the end of the alarms")
    said = [e["text"] for e in api.get(f"/v1/events?since={event}&limit=1000")["events"] if e["kind"] == "backend"]
    assert sum("is gone: signal 9 ended it" in text for text in said) == KILLS, said

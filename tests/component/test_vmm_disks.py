# SPDX-License-Identifier: BSD-3-Clause
"""viaduct-vmm and viaduct-pmd with a disk between them, both in their sandboxes, on a KVM whose guest has no driver: what the
launch waits for, and what STATUS says when the backend dies, comes back, and when the disk grows."""

import os
import threading
import time

import daemonkit
import pytest
from daemonkit import eventually
from diskkit import MIB, Disks
from test_vmm import kernel, launch, vmm  # noqa: F401  (fixtures)
from vmmdrive import Refused


@pytest.fixture
def disks(build_dir, short_tmp, vmm):  # noqa: F811
    made = Disks(str(build_dir / "pmd-backends" / "viaduct-pmd"), short_tmp)
    made.socket = lambda disk: vmm.disk(disk.rpartition("/")[2])
    yield made
    made.pmd.kill()


def said(vmm, at=0):  # noqa: F811
    return vmm.request("status")["disks"][at]


def test_the_launch_waits_for_every_disk(vmm, kernel, disks):  # noqa: F811
    disks.add("t1/root", disks.image())
    begin = time.monotonic()
    with pytest.raises(Refused) as refused:
        launch(vmm, kernel, "hlt", disks=[{"disk": "root"}, {"disk": "data"}])
    assert time.monotonic() - begin > 9
    error = refused.value.error
    assert error["code"] == "disk-backend" and "disk data: no backend has opened it within 10 s" in error["text"], error
    assert vmm.wait(daemonkit.PATIENCE_S) == 1
    assert vmm.record()["reason"] == "launch-failed"


def test_a_vm_that_is_to_end_waits_for_no_disk(vmm, kernel, disks):  # noqa: F811
    timer = threading.Timer(1, vmm.process.terminate)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(Refused, match="disk data: its backend was waited for: ended by signal 15"):
        launch(vmm, kernel, "hlt", disks=[{"disk": "data"}])
    assert time.monotonic() - begin < 9
    timer.join()
    assert vmm.wait(daemonkit.PATIENCE_S) == 1
    assert "ended by signal 15" in vmm.record()["text"]


def test_a_backend_of_too_few_queues_says_why(vmm, kernel, disks):  # noqa: F811
    disks.add("t1/root", disks.image(), queues=2)
    with pytest.raises(Refused, match="disk root: .*it has 2 queues, the disk 4"):
        launch(vmm, kernel, "hlt", disks=[{"disk": "root", "queues": 4}])


def test_backends_come_and_go_and_the_disk_grows(vmm, kernel, disks):  # noqa: F811
    path = disks.image()
    vmm.images["root"] = path
    disks.add("t1/root", path, queues=2)
    disks.add("t1/fixed", disks.image("fixed.img", 4 * MIB), os.O_RDONLY, readonly=True)
    status = launch(vmm, kernel, "hlt", disks=[{"disk": "root", "queues": 2, "boot": 1}, {"disk": "fixed"}])
    root, fixed = status["disks"]
    pid = disks.pmd.process.pid
    assert root == {"disk": "root", "size": 8 * MIB, "readonly": False, "queues": 2, "backend": "connected",
                    "backend_pid": pid, "reconnects": 0, "driver_active": False, "features": "0x0", "error": ""}
    assert fixed["size"] == 4 * MIB and fixed["readonly"] and fixed["backend"] == "connected"

    os.truncate(path, 16 * MIB)
    assert disks.pmd.call("disk-resize", disk="t1/root")["size"] == 16 * MIB
    assert eventually(lambda: said(vmm)["size"] == 16 * MIB), said(vmm)

    disks.pmd.kill()
    assert eventually(lambda: said(vmm)["backend"] == "gone"), said(vmm)
    assert said(vmm)["error"] == "" and said(vmm)["backend_pid"] == 0
    assert vmm.request("pause")["state"] == "paused" and vmm.request("resume")["state"] == "running"
    disks.pmd.start()
    for disk, (image, flags, members) in list(disks.images.items()):
        disks.add(disk, image, flags, **members)
    assert eventually(lambda: said(vmm)["backend"] == "connected"), said(vmm)
    assert said(vmm)["reconnects"] == 1 and said(vmm)["size"] == 16 * MIB

    # Smaller than what the guest has been told: not this one, again and again.
    disks.pmd.kill()
    os.truncate(path, 8 * MIB)
    disks.pmd.start()
    disks.add("t1/root", path, queues=2)
    assert eventually(lambda: "fewer than the 16777216" in said(vmm)["error"]), said(vmm)
    assert said(vmm)["size"] == 16 * MIB
    vmm.request("kill")
    assert vmm.wait(daemonkit.PATIENCE_S) == 0


@pytest.mark.parametrize("cmdline", ["triple | reboot | off"])
def test_a_machine_with_disks_is_reset(vmm, kernel, disks, cmdline):  # noqa: F811
    disks.add("t1/root", disks.image())
    status = launch(vmm, kernel, cmdline, disks=[{"disk": "root"}])
    assert status["disks"][0]["backend"] == "connected"
    assert vmm.wait(daemonkit.PATIENCE_S) == 0
    record = vmm.record()
    assert record["reason"] == "poweroff" and record["life"]["resets"]["triple-fault"] == 1, record


def test_as_many_disks_as_there_may_be(vmm, kernel, disks):  # noqa: F811
    names = [f"d{i}" for i in range(16)]
    for name in names:
        vmm.images[name] = disks.image(f"{name}.img", MIB)
        disks.add(f"t1/{name}", vmm.images[name], queues=16)
    status = launch(vmm, kernel, "hlt", disks=[{"disk": name, "queues": 16, "queue_size": 1024} for name in names])
    assert [d["disk"] for d in status["disks"]] == names
    assert all(d["backend"] == "connected" and d["size"] == MIB and d["queues"] == 16 for d in status["disks"]), status
    vmm.request("kill")
    assert vmm.wait(daemonkit.PATIENCE_S) == 0

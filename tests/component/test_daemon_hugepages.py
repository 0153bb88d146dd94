# SPDX-License-Identifier: BSD-3-Clause
"""The host's pools of hugepages, and what viaductd changes of them, on a host made of files. A pool of files has the pages
that were written into it, whatever memory there is."""

import json
import os
import signal
import threading

import daemonkit
import pytest

SIZES = {"2M": "2048kB", "1G": "1048576kB"}


class Pools:
    """Of /sys: the pools of the nodes, and the whole host's."""

    def __init__(self, sysfs):
        self.sysfs = sysfs

    def file(self, node, size, name):
        return self.sysfs / f"devices/system/node/node{node}/hugepages/hugepages-{SIZES[size]}/{name}"

    def make(self, node, size, pages, used=0, surplus=0):
        for name, n in (("nr_hugepages", pages + surplus), ("free_hugepages", pages + surplus - used),
                        ("surplus_hugepages", surplus)):
            path = self.file(node, size, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{n}\n")

    def pages(self, node, size):
        return int(self.file(node, size, "nr_hugepages").read_text())

    @property
    def overcommit(self):
        return self.sysfs / "kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"

    def host_make(self, overcommit=0):
        self.overcommit.parent.mkdir(parents=True)
        for name, n in (("free_hugepages", 0), ("resv_hugepages", 0), ("surplus_hugepages", 0),
                        ("nr_overcommit_hugepages", overcommit)):
            (self.overcommit.parent / name).write_text(f"{n}\n")


@pytest.fixture
def pools(stopped_daemon, short_tmp):
    yield Pools(daemonkit.setup(stopped_daemon, short_tmp))
    for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]:
        if vm["pid"]:
            stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})


def start(daemon):
    """It serves once the pools are what they will be."""
    daemon.start()
    assert daemon.request("GET", "/v1/vms")[0] == 200


def restart(daemon, pools_wanted):
    if daemon.proc is not None:
        daemon.stop()
    daemon.config.write_text("hugepages: [" + ", ".join(
        f"{{size: {size}, node: {node}, count: {count}}}" for node, size, count in pools_wanted) + "]\nrescan_s: 1\n")
    start(daemon)


def alarms(daemon):
    return {a["object"]: a for a in daemon.request("GET", "/v1/alarms")[1]["alarms"]
            if a["kind"] == "hugepage-pool-short"}


def test_pools_are_brought_to_what_is_wanted_and_back(stopped_daemon, pools):
    pools.make(0, "2M", 2)
    pools.make(1, "2M", 8, surplus=3)
    restart(stopped_daemon, [(0, "2M", 5), (1, "2M", 4)])
    assert pools.pages(0, "2M") == 5
    assert pools.pages(1, "2M") == 11  # it has more than is wanted: left alone
    config = stopped_daemon.request("GET", "/v1/config")[1]["running"]
    assert config["hugepages"][0] == {"page_size": 2 << 20, "node": 0, "count": 5}
    assert not alarms(stopped_daemon)
    # Less is wanted: what viaduct added is given back, but for what is in use.
    pools.make(0, "2M", 5, used=4)
    restart(stopped_daemon, [(0, "2M", 3)])
    assert pools.pages(0, "2M") == 4
    pools.make(0, "2M", 4, used=1)
    restart(stopped_daemon, [])
    assert pools.pages(0, "2M") == 2
    assert json.loads((stopped_daemon.run_dir / "hugepages.json").read_text())["pools"] == []
    # Another's change after ours is his.
    restart(stopped_daemon, [(0, "2M", 6)])
    pools.make(0, "2M", 9)
    restart(stopped_daemon, [])
    assert pools.pages(0, "2M") == 9


def test_what_is_raised_outlives_a_kill(stopped_daemon, pools):
    pools.make(0, "2M", 2)
    restart(stopped_daemon, [(0, "2M", 5)])
    stopped_daemon.stop(signal.SIGKILL)
    assert pools.pages(0, "2M") == 5
    pools.make(0, "2M", 5)
    # Of another boot nothing is believed.
    record = stopped_daemon.run_dir / "hugepages.json"
    said = record.read_text()
    record.write_text(said.replace(daemonkit.boot_id(), "another"))
    restart(stopped_daemon, [])
    assert pools.pages(0, "2M") == 5
    stopped_daemon.stop()
    record.write_text(said)
    restart(stopped_daemon, [])
    assert pools.pages(0, "2M") == 2


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"boot_id":"%s","overcommit":[3],"pools":[{"page":1,"node":-1}]}'])
def test_a_record_that_is_none_keeps_nobody_from_starting(stopped_daemon, pools, junk):
    pools.make(0, "2M", 2)
    (stopped_daemon.run_dir / "hugepages.json").write_text(junk.replace("%s", daemonkit.boot_id()))
    restart(stopped_daemon, [(0, "2M", 3)])
    assert pools.pages(0, "2M") == 3


def test_what_is_missing_is_an_alarm_with_the_command_line(stopped_daemon, pools):
    pools.make(0, "1G", 1)
    pools.make(1, "2M", 8)
    restart(stopped_daemon, [(0, "1G", 4), (1, "1G", 2), (1, "2M", 8)])
    # The files of node 0 take any number; as the kernel would, it had no memory for more than one.
    pools.make(0, "1G", 1)
    said = daemonkit.eventually(lambda: len(alarms(stopped_daemon)) == 2 and alarms(stopped_daemon))
    assert said["node0-1G"]["text"] == "node 0 has 1 hugepages of 1G, and viaductd.yaml wants 4"
    assert said["node0-1G"]["hint"].endswith("boot the host with hugepagesz=1G hugepages=0:4,1:2")
    assert "no such pages" in said["node1-1G"]["text"]
    check = next(c for c in stopped_daemon.request("GET", "/v1/host/check")[1]["checks"] if c["id"] == "hugepages")
    assert check["status"] == "warn" and "wants 4" in check["detail"] and "hugepages=0:4,1:2" in check["remedy"]
    pools.make(0, "1G", 4)
    pools.make(1, "1G", 2)
    assert daemonkit.eventually(lambda: not alarms(stopped_daemon))


def vm_start(daemon, folder, name="vm1", cmdline=""):
    return daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(folder, name, cmdline)})


def test_pages_beyond_the_pool_are_allowed_while_a_vm_starts(stopped_daemon, pools, short_tmp):
    pools.host_make(overcommit=3)
    restart(stopped_daemon, [])
    seen = set()
    ended = threading.Event()

    def watch():
        while not ended.wait(0.005):
            seen.add(pools.overcommit.read_text().strip())

    thread = threading.Thread(target=watch)
    thread.start()
    assert vm_start(stopped_daemon, short_tmp, cmdline="slow=1")[0] == 200
    assert vm_start(stopped_daemon, short_tmp, "vm2", "fail")[0] != 200
    ended.set()
    thread.join()
    assert "32" in seen, seen  # 64 MiB
    assert pools.overcommit.read_text().strip() == "3"


def test_a_viaduct_pmd_that_starts_is_waited_for_too(stopped_daemon, pools, short_tmp):
    """What it was allowed stays allowed when a VM that starts meanwhile has what it needs."""
    pools.host_make(overcommit=3)
    short_tmp.chmod(0o711)  # the way to its socket, for who is not root
    stopped_daemon.config.write_text("uplinks: [{name: wire0, kind: 'null'}]\nbackends: {hugepages: on, memory: 256M}\n")
    start(stopped_daemon)

    def backend():
        return stopped_daemon.request("GET", "/v1/uplinks")[1]["backend"]

    assert daemonkit.eventually(lambda: backend()["pid"]), stopped_daemon.text()
    assert daemonkit.eventually(lambda: pools.overcommit.read_text().strip() == "3")
    first, words = backend()["pid"], stopped_daemon.run_dir / "pmd/net0/words"
    words.write_text("slow")
    os.kill(first, signal.SIGKILL)
    assert daemonkit.eventually(lambda: pools.overcommit.read_text().strip() == "128"), stopped_daemon.text()
    seen = set()
    asker = threading.Thread(target=lambda: seen.add(vm_start(stopped_daemon, short_tmp)[0]))
    asker.start()
    asker.join(10)
    assert seen == {200}, "a VM's start waits for viaduct-pmd's"
    assert int(pools.overcommit.read_text()) >= 128
    words.write_text("")
    try:
        assert daemonkit.eventually(lambda: pools.overcommit.read_text().strip() == "3"), stopped_daemon.text()
    finally:
        assert daemonkit.eventually(lambda: backend()["pid"] not in (None, first))
        os.kill(backend()["pid"], signal.SIGKILL)


def test_a_daemon_that_is_killed_meanwhile_leaves_nothing_raised(stopped_daemon, pools, short_tmp):
    pools.host_make()
    restart(stopped_daemon, [])

    def start_and_kill():
        def ask():
            with pytest.raises(Exception):  # nobody is left to answer
                vm_start(stopped_daemon, short_tmp, cmdline="slow=30")

        asker = threading.Thread(target=ask)
        asker.start()
        assert daemonkit.eventually(lambda: pools.overcommit.read_text().strip() == "32")
        stopped_daemon.stop(signal.SIGKILL)
        asker.join()

    start_and_kill()
    start(stopped_daemon)
    assert pools.overcommit.read_text().strip() == "0"
    # What somebody has set since is his.
    start_and_kill()
    pools.overcommit.write_text("77\n")
    start(stopped_daemon)
    assert pools.overcommit.read_text().strip() == "77"

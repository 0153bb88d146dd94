# SPDX-License-Identifier: BSD-3-Clause
"""What `viaduct bench` may borrow of a host, and what it gives back, against a tree that looks like sysfs."""

import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))

from run import BenchError, host  # noqa: E402

ADDRESS = "0000:5e:00.0"


class Host:
    """A network function with one interface, by files; what viaductd and ip would say of it."""

    def __init__(self, folder):
        self.device = folder / "devices" / ADDRESS
        self.net = self.device / "net/nic7"
        self.net.mkdir(parents=True)
        (folder / "drivers/igb").mkdir(parents=True)
        (self.device / "driver").symlink_to(folder / "drivers/igb")
        for path, text in (("class", "0x020000"), ("sriov_numvfs", "0"), ("net/nic7/mtu", "9000"), ("net/nic7/flags", "0x1003"),
                           ("net/nic7/dev_port", "0"), ("driver_override", "(null)")):
            (self.device / path).write_text(text + "\n")
        self.given = {("function", "list"): {"functions": [{"address": ADDRESS, "state": "host", "owner": None}]},
                      ("uplink", "list"): {"uplinks": []}}
        self.ip = (0, "")
        self.bound, self.links = [], []


@pytest.fixture
def machine(tmp_path, monkeypatch):
    made = Host(tmp_path)
    monkeypatch.setattr(host, "PCI", tmp_path)
    monkeypatch.setattr(host, "viaduct", lambda *words: made.given[words])
    monkeypatch.setattr(host, "bind", lambda address, driver: made.bound.append(driver))
    monkeypatch.setattr(host, "link", lambda *words: made.links.append(words))
    monkeypatch.setattr(host.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], made.ip[0], made.ip[1], "no such device"))
    return made


def test_a_function_that_nobody_uses_is_taken_and_goes_back_as_it_was(machine):
    with host.Borrowed() as borrowed:
        host.take(borrowed, ADDRESS)
        assert machine.bound == ["vfio-pci"]
        (machine.net / "mtu").write_text("1500\n")  # the driver's own, as it comes back
    assert borrowed.left == [] and machine.bound == ["vfio-pci", "igb"]
    assert machine.links == [("nic7", "mtu", "9000"), ("nic7", "up")]


def used_by_a_disk(machine):
    (machine.device / "class").write_text("0x010802\n")


def with_vfs(machine):
    (machine.device / "sriov_numvfs").write_text("4\n")


def a_vf(machine):
    (machine.device / "physfn").mkdir()


def in_a_bridge(machine):
    (machine.net / "master").mkdir()


def below_a_vlan(machine):
    (machine.net / "upper_nic7.5").mkdir()


def with_an_address(machine):
    machine.ip = (0, "7: nic7 inet 192.0.2.1/24 scope global nic7\n")


def without_a_word_of_ip(machine):
    machine.ip = (1, "")


def in_another_namespace(machine):
    machine.net.rename(machine.device / "elsewhere")


def of_a_vm(machine):
    machine.given["function", "list"]["functions"][0].update(state="assigned", owner="db/nic")


def an_uplink(machine):
    machine.given["uplink", "list"]["uplinks"].append({"name": "wire0", "device": "nic7", "address": None})


@pytest.mark.parametrize("change, text", [
    (used_by_a_disk, "no network function"), (with_vfs, "has VFs"), (a_vf, "is a VF"), (in_a_bridge, "in use by another interface"),
    (below_a_vlan, "upper_nic7.5"), (with_an_address, "way out"), (without_a_word_of_ip, "no such device"),
    (in_another_namespace, "namespace"), (of_a_vm, "db/nic has it"), (an_uplink, "uplink wire0")])
def test_a_function_that_somebody_may_use_is_left_alone(machine, change, text):
    change(machine)
    with host.Borrowed() as borrowed:
        with pytest.raises(BenchError, match=text):
            host.take(borrowed, ADDRESS)
    assert machine.bound == [] and machine.links == [] and borrowed.left == []


class Pool:
    """The kernel's pool of hugepages, which has only `room` more."""

    def __init__(self, monkeypatch, total, free, room):
        self.total, self.free, self.room, self.refused = total, free, room, False
        monkeypatch.setattr(host, "pages", lambda: (self.total, self.free))
        monkeypatch.setattr(host, "write", self.write)

    def write(self, _, text):
        if self.refused:
            raise BenchError("this takes root")
        got = min(int(text) - self.total, self.room)
        self.total, self.free = self.total + got, self.free + got


@pytest.mark.parametrize("room, there", [(50, False), (0, False), (1000, True)])
def test_only_the_pages_that_were_added_are_taken_back(monkeypatch, room, there):
    pool = Pool(monkeypatch, total=200, free=0, room=room)
    with host.Borrowed() as borrowed:
        assert host.hugepages(borrowed, 600) is there
        assert pool.total == 200 + min(room, 300)
    assert pool.total == 200 and borrowed.left == []


def test_nothing_is_to_be_given_back_where_nothing_was_to_be_had(monkeypatch):
    pool = Pool(monkeypatch, total=200, free=0, room=1000)
    pool.refused = True
    with host.Borrowed() as borrowed:
        assert host.hugepages(borrowed, 600) is False
    assert borrowed.left == []


def test_an_error_that_nobody_expected_keeps_nothing_from_going_back():
    done = []
    with host.Borrowed() as borrowed:
        borrowed.callback("a", done.append, "a")
        borrowed.callback("b", {}.__getitem__, "b")
    assert done == ["a"] and borrowed.left == ["b: KeyError: 'b'"]

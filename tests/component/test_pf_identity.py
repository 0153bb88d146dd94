# SPDX-License-Identifier: BSD-3-Clause
"""Leases follow the card that they were made on, through boots that give its PFs other addresses, or wait and say why."""

import json
import shutil
import struct

import daemonkit
import pytest

FIRST, SECOND = daemonkit.MACHINE, "0000:02:00.0"


def serial_set(sysfs, pf, serial):
    """Configuration space with a Device Serial Number capability; None: without any."""
    space = bytearray(4096)
    if serial is not None:
        struct.pack_into("<IQ", space, 0x100, 0x0003 | 1 << 16, serial)
    (sysfs / "bus/pci/devices" / pf / "config").write_bytes(space)


@pytest.fixture
def cards(stopped_daemon, short_tmp):
    """Two cards of one kind, with the serial numbers 1 and 2, two VFs each, and a lease on each VF but one."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    for pf, serial in ((FIRST, 1), (SECOND, 2)):
        daemonkit.pf_make(sysfs, pf)
        serial_set(sysfs, pf, serial)
    with daemonkit.PfDriver(sysfs, FIRST, SECOND) as driver:
        stopped_daemon.start()
        for pf in (FIRST, SECOND):
            apply(stopped_daemon, pf, 2)
        for name, pf in (("a0", FIRST), ("b0", SECOND), ("b1", SECOND)):
            assert stopped_daemon.cli("vf", "alloc", "--pf", pf, "--name", name).returncode == 0
        yield sysfs, driver


def apply(daemon, pf, vfs):
    done = daemon.cli("pf", "apply", pf, "--vfs", str(vfs))
    assert done.returncode == 0, done.stderr


def reboot(daemon, sysfs, driver, serials):
    """The host is started again: no VFs, another boot id, and the cards where `serials` says."""
    daemon.stop()
    for table in ("pfs", "vfs"):
        daemonkit.ledger_change(daemon, f"UPDATE {table} SET boot_id = 'another'")
    for pf, serial in serials.items():
        (sysfs / "bus/pci/devices" / pf / "sriov_numvfs").write_text("0\n")
        serial_set(sysfs, pf, serial)
    while any(driver.made.values()):
        pass
    daemon.start()


def parked(daemon):
    return {row["lease"]: row["why"] for row in daemon.request("GET", "/v1/vfs")[1]["parked"]}


def places(daemon):
    return {vf["lease"]: (vf["pf"], vf["index"], vf["state"]) for vf in daemon.request("GET", "/v1/vfs")[1]["vfs"]
            if vf["lease"]}


def test_leases_follow_cards_that_changed_places(stopped_daemon, cards):
    reboot(stopped_daemon, *cards, {FIRST: 2, SECOND: 1})
    assert set(parked(stopped_daemon)) == {"a0", "b0", "b1"} and places(stopped_daemon) == {}
    assert f"PF {SECOND} ({SECOND}) has no VF 0" in parked(stopped_daemon)["a0"]
    # Nothing but the lease's own card will do, however free the others are.
    apply(stopped_daemon, FIRST, 1)
    assert places(stopped_daemon) == {"b0": (FIRST, 0, "leased")}
    assert f"viaduct pf apply {FIRST} --vfs 2" in parked(stopped_daemon)["b1"]
    apply(stopped_daemon, SECOND, 2)
    assert places(stopped_daemon) == {"b0": (FIRST, 0, "leased"), "a0": (SECOND, 0, "leased")}
    assert set(parked(stopped_daemon)) == {"b1"}
    # Its VF comes with one VF more; the lease that is there gets its VF anew.
    assert stopped_daemon.cli("pf", "apply", FIRST, "--vfs", "2", "--disrupt", "lease:b0").returncode == 0
    assert places(stopped_daemon)["b0"] == (FIRST, 0, "leased") and places(stopped_daemon)["b1"] == (FIRST, 1, "leased")
    assert parked(stopped_daemon) == {}


def test_leases_come_back_where_nothing_changed(stopped_daemon, cards):
    stopped_daemon.config.write_text(
        f"pfs: [{{name: '{FIRST}', vfs: 2}}, {{name: '{SECOND}', vfs: 2}}]\napply_pfs_at_start: on\n")
    reboot(stopped_daemon, *cards, {FIRST: 1, SECOND: 2})
    assert parked(stopped_daemon) == {} and places(stopped_daemon) == {
        "a0": (FIRST, 0, "leased"), "b0": (SECOND, 0, "leased"), "b1": (SECOND, 1, "leased")}


@pytest.mark.parametrize("serials, why", [
    ({FIRST: 1, SECOND: 3}, "is not there"),       # another card in its slot
    ({FIRST: 1, SECOND: None}, "is not there"),    # one without a number
    ({FIRST: 2, SECOND: 2}, "2 PFs could be"),     # two that say the same
])
def test_a_lease_whose_card_is_not_known_for_sure_waits(stopped_daemon, cards, serials, why):
    stopped_daemon.config.write_text(
        f"pfs: [{{name: '{FIRST}', vfs: 2}}, {{name: '{SECOND}', vfs: 2}}]\napply_pfs_at_start: on\n")
    if why.startswith("2"):
        # In the same slot one of them would be it.
        stopped_daemon.stop()
        daemonkit.ledger_change(stopped_daemon, "UPDATE pfs SET identity = replace(identity, 'slot=00.0', 'slot=1f.0')")
        stopped_daemon.start()
    reboot(stopped_daemon, *cards, serials)
    waits = parked(stopped_daemon)
    assert why in waits["b0"] and why in waits["b1"], waits
    assert not {"b0", "b1"} & set(places(stopped_daemon))
    alarms = stopped_daemon.request("GET", "/v1/alarms")[1]["alarms"]
    assert {"b0", "b1"} <= {a["object"] for a in alarms if a["kind"] == "lease-parked"} or daemonkit.eventually(
        lambda: {"b0", "b1"} <= {a["object"] for a in stopped_daemon.request("GET", "/v1/alarms")[1]["alarms"]})
    assert "leases that wait" in stopped_daemon.cli("vf", "list").stdout
    # Its name is taken, it says why it cannot be used, and it can be ended.
    for method, path, body in (("GET", "/v1/vfs/b0", None), ("POST", "/v1/vfs/alloc", {"name": "b0"}),
                               ("POST", "/v1/vfs/b0/set", {"vlan": 5})):
        status, reply = stopped_daemon.request(method, path, body)
        assert status == 409 and reply["error"]["code"] == "lease-parked", reply
    status, reply = stopped_daemon.request("POST", "/v1/vfs/b0/release", {"generation": 99})
    assert status == 409 and reply["error"]["code"] == "vf-stale" and "b0" in parked(stopped_daemon), reply
    assert stopped_daemon.cli("vf", "release", "b0").returncode == 0
    assert "b0" not in parked(stopped_daemon)
    assert stopped_daemon.request("POST", "/v1/vfs/alloc", {"name": "b0", "pf": FIRST})[0] == 200


def test_a_ledger_that_knew_no_identities(stopped_daemon, cards):
    sysfs, driver = cards
    stopped_daemon.stop()
    daemonkit.ledger_change(stopped_daemon, "UPDATE pfs SET identity = ''")
    # In the same boot the address still says which card it is.
    stopped_daemon.start()
    reboot(stopped_daemon, sysfs, driver, {FIRST: 2, SECOND: 1})
    apply(stopped_daemon, SECOND, 2)
    assert places(stopped_daemon) == {"a0": (SECOND, 0, "leased")}
    # In another boot it says nothing.
    stopped_daemon.stop()
    daemonkit.ledger_change(stopped_daemon, "UPDATE pfs SET identity = ''")
    reboot(stopped_daemon, sysfs, driver, {FIRST: 2, SECOND: 1})
    assert "not known which card" in parked(stopped_daemon)["a0"]


def test_a_trial_that_goes_back_gives_leases_their_vfs_back(stopped_daemon, cards):
    done = stopped_daemon.cli("pf", "apply", SECOND, "--vfs", "1", "--disrupt", "lease:b0,lease:b1", "--confirm-within", "1h")
    assert done.returncode == 0, done.stderr
    assert "b0" in places(stopped_daemon) and "b1" in parked(stopped_daemon)
    assert stopped_daemon.cli("pf", "apply", SECOND, "--vfs", "2", "--disrupt", "lease:b0").returncode == 0
    assert places(stopped_daemon)["b1"] == (SECOND, 1, "leased") and parked(stopped_daemon) == {}


@pytest.fixture
def named(stopped_daemon, short_tmp):
    """An NVMe controller with one VF, which takes no rtnetlink; named("nvme7") gives it another name, as udev does to interfaces."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    pf = daemonkit.pf_make(sysfs)
    (pf / "class").write_text("0x010802\n")

    def rename(name):
        shutil.rmtree(pf / "nvme", ignore_errors=True)
        (pf / "nvme" / name).mkdir(parents=True)

    rename("nvme0")
    stopped_daemon.config.write_text(f"pfs: [{{name: nvme0, vfs: 1}}, {{name: '{FIRST}', vfs: 1}}]\nrescan_s: 1\n")
    with daemonkit.PfDriver(sysfs, FIRST):
        stopped_daemon.start()
        apply(stopped_daemon, "nvme0", 1)
        yield rename


def alarms(daemon):
    return {(a["kind"], a["object"]): a for a in daemon.request("GET", "/v1/alarms")[1]["alarms"]}


def test_a_pf_of_the_configuration_that_got_another_name(stopped_daemon, named):
    absent = ("pf-absent", "nvme0")
    assert absent not in alarms(stopped_daemon)
    named("nvme7")
    assert daemonkit.eventually(lambda: absent in alarms(stopped_daemon))
    # What goes by the address finds it as before.
    assert [key for key in alarms(stopped_daemon) if key[0] == "pf-absent"] == [absent]
    assert "viaduct pf list" in alarms(stopped_daemon)[absent]["hint"]
    assert daemonkit.eventually(lambda: "alarm pf-absent nvme0 (major)" in stopped_daemon.text())
    named("nvme0")
    assert daemonkit.eventually(lambda: absent not in alarms(stopped_daemon))


def test_a_vm_shows_the_name_that_its_pf_has_now(stopped_daemon, named, short_tmp):
    status, body = stopped_daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})
    assert status == 200, body
    stopped_daemon.stop()
    port = {"name": "wan", "engine": "vf", "vf": daemonkit.vf_address(FIRST, 0), "vf_id": "nvme0#0", "pf": FIRST}
    daemonkit.ledger_change(stopped_daemon, "UPDATE vms SET facts = json_set(facts, '$.ports', json(?))", json.dumps([port]))
    daemonkit.vf_assign(stopped_daemon, "vm1/wan")
    named("nvme7")
    stopped_daemon.start()
    assert stopped_daemon.request("GET", "/v1/vms/vm1")[1]["ports"][0]["vf_id"] == "nvme7#0"
    assert "nvme7#0" in stopped_daemon.cli("vm", "show", "vm1").stdout
    named("nvme8")
    assert daemonkit.eventually(lambda: stopped_daemon.request("GET", "/v1/ports")[1]["ports"][0]["vf_id"] == "nvme8#0")
    stopped_daemon.request("POST", "/v1/vms/vm1/kill", {})

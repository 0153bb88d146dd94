# SPDX-License-Identifier: BSD-3-Clause
"""Which PF a VF is taken of, by the real daemon on a host made of files: three PFs, two of them on node 0."""

import json
import pathlib
import shutil
import sys

import daemonkit
import pytest
from openapi import Api

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/alloc"))
import tree  # noqa: E402

API = Api()
PF = [f"0000:0{n + 1}:00.0" for n in range(3)]
CONFIG = "networks:\n" + "".join(
    f"  - {{name: {name}, uplinks: [eth0, eth1, \"{PF[2]}\", eth9]{extra}}}\n"
    for name, extra in (("first", ""), ("wide", ", placement: spread"), ("tight", ", placement: pack")))
CONFIG += f"  - {{name: one, uplinks: [\"{PF[0]}\"]}}\n  - {{name: two, uplinks: [eth0, eth1]}}\n"


def link(sysfs, pf, up=True, name=None):
    net = sysfs / "bus/pci/devices" / PF[pf] / "net" / (name or f"eth{pf}")
    net.mkdir(parents=True, exist_ok=True)
    for key, text in {"ifindex": str(900000 + pf), "flags": "0x1003", "carrier": str(int(up)), "speed": "10000",
                      "mtu": "1500", "address": f"02:00:00:00:ff:0{pf}"}.items():
        (net / key).write_text(text + "\n")


@pytest.fixture
def host(stopped_daemon, short_tmp):
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    shutil.rmtree(sysfs / "bus")
    tree.build(sysfs, 3, 4, numa_nodes=2)
    # Remapping is on, so ports may be asked for.
    (sysfs / "class/iommu/dmar0").mkdir(parents=True)
    (sysfs / "kernel/iommu_groups/1").mkdir(parents=True)
    (short_tmp / "host/proc").mkdir()
    (short_tmp / "host/proc/interrupts").write_text("  1: 0 IR-IO-APIC 1-edge\n 24: 7 IR-PCI-MSI 1-edge\n")
    stopped_daemon.config.write_text(CONFIG)
    stopped_daemon.start()
    for pf in PF:
        assert stopped_daemon.request("POST", f"/v1/pfs/{pf}/apply", {"vfs": 4})[0] == 200
    # Only now: a PF with a network device has a driver behind it, which is asked for the VFs' attributes.
    stopped_daemon.stop()
    for pf in range(2):
        (sysfs / "bus/pci/devices" / PF[pf] / "class").write_text("0x020000\n")
        link(sysfs, pf)
    stopped_daemon.start()
    stopped_daemon.sysfs, stopped_daemon.folder = sysfs, short_tmp
    yield stopped_daemon
    for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]:
        if vm["pid"]:
            stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})


def ask(host, path, body, expect=200):
    status, reply = host.request("POST", path, body)
    assert status == expect, reply
    API.check(API.operation("POST", path), status, reply)
    return reply


def alloc(host, name, **body):
    return ask(host, "/v1/vfs/alloc", {"name": name, **body})["pf"]


def look(host):
    host.request("GET", "/v1/pfs")


def why(reply, port=None):
    return {row["name"]: row["why"] for row in reply["placement"] if row.get("port") == port}


def vm(host, name, *ports, extra=""):
    return daemonkit.vm_yaml(host.folder, name, extra=extra + "ports:\n" + "".join(
        f"  - {{name: {port}}}\n" for port in ports))


def check(host, yaml, expect=200):
    return ask(host, "/v1/vms/check", {"yaml": yaml, "explain": True}, expect)


def test_policies_and_links(host):
    assert [alloc(host, f"a{n}", network="first") for n in range(2)] == [PF[0]] * 2
    # Free: 2, 4, 4.
    assert [alloc(host, f"b{n}", network="wide") for n in range(3)] == [PF[1], PF[2], PF[1]]
    # Free: 2, 2, 3.
    assert [alloc(host, f"c{n}", network="tight") for n in range(3)] == [PF[0], PF[0], PF[1]]
    # Free: 0, 1, 3. What has a link wins over what has none, even if it is the last.
    link(host.sysfs, 1, up=False)
    look(host)
    assert alloc(host, "d0", network="first") == PF[2]
    assert alloc(host, "d1", numa=0) == PF[1], "a link that is down is better than none"
    shown = {n["name"]: n["placement"] for n in host.request("GET", "/v1/networks")[1]["networks"]}
    assert shown == {"first": "order", "wide": "spread", "tight": "pack", "one": "order", "two": "order"}
    assert "spread" in host.cli("network", "list").stdout


def test_a_question_takes_nothing(host):
    alloc(host, "x", network="first")
    reply = ask(host, "/v1/vfs/alloc", {"network": "wide", "explain": True})
    assert (reply["state"], reply["lease"], reply["pf"]) == ("free", None, PF[1])
    assert why(reply) == {"eth0": "3 free, fewer than eth1 (spread)", "eth1": "chosen",
                          PF[2]: "slower than eth1", "eth9": "there is no such PF"}
    rows = {row["name"]: row for row in reply["placement"]}
    assert (rows["eth1"]["vf"], rows["eth1"]["link"], rows["eth1"]["speed_mbps"]) == ("eth1#0", "up", 10000)
    assert (rows["eth9"]["pf"], rows["eth9"]["rank"], rows["eth0"]["rank"]) == (None, None, 3)
    assert [vf["lease"] for vf in host.request("GET", "/v1/vfs")[1]["vfs"] if vf["lease"]] == ["x"]
    # With a name it is leased, and explained as well.
    reply = ask(host, "/v1/vfs/alloc", {"name": "y", "numa": 1, "explain": True})
    assert reply["lease"] == "y" and why(reply)["eth0"] == "node 0, asked for 1"
    assert host.request("POST", "/v1/vfs/alloc", {"explain": False})[0] == 400
    shown = host.cli("vf", "alloc", "--network", "wide", "--explain")
    assert shown.returncode == 0, shown.stderr
    assert "fewer than eth1 (spread)" in shown.stdout and "would be leased" in shown.stdout
    assert host.cli("vf", "alloc", "--network", "wide").returncode == 2


def test_who_is_refused_hears_of_every_pf(host):
    for n in range(8):
        alloc(host, f"n{n}", network="two")
    reply = ask(host, "/v1/vfs/alloc", {"name": "more", "network": "two", "explain": True}, 409)
    assert reply["error"]["code"] == "no-free-vf"
    assert reply["error"]["text"] == ("network two: no PF has a free VF: eth0: no free VF (4 leased); "
                                      "eth1: no free VF (4 leased)")
    assert "--explain" in reply["error"]["hint"] and set(why(reply)) == {"eth0", "eth1"}
    done = host.cli("vf", "alloc", "--network", "two", "--explain")
    assert done.returncode == 1 and "no free VF (4 leased)" in done.stdout and "network two" in done.stderr
    done = host.cli("--json", "vf", "alloc", "--network", "two", "--explain")
    assert done.returncode == 1 and len(json.loads(done.stderr)["placement"]) == 2
    text = ask(host, "/v1/vfs/alloc", {"name": "more", "numa": 0}, 409)["error"]["text"]
    assert "eth0: no free VF (4 leased)" in text and f"{PF[2]}: node 1, asked for 0" in text


def test_ports_beside_each_other(host):
    """Near their CPUs under spread; on different PFs with the same word; and each leaves room to one that has no other place."""
    reply = check(host, vm(host, "fw1", "a, network: wide", "b, network: first", extra="cpus: {pin: [4, 5]}\n"))
    assert why(reply, "a") == {"eth0": "node 0, the VM is on 1", "eth1": "node 0, the VM is on 1", PF[2]: "chosen",
                               "eth9": "there is no such PF"}
    assert why(reply, "b")["eth0"] == "chosen"
    ports = ("a, network: first, anti_affinity: [edge]", "b, network: first, anti_affinity: [core, edge]")
    reply = check(host, vm(host, "fw1", *ports))
    assert why(reply, "a")["eth0"] == "chosen"
    assert why(reply, "b") == {"eth0": "has fw1/a of anti-affinity word 'edge'", "eth1": "chosen",
                               PF[2]: "after eth1 in the list", "eth9": "there is no such PF"}
    assert reply["spec"]["ports"][1]["anti_affinity"] == ["core", "edge"]
    reply = check(host, vm(host, "fw1", ports[0], "b, network: one, anti_affinity: [edge]"))
    assert why(reply, "a")["eth0"].startswith("left to another port") and why(reply, "b")["eth0"] == "chosen"
    # Where there is no room, the start is refused with who has what.
    yaml = vm(host, "fw1", *(f"p{n}, network: two, anti_affinity: [edge]" for n in range(3)))
    error = check(host, yaml, 409)["error"]
    assert error["code"] == "anti-affinity", error
    assert error["text"] == ("port p2: network two: no PF has a free VF that may be taken: eth0: has fw1/p0 of anti-affinity "
                             "word 'edge'; eth1: has fw1/p1 of anti-affinity word 'edge'")
    status, reply = host.request("POST", "/v1/vms", {"yaml": yaml})
    assert status == 409, reply
    (host.folder / "fw1.yaml").write_text(yaml)
    for words in (("vm", "check"), ("vm", "run", "--dry-run")):
        done = host.cli(*words, str(host.folder / "fw1.yaml"), "--explain")
        assert done.returncode == 1 and "port p2" in done.stdout and "anti-affinity word 'edge'" in done.stderr
    assert host.cli("vm", "run", str(host.folder / "fw1.yaml"), "--explain").returncode == 2
    for words in ("[]", "[../x]", "[edge, edge]", "edge", "[a, b, c, d, e, f, g, h, i]"):
        assert host.request("POST", "/v1/vms/check", {"yaml": vm(host, "fw1", f"a, pf: eth0, anti_affinity: {words}")})[0] == 400


def test_words_hold_for_all_vms_and_over_a_restart(host):
    assert host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(host.folder, "fw2")})[0] == 200
    host.stop()
    daemonkit.ledger_change(host, "UPDATE vms SET facts = json_set(facts, '$.anti_affinity', json(?))",
                            '{"lan": ["edge"]}')
    daemonkit.ledger_change(host, "INSERT INTO vfs(pf, idx, address, state, lease, owner, generation, boot_id, note)"
                            " VALUES(?, 2, ?, 'assigned', '', 'fw2/lan', 1, ?, '')",
                            PF[0], tree._address(0, 2), daemonkit.boot_id())
    host.start()
    assert host.request("GET", "/v1/vms/fw2")[1]["anti_affinity"] == {"lan": ["edge"]}
    reply = check(host, vm(host, "fw1", "wan, network: first, anti_affinity: [edge]", "lan, network: first"))
    assert why(reply, "wan")["eth0"] == "has fw2/lan of anti-affinity word 'edge'"
    assert (why(reply, "wan")["eth1"], why(reply, "lan")["eth0"]) == ("chosen", "chosen")
    for source in ("pf: eth0", "network: one", "vf: \"eth0#1\""):
        error = check(host, vm(host, "fw1", f"wan, {source}, anti_affinity: [edge]"), 409)["error"]
        assert error["code"] == "anti-affinity" and "fw2/lan" in error["text"], error
    # The words go with the VFs.
    assert host.request("POST", "/v1/vms/fw2/kill", {})[0] == 200
    left = {vf["id"]: vf["state"] for vf in host.request("GET", "/v1/vfs")[1]["vfs"]}
    assert left["eth0#2"] in ("free", "quarantined")
    reply = check(host, vm(host, "fw1", "wan, network: first, anti_affinity: [edge]"))
    assert why(reply, "wan")["eth0"] == "chosen"

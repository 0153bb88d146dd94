# SPDX-License-Identifier: BSD-3-Clause
"""MAC, VLAN, trust and their like: set, read back by viaduct and by ip, and shown by traffic."""

import json
import subprocess

from crashkit import SLEEPS
from labkit import Guest, cli, cli_json, pvh_kernel, refused, vfs, vmfile


def ip_vf(pf, index):
    out = subprocess.run(["ip", "-j", "-d", "link", "show", pf], capture_output=True, text=True, check=True)
    return next(v for v in json.loads(out.stdout)[0]["vfinfo_list"] if v["vf"] == index)


def test_attributes_read_back(pf):
    vf = f"{pf}#0"
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        said = cli_json("vf", "set", "mine", "mac=02:00:00:00:0a:01", "vlan=100", "qos=3", "trust=on",
                        "spoofchk=off", "max_tx_rate=500")
        real = ip_vf(pf, 0)
        assert said["attributes"]["mac"] == real["address"] == "02:00:00:00:0a:01"
        assert said["attributes"]["vlan"] == real["vlan_list"][0]["vlan"] == 100
        assert said["attributes"]["qos"] == real["vlan_list"][0]["qos"] == 3
        assert said["attributes"]["trust"] is real["trust"] is True
        assert said["attributes"]["spoofchk"] is real["spoofchk"] is False
        assert said["attributes"]["max_tx_rate"] == real["rate"]["max_tx"] == 500
        assert cli_json("vf", "show", "mine")["attributes"] == said["attributes"]
    finally:
        cli("vf", "release", "mine")
    real = ip_vf(pf, 0)
    # Nothing of this owner may reach the next.
    assert real["vlan_list"][0].get("vlan", 0) == 0 and real["trust"] is False and real["spoofchk"] is True
    assert real["address"] != "02:00:00:00:0a:01" and real["rate"]["max_tx"] == 0
    assert cli_json("vf", "show", vf)["state"] == "free"


def test_attributes_out_of_reach_are_not_clean(pf):
    """The PF's network device is in another namespace when the VF comes back."""
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    vf = cli_json("vf", "set", "mine", "vlan=100", "trust=on")["address"]
    subprocess.run(["ip", "netns", "add", "away"], check=True)
    try:
        subprocess.run(["ip", "link", "set", pf, "netns", "away"], check=True)
        assert "no network device" in refused("vf", "release", "mine")
        assert cli_json("vf", "show", vf)["state"] == "quarantined"
    finally:
        subprocess.run(["ip", "-n", "away", "link", "set", pf, "netns", "1"], check=True)
        subprocess.run(["ip", "netns", "del", "away"], check=True)
    assert ip_vf(pf, 0)["trust"] is True
    assert cli_json("vf", "release", vf)["state"] == "free"
    assert ip_vf(pf, 0)["trust"] is False and ip_vf(pf, 0)["vlan_list"][0].get("vlan", 0) == 0


def test_what_the_driver_cannot_do_names_it(pf):
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        text = refused("vf", "set", "mine", "link_state=down")
        assert "igb" in text and "link" in text
        assert "igb" in refused("vf", "set", "mine", "min_tx_rate=10")
    finally:
        cli("vf", "release", "mine")


def test_words_of_a_port_that_the_driver_cannot_follow(pf, folder):
    """Never ignored: refused with the word and the driver, by the check and by the start."""
    kernel = pvh_kernel(folder / "sleeps.elf", SLEEPS)
    for word, value in {"uplink_loss": "keep", "queues": "2", "vlan": "{mode: trunk, ids: [5, 6]}", "mtu": "9000"}.items():
        file = str(vmfile.write(folder, "words", [f"name: wan, pf: {pf}, {word}: {value}"], kernel=kernel))
        text = refused("vm", "check", file)
        assert f"port wan: {word}" in text and pf in text and (word == "mtu" or "igb" in text), text
    assert "min_rate" in refused("vm", "run", str(vmfile.write(folder, "words", [f"name: wan, pf: {pf}, min_rate: 10M"], kernel=kernel)))
    assert all(v["state"] == "free" for v in vfs(pf).values())


def test_a_mac_is_one_stations(pf, folder):
    mac, kernel = "02:00:00:00:0b:08", pvh_kernel(folder / "sleeps.elf", SLEEPS)
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        cli("vf", "set", "mine", f"mac={mac}")
        file = str(vmfile.write(folder, "twin", [f'name: wan, pf: {pf}, mac: "{mac}"'], kernel=kernel))
        for command in ("check", "run"):
            assert f"VF 0 of PF {pf} (mine) has {mac}" in refused("vm", command, file)
    finally:
        cli("vf", "release", "mine")
    file = str(vmfile.write(folder, "twin", [f'name: {name}, pf: {pf}, mac: "{mac}"' for name in ("wan", "lan")], kernel=kernel))
    assert "port lan: mac: port wan has the same" in refused("vm", "check", file)


def test_bad_values_change_nothing(pf):
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        before = ip_vf(pf, 0)
        for bad in ("mac=zz", "mac=01:00:00:00:00:01", "mac=00:00:00:00:00:00", "vlan=4095", "vlan=-1",
                    "qos=8", "trust=maybe", "colour=red", "mac", "proto=802.1x"):
            refused("vf", "set", "mine", bad, status=2)
        assert ip_vf(pf, 0) == before
        refused("vf", "set", "nosuch", "vlan=1")
    finally:
        cli("vf", "release", "mine")


def test_lease_names_are_exclusive(pf):
    cli("vf", "alloc", "--pf", pf, "--name", "mine")
    try:
        refused("vf", "alloc", "--pf", pf, "--name", "mine")
        cli("vf", "alloc", "--pf", pf, "--name", "second")
        text = refused("vf", "alloc", "--pf", pf, "--name", "third")
        assert pf in text
        cli("vf", "release", "second")
        refused("vf", "release", "second")
    finally:
        cli("vf", "release", "mine")
    assert all(v["state"] == "free" for v in vfs(pf).values())


def test_mac_and_vlan_on_the_wire(pf, far, folder):
    mac = "02:00:00:00:0b:07"
    port = f'name: wan, pf: "{pf}", mac: "{mac}", vlan: {{mode: access, ids: [100]}}'
    far.ip("link", "add", "link", far.dev, "name", "tag100", "type", "vlan", "id", "100")
    far.ip("addr", "add", "10.78.0.1/24", "dev", "tag100")
    far.ip("link", "set", "tag100", "up")
    sniffer = far.sniff()
    try:
        with Guest(folder, "vlan", [port]) as guest:
            assert guest.console.mac("eth0") == mac
            guest.network_up("10.78.0.2")
            assert guest.ping("10.78.0.1")
            assert guest.port()["mac"] == mac and guest.port()["vlan"] == 100
        seen = {(source, vlan) for source, vlan, _ in sniffer.echo_requests()}
        assert seen == {(mac, 100)}
    finally:
        sniffer.close()
        far.ip("link", "del", "tag100")

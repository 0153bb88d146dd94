# SPDX-License-Identifier: BSD-3-Clause
"""Addresses that an uplink shall take beside its own, as viaduct-pmd is asked for them."""

import pytest
from pmdkit import PmdError, exchange, pmd, pmd_program  # noqa: F401


def test_a_device_says_what_it_takes(pmd):  # noqa: F811
    pmd.call("uplink-add", name="hole", kind="null", device="")
    [before] = pmd.call("status")["uplinks"]
    assert before["macs"] == [] and before["mac_room"] >= 0
    up = pmd.call("uplink-macs", name="hole", macs=["02:00:00:00:00:01", "02:00:00:00:00:02"])["uplink"]
    # It has no filter, and does not say that it had.
    assert up["mac_room"] == 0 and up["macs"] == []
    assert pmd.call("uplink-macs", name="hole", macs=[])["uplink"] == up == pmd.call("status")["uplinks"][0]


@pytest.mark.parametrize("members, code, text", [
    ({"op": "uplink-macs", "name": "nic0", "macs": []}, "no-such-uplink", "nic0"),
    ({"op": "uplink-macs", "name": "hole"}, "", "macs"),
    ({"op": "uplink-macs", "name": "hole", "macs": [1]}, "", "item 0"),
    ({"op": "uplink-macs", "name": "hole", "macs": ["02:00:00:00:00:01", "03:00:00:00:00:01"]}, "", "item 1"),
    ({"op": "uplink-macs", "name": "hole", "macs": ["00:00:00:00:00:00"]}, "", "item 0"),
    ({"op": "uplink-macs", "name": "hole", "macs": ["02:00:00:00:00:01"] * 2}, "", "twice"),
    ({"op": "uplink-macs", "name": "hole", "macs": [f"02:00:00:00:01:{n:02x}" for n in range(129)]}, "", "macs"),
    ({"op": "uplink-add", "name": "vf0", "kind": "vf", "device": "ffff:ff:1f.6"}, "no-such-device", "ffff:ff:1f.6"),
    ({"op": "uplink-add", "name": "vf0", "kind": "vf", "device": "eth0"}, "", "device"),
])
def test_a_bad_request_changes_nothing(pmd, members, code, text):  # noqa: F811
    pmd.call("uplink-add", name="hole", kind="null", device="")
    before = pmd.call("status")["uplinks"]
    with pytest.raises(PmdError, match=text) as e:
        exchange(pmd.sock, {"v": 1, **members})
    assert e.value.code == code
    assert pmd.call("status")["uplinks"] == before

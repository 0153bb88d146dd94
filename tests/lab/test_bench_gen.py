# SPDX-License-Identifier: BSD-3-Clause
"""The traffic generator on network cards by DPDK's own drivers: the second PF at one end of the cable, a VF of the first at the other."""

import json
import pathlib
import sys
import time

import pytest
from labkit import TOP, cli, cli_json, eventually, peer

sys.path[:0] = [str(TOP / "bench"), str(TOP / "tests/component")]
from genkit import Gen, GenError  # noqa: E402
from run import host  # noqa: E402

MIB = 128


@pytest.fixture
def ends(pf, ports):
    """Addresses of the PF and the VF, both with vfio-pci, and memory; afterwards all is as it was."""
    far = (pathlib.Path("/sys/class/net") / ports[1] / "device").resolve().name
    with host.Borrowed() as borrowed:
        assert host.hugepages(borrowed, MIB)
        vf = cli_json("vf", "alloc", "--pf", pf, "--name", "gen")["address"]
        borrowed.callback("lease", cli, "vf", "release", "gen")
        borrowed.callback("driver", host.bind, vf, host.bind(vf, "vfio-pci"))
        host.take(borrowed, far)
        yield far, vf
    assert borrowed.left == []
    peer.wait_carrier(ports[1])  # by its name, with its driver


@pytest.mark.timeout(300)
def test_what_one_card_sends_the_other_has(ends, pf, ports, build_dir, tmp_path):
    with Gen(build_dir, tmp_path, memory=MIB - 32, pages=("--in-memory",)) as gen:
        own = (pathlib.Path("/sys/class/net") / pf / "device").resolve().name
        with pytest.raises(GenError, match=f"{own} is with igb, not with vfio-pci"):
            gen.port("own", own)
        far, vf = (gen.port(name, address) for name, address in zip(("far", "vf"), ends))
        assert far["driver"] == "net_e1000_igb" and vf["driver"] == "net_e1000_igb_vf"
        assert far["link_up"] and vf["link_up"] and far["link_mbps"] == vf["link_mbps"] == 1000
        for tx, rx in (("far", "vf"), ("vf", "far")):
            for sizes in ("64", "1518", "imix"):
                out = gen.trial(tx, rx, sizes=sizes, flows=16, window=8, ms=500)
                assert out["sent"] == out["received"] > 0, out
                assert [out[key] for key in ("lost", "duplicated", "reordered", "bad")] == [0] * 4, out
                late = out["latency"]
                rising = [late[key] for key in ("min_ns", "mean_ns", "max_ns") if late[key] is not None]
                assert late["count"] == out["received"] and 0 < rising[0] and rising == sorted(rising)
        out = gen.ask("burst", tx="far", rx="vf", sizes="64", frames=32)
        assert out["sent"] == out["received"] == 32
        # To an address that nobody has.
        out = gen.trial("far", "vf", rate_pps=100, ms=200, dst_mac="02:00:00:00:0f:0f")
        assert out["sent"] == out["lost"] > 0
        # The cable is pulled meanwhile: what is lost is not the other end's doing.
        gen.say(json.dumps({"op": "trial", "tx": "far", "rx": "far", "sizes": "64", "rate_pps": 100, "ms": 600000}))
        time.sleep(1)
        peer.link_ctl("pf1", "down")
        gen.signal()  # the trial's end, however long that took
        try:
            assert gen.hear()["link_up"] is False
        finally:
            peer.link_ctl("pf1", "up")
        eventually(lambda: gen.trial("far", rate_pps=100, ms=100)["link_up"], "the link")
        # Whoever asks twice for one function leaves the first as it is.
        with pytest.raises(GenError, match="port: .* is a port already"):
            gen.port("again", ends[0])
        assert gen.trial("far", "vf", window=8, ms=100)["received"] > 0
        for name in ("far", "vf"):
            gen.ask("close", name=name)
        assert gen.port("far", ends[0])["driver"] == "net_e1000_igb"
        assert gen.quit() == 0


@pytest.mark.timeout(300)
def test_jumbo_frames_go_both_ways_for_ever(ports, build_dir, tmp_path):
    """A card keeps what it sent until its ring comes round: both rings at once, more often than they have places."""
    addresses = [(pathlib.Path("/sys/class/net") / name / "device").resolve().name for name in ports]
    with host.Borrowed() as borrowed:
        assert host.hugepages(borrowed, MIB)
        for address in addresses:
            # Its VFs go with its driver; cases that need some make them.
            (pathlib.Path("/sys/bus/pci/devices") / address / "sriov_numvfs").write_text("0")
            host.take(borrowed, address)
        with Gen(build_dir, tmp_path, memory=MIB - 32, pages=("--in-memory",)) as gen:
            for name, address in zip("ab", addresses):
                gen.port(name, address, mtu=9000)
            for _ in range(2):
                for tx, rx in ("ab", "ba"):
                    out = gen.ask("burst", tx=tx, rx=rx, sizes="9000", frames=1500, window=16)
                    assert out["sent"] == out["received"] == 1500 and out["lost"] == 0, out
            assert gen.quit() == 0
    assert borrowed.left == []
    for name in ports:
        peer.wait_carrier(name)


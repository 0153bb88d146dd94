# SPDX-License-Identifier: BSD-3-Clause
"""A guest that points its VF's ring outside its memory: seen, tied to its VM, and nobody else is hurt.

The alarm faults-lost that this leaves stays for 300 s; `far` has taken pf1 away: after the cases that mind either."""

import time

from labkit import Guest, cli, cli_json, eventually, vfs
from operate import api

TDBAL, TDBAH, TDT = 0x3800, 0x3804, 0x3818  # of a VF's first queue (82576 datasheet, 8.26 to 8.28)
OUTSIDE = 0x123456000
HALF_WAY = OUTSIDE & 0xffffffff  # outside, too: the guest may send something between the two writes
CMDLINE = "console=ttyS0 quiet mitigations=off iomem=relaxed"


def entry(vf):
    return next((f for f in cli_json("iommu", "faults")["functions"] if f["function"] == vf and f["vm"]), None)


def ring_outside(guest, dev="eth0"):
    """Its driver's transmit ring lies where the guest has no memory; the next packet is read from there."""
    base = int(guest.run(f"head -1 /sys/class/net/{dev}/device/resource").split()[0], 16)
    guest.run(f"devmem {base + TDBAL:#x} 32 {HALF_WAY:#x}; devmem {base + TDBAH:#x} 32 {OUTSIDE >> 32:#x}")
    return base


def quarantined_by_its_fault(bad, good):
    """The port that asks for it loses its DMA with its first fault; the guest's other port goes on."""
    bad.network_up("10.78.0.21", "eth1")
    ring_outside(bad, "eth1")
    bad.run("ping -c 1 -W 1 10.78.0.1 || true")
    eventually(lambda: (bad.port(1)["quarantine"] or {"state": None})["state"] == "on", "the quarantine")
    now = bad.port(1)
    assert now["quarantine"]["by"] == "on_fault", now
    assert any(f"{address:#x} " in now["quarantine"]["why"] for address in (OUTSIDE, HALF_WAY)), now
    assert not now["bus_mastering"] and bad.port()["quarantine"] is None
    eventually(lambda: bad.port(1)["link"], "the word of its link")
    assert "igb has no link state" in bad.port(1)["link"]["why"]
    assert bad.ping(count=3) and good.ping(count=3)


def test_a_ring_outside_the_guest_is_a_fault_of_its_vm(pf, far, folder):
    cli("pf", "apply", pf, "--vfs", "3")
    ports = [f"name: wan, pf: {pf}", f"name: lan, pf: {pf}, on_fault: quarantine"]
    with Guest(folder, "bad", ports, cmdline=CMDLINE) as bad, \
         Guest(folder, "good", [f"name: wan, pf: {pf}"]) as good:
        good.network_up("10.77.0.22")
        bad.network_up("10.77.0.21")
        quarantined_by_its_fault(bad, good)
        vf = bad.port()["vf"]
        base = ring_outside(bad)
        bad.run("ping -c 1 -W 1 10.77.0.1 || true")
        eventually(lambda: entry(vf), "the fault")
        found = entry(vf)
        assert (found["vm"], found["port"], found["last"]["kind"]) == ("bad", "wan", "dma-read")
        assert found["last"]["address"] == hex(OUTSIDE) and found["last"]["reason"] == 6
        eventually(lambda: ("dma-fault", "bad/wan") in [(a["kind"], a["object"]) for a in api.get("/v1/alarms")["alarms"]], "the alarm")
        # A storm: what the kernel leaves out is said, the other VM loses nothing. Its driver may find out and mend its ring.
        began = time.monotonic()
        for _ in range(5):
            ring_outside(bad)
            bad.run(f"i=0; while [ $i -lt 60 ]; do devmem {base + TDT:#x} 32 $((i % 200)); i=$((i + 1)); done")
            if cli_json("iommu", "faults")["missing"]["any"]:
                break
        assert good.ping(count=3)
        eventually(lambda: cli_json("iommu", "faults")["missing"]["any"], "the word of what is missing")
        text = cli("iommu", "faults")
        print(f"storm of {time.monotonic() - began:.1f} s:\n{text}")
        assert ">= " in text and "Records are missing" in text and "of a CPU" in text
        reader = cli_json("iommu", "faults")["reader"]
        assert reader["cpu_ns"] > 0 and reader["cpu_share"] <= 0.05 and reader["cpu_share_peak"] <= 0.05, reader
        assert f"{vf} " in text and "faults" in cli("vm", "show", "bad")
        # It cannot be let near its memory again, and the other VM knows nothing of it.
        cli("vm", "quarantine", "bad/wan")
        bad.run(f"cd /sys/class/net/eth0/device && echo 1 >reset; setpci_value=$(dd if=config bs=1 skip=4 count=2 2>/dev/null | od -An -tx1);"
                f" printf '\\006\\000' | dd of=config bs=1 seek=4 conv=notrunc 2>/dev/null; echo $setpci_value")
        count = entry(vf)["count"]
        for _ in range(5):
            bad.run(f"devmem {base + TDBAH:#x} 32 1; devmem {base + TDT:#x} 32 9")
        assert entry(vf)["count"] == count and not bad.port()["bus_mastering"]
        assert bad.port()["quarantine"]["state"] == "on" and bad.run("echo alive").strip() == "alive"
        assert good.ping(count=3)
        cli("vm", "unquarantine", "bad/wan")
        assert bad.port()["bus_mastering"] and bad.port()["quarantine"] is None
    eventually(lambda: "dma-fault" not in [a["kind"] for a in api.get("/v1/alarms")["alarms"]], "the end of the alarm")
    eventually(lambda: all(v["state"] == "free" for v in vfs(pf).values()), "all VFs free")

# SPDX-License-Identifier: BSD-3-Clause
"""A run of `viaduct bench` that is killed in the middle: the next one gives the host everything back."""

import os
import pathlib
import subprocess

import pytest
from labkit import TOP, cli_json, eventually, peer, vfs
from operate.viaduct import build_dir

POOL = pathlib.Path("/proc/sys/vm/nr_hugepages")
OURS = ("viaduct-gen", "viaduct-reflec")


def pci_of(interface):
    return (pathlib.Path("/sys/class/net") / interface / "device").resolve().name


def driver_of(address):
    link = pathlib.Path("/sys/bus/pci/devices") / address / "driver"
    return link.resolve().name if link.exists() else ""


def running():
    """Programs of a run."""
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            found.append(comm.read_text().strip())
        except OSError:
            continue  # it has ended meanwhile
    return [name for name in found if name in OURS]


def state(pf, wire):
    return {"pages": POOL.read_text(), "vfs": {address: (vf["state"], vf["driver"], vf["lease"]) for address, vf in vfs(pf).items()},
            "vms": cli_json("vm", "list")["vms"], "wire": driver_of(wire), "ours": running()}


def bench(*words):
    return subprocess.Popen([TOP / "bench/main", "run", "host-vf", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, "VIADUCT_BENCH_CLI": str(build_dir() / "cli/viaduct")})


@pytest.mark.timeout(300)
def test_the_run_after_one_that_was_killed_gives_everything_back(pf, ports):
    wire = pci_of(ports[1])
    before = state(pf, wire)
    run = bench("--pf", pf, "--wire", wire)
    said = ""
    while "VF answers" not in said:
        line = run.stderr.readline()
        assert line, said
        said += line
    run.kill()
    run.communicate()
    eventually(lambda: not running(), "the end of its programs")
    left = state(pf, wire)
    assert left["wire"] == "vfio-pci" and any(lease for _, _, lease in left["vfs"].values()) and left["pages"] != before["pages"]
    # The next one has nothing to do, since it is not told which wire.
    said = bench("--pf", pf).communicate(timeout=200)[1]
    for what in (f"driver of {wire}", "lease bench-", "hugepages"):
        assert f"it is given back now: {what}" in said, said
    assert "has left this" not in said, said
    peer.wait_carrier(ports[1])  # by its name
    eventually(lambda: state(pf, wire) == before, "the host as it was")
    said = bench("--pf", pf).communicate(timeout=200)[1]
    assert "earlier run" not in said

#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""The part of `scripts/bench lab` in the virtual host: a daemon, VFs of pf0, and `viaduct bench run` as an operator types it, with the
generator on pf1, the other end of the cable. Looks afterwards whether the host has everything back."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "lab"))

from operate import peer  # noqa: E402
from operate.host import igb_ports  # noqa: E402
from operate.viaduct import Daemon, build_dir, cli, cli_json  # noqa: E402

VFS = 4
NOT_AS_IT_WAS = 3  # exit status, whatever that of the run was
POOL = pathlib.Path("/proc/sys/vm/nr_hugepages")


def state(ports):
    """What must be after as before."""
    return {"pages": POOL.read_text().strip(), "vms": [vm["name"] for vm in cli_json("vm", "list")["vms"]],
            "vfs": {vf["address"]: (vf["state"], vf["driver"], vf["lease"]) for vf in cli_json("vf", "list")["vfs"]},
            "wire": (ports[1], (pathlib.Path("/sys/class/net") / ports[1] / "device/driver").resolve().name),
            "ours": sorted(name for name in programs() if name in ("viaduct-gen", "viaduct-reflec", "viaduct-pmd"))}


def programs():
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            yield comm.read_text().strip()
        except OSError:
            continue  # it has ended meanwhile


def read_ahead(words):
    """In deterministic time whoever waits for a file from outside sees seconds pass, since nothing else runs: what is going to be read
    is read before, when nobody waits."""
    build = build_dir()
    files = [build / name for name in ("cli/viaduct", "vmm/viaduct-vmm", "bench/reflect/viaduct-reflect")]
    files += [pathlib.Path(word) for word in words if word.startswith("/")]
    for file in filter(pathlib.Path.is_file, files):
        with open(file, "rb") as f:
            while f.read(1 << 20):
                pass


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--interrupt-after", type=float, help="Ctrl-C after so many seconds")
    args, words = options.parse_known_args()
    if not os.environ.get("VIADUCT_LAB"):
        sys.exit("bench lab: this part runs inside the virtual host; use scripts/bench lab")
    ports = igb_ports()
    wire = f"af-packet:{ports[1]}"
    if "counted" in words:
        read_ahead(words)
    else:
        wire = (pathlib.Path("/sys/class/net") / ports[1] / "device").resolve().name
    daemon = Daemon()
    daemon.start()
    try:
        for port in ports:
            peer.ip("link", "set", port, "up")
        cli("pf", "apply", ports[0], "--vfs", str(VFS))
        for port in ports:
            peer.wait_carrier(port)
        before = state(ports)
        # The benchmark's own program: the command has no word for what only a virtual host can do.
        os.environ["VIADUCT_BENCH_CLI"] = str(build_dir() / "cli/viaduct")
        command = [str(TOP / "bench/main"), "run", *words, "--pf", ports[0], "--wire", wire]
        with subprocess.Popen(command) as run:
            try:
                status = run.wait(args.interrupt_after)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGINT)
                status = run.wait()
        after = state(ports)
        if after != before:
            print(f"bench lab: the host is not as it was: {before} became {after}", file=sys.stderr)
            status = NOT_AS_IT_WAS
    finally:
        daemon.stop()
        print(daemon.log_tail(15), file=sys.stderr)
    sys.exit(status)


main()

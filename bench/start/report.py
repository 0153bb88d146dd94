# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the start benchmark: medians, and ratios of viaduct's to each peer's in the same run."""

import statistics

PEERS = ("qemu-q35", "qemu-microvm")


def median_of(starts, row, monitor, key="init"):
    values = [s[key] for s in starts if (s["row"], s["monitor"]) == (row, monitor)]
    return statistics.median(values) if values else None


def paired(starts, row, peer, key="init"):
    """viaduct's time over the peer's, round by round: lowest, median, highest."""
    by_round = {}
    for s in starts:
        if s["row"] == row:
            by_round.setdefault(s["round"], {})[s["monitor"]] = s[key]
    ratios = sorted(r["viaduct"] / r[peer] for r in by_round.values() if {"viaduct", peer} <= r.keys())
    return [ratios[0], statistics.median(ratios), ratios[-1]] if ratios else None


def ratio(starts, row, peer, key="init"):
    ours, theirs = median_of(starts, row, "viaduct", key), median_of(starts, row, peer, key)
    return ours / theirs if ours is not None and theirs is not None else None


def breakdown(starts, row):
    """Median seconds of each step of viaduct's starts, in their order."""
    steps = {}
    for s in starts:
        if (s["row"], s["monitor"]) == (row, "viaduct"):
            for name, seconds in s["steps"].items():
                steps.setdefault(name, []).append(seconds)
    return {name: statistics.median(values) for name, values in steps.items()}


def row_summary(starts, row):
    monitors = list(dict.fromkeys(s["monitor"] for s in starts if s["row"] == row))
    return {
        "ratio": ratio(starts, row, PEERS[0]),
        "ratios": {p: ratio(starts, row, p) for p in PEERS if p in monitors},
        "paired": {p: paired(starts, row, p) for p in PEERS if p in monitors},
        "medians": {m: {key: median_of(starts, row, m, key) for key in ("init", "ready", "private_kib")}
                    for m in monitors},
        "run": median_of(starts, row, "viaduct", "run"),
        "breakdown": breakdown(starts, row),
    }


def summary(wall, icount):
    """wall, icount: what bench/start/inside.py wrote; icount may be None."""
    rows = {row: row_summary(wall["starts"], row) for row in dict.fromkeys(s["row"] for s in wall["starts"])}
    out = {"rounds": 1 + max(s["round"] for s in wall["starts"]), "host": wall["host"]}
    out.update(rows.pop("plain"))
    out.update(rows)
    out["private_kib"] = max(s["private_kib"] for s in wall["starts"] if s["monitor"] == "viaduct")
    if icount:
        out["icount"] = row_summary(icount["starts"], "vf")
    out["starts"] = {"wall": wall["starts"], "icount": icount["starts"] if icount else []}
    return out


def firmware_summary(icount):
    """icount: what bench/start/inside.py wrote of the rows with firmware. The ratio is of the time to the kernel's entry."""
    starts, peer = icount["starts"], PEERS[0]
    rows = {row: {"ratio": ratio(starts, row, peer, "entry"), "paired": paired(starts, row, peer, "entry"),
                  "init_ratio": ratio(starts, row, peer),
                  "medians": {m: {key: median_of(starts, row, m, key) for key in ("entry", "init", "private_kib")}
                              for m in ("viaduct", peer)},
                  "breakdown": breakdown(starts, row)}
            for row in dict.fromkeys(s["row"] for s in starts)}
    return {"rounds": 1 + max(s["round"] for s in starts), "host": icount["host"], **rows, "starts": starts}


def firmware_text(out):
    titles = {"firmware": "without a device", "firmware-vf": "with a VF"}
    lines = ["Start of a guest by stock OVMF, from the exec of its monitor: 1 vCPU, 512 MiB, the same firmware, kernel file and",
             f"initramfs, variables of an earlier start; medians of {out['rounds']} interleaved rounds in deterministic time (1 ns an",
             f"instruction, 1 CPU). {out['host']['qemu']}, kernel {out['host']['kernel']}.", ""]
    for name, title in titles.items():
        row = out.get(name)
        if not row:
            continue
        lines.append(f"{title}: viaduct takes {row['ratio']:.2f} of q35's time to the kernel's entry (paired "
                     f"{'  '.join(f'{x:.2f}' for x in row['paired'])}), {row['init_ratio']:.2f} to the guest's init")
        lines += [f"  {monitor:14}{values['entry']:8.2f} s{values['init']:8.2f} s" for monitor, values in row["medians"].items()]
        steps = ", ".join(f"{step} {1000 * s:.0f}" for step, s in row["breakdown"].items())
        lines += [f"  viaduct's steps, ms: {steps}", ""]
    return "\n".join(lines)


def _row_lines(title, row):
    yield f"{title}"
    yield f"  {'monitor':14}{'to init':>10}{'to ready':>10}{'viaduct is':>12}{'paired: low, median, high':>30}"
    for monitor, values in row["medians"].items():
        share, low_high = row["ratios"].get(monitor), row["paired"].get(monitor)
        yield (f"  {monitor:14}{values['init']:8.2f} s{values['ready']:8.2f} s"
               f"{f'{share:.2f} of it' if share else '':>12}"
               f"{'  '.join(f'{x:.2f}' for x in low_high) if low_high else '':>30}")
    steps = ", ".join(f"{name} {1000 * s:.0f}" for name, s in row["breakdown"].items())
    yield f"  viaduct's steps, ms: {steps}"


def text(out):
    """The report for people."""
    titles = {"plain": "without a device", "vf": "with a VF", "vmlinux": "vmlinux, without a device"}
    lines = ["Start of a guest, from the exec of its monitor: 1 vCPU, 512 MiB, same kernel file, initramfs and",
             f"command line; medians of {out['rounds']} interleaved rounds. {out['host']['qemu']}, kernel "
             f"{out['host']['kernel']}.",
             "In an emulated host seconds say little and ratios compare what the monitors and the guest's kernel do.", ""]
    for name, title in titles.items():
        row = out if name == "plain" else out.get(name)
        if row:
            lines += [*_row_lines(title, row), ""]
    if "icount" in out:
        lines += [*_row_lines("with a VF, in deterministic time (1 ns an instruction, 1 CPU)", out["icount"]), ""]
    lines.append(f"viaduct-vmm's private memory, guest RAM apart: at most {out['private_kib'] / 1024:.1f} MiB")
    return "\n".join(lines)

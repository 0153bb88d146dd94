# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the benchmark of disks: paired round by round, with intervals, as table and JSON."""

from figures import aligned, number, paired, put, with_interval


def case_summary(case, rounds):
    out = {"case": case.name, "place": case.place, "write": case.write, "depth": case.depth, "rounds": len(rounds), "samples": rounds}
    for name in ("viaduct", "qemu"):
        put(out, f"{name}_iops", [r[name]["iops"] for r in rounds])
        put(out, f"{name}_p50", [r[name]["p50"] for r in rounds if r[name]["p50"]])
    put(out, "ratio", paired(rounds, "viaduct", "qemu", "iops"))
    return out


def line(case):
    return (f"{case['case']}: viaduct {number(case['viaduct_iops'], 0)}, qemu {number(case['qemu_iops'], 0)} a second, "
            f"ratio {with_interval(case, 'ratio', 3)}")


def text(out):
    rows = [["case", "viaduct", "qemu", "viaduct/qemu", "p50 ns", "qemu"]]
    for case in out["cases"]:
        rows.append([case["case"], number(case["viaduct_iops"], 0), number(case["qemu_iops"], 0), with_interval(case, "ratio", 3),
                     number(case["viaduct_p50"], 0), number(case["qemu_p50"], 0)])
    facts = out["machine"]
    notes = [f"{out['rounds']} rounds of {out['slice_ms']} ms a backend, in turn; {facts['cpu']}, {facts['cpus']} CPUs"
             + (", a virtual machine" if facts["virtual"] else "") + f"; {out['versions']['qemu']}"]
    if out["rounds"] < 6:
        notes.append("no intervals: those of 95% take 6 rounds")
    return "\n".join(["requests of 4 KiB a second (median), viaduct's over QEMU's of the same round (median, 95% interval)",
                      *aligned(rows), "", *notes])

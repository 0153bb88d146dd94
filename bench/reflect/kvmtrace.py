# SPDX-License-Identifier: BSD-3-Clause
"""KVM's trace events in the virtual host: what its statistics do not tell apart, above all exits for EOI."""

import collections
import pathlib
import re
import subprocess

TRACING = pathlib.Path("/sys/kernel/tracing")
EVENTS = ("kvm_exit", "kvm_inj_virq", "kvm_apic_accept_irq", "kvm_apic", "kvm_pio", "kvm_mmio")
LINE = re.compile(r": (kvm_\w+|tracing_mark_write): (.*)")
MARK = "viaduct-trace"

# A processor's words (AMD's, Intel's) and ours. What is not here is "other".
KINDS = {
    "hlt": "hlt", "HLT": "hlt",
    "msr": "msr", "MSR_READ": "msr", "MSR_WRITE": "msr",
    "interrupt": "external", "EXTERNAL_INTERRUPT": "external",
    "vintr": "window", "INTERRUPT_WINDOW": "window",
    "npf": "mmio", "EPT_VIOLATION": "mmio", "EPT_MISCONFIG": "mmio",
    "io": "pio", "IO_INSTRUCTION": "pio",
    "PREEMPTION_TIMER": "timer",
}


class KvmTrace:
    """A context manager for a host with one VM: .lines holds what happened between the calls of mark()."""

    def __init__(self):
        self.lines = []

    def __enter__(self):
        if not (TRACING / "trace").exists():
            subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)
        (TRACING / "buffer_size_kb").write_text("16384")
        (TRACING / "trace").write_text("")
        self.switch("1")
        return self

    def switch(self, word):
        for event in EVENTS:
            (TRACING / "events/kvm" / event / "enable").write_text(word)

    def mark(self):
        (TRACING / "trace_marker").write_text(MARK)

    def __exit__(self, *exc):
        self.switch("0")
        text = (TRACING / "trace").read_text()
        (TRACING / "trace").write_text("")
        if exc[0] is not None:
            return
        assert "LOST" not in text, "the trace's buffer was too small"
        lines = [m.groups() for m in map(LINE.search, text.splitlines()) if m]
        first, last = [i for i, (_, rest) in enumerate(lines) if rest == MARK]
        self.lines = lines[first + 1:last]

    def counts(self):
        """{event: times}, {reason of an exit: times}."""
        events = collections.Counter(name for name, _ in self.lines)
        reasons = collections.Counter(re.search(r"reason (\S+)", rest)[1]
                                      for name, rest in self.lines if name == "kvm_exit")
        return events, reasons

    def kinds(self):
        """{kind: exits}, those for an EOI apart from those for other MSRs (or, without x2APIC, for the APIC's page)."""
        _, reasons = self.counts()
        kinds = collections.Counter()
        for reason, number in reasons.items():
            kinds[KINDS.get(reason, "other")] += number
        eoi, _ = self.eoi_exits()
        kinds["msr" if kinds["msr"] >= eoi else "mmio"] -= eoi
        return {"all": sum(reasons.values()), **kinds, "eoi": eoi}

    def eoi_exits(self):
        """(exits for an EOI, those of them that KVM's own rules do not explain).

        KVM offers the exitless EOI unless another interrupt waits, and takes the offer back when the guest
        exits for anything else between the interrupt and its end."""
        total = unexplained = exits = 0
        waiting, explained = set(), True
        for name, rest in self.lines:
            if name == "kvm_apic_accept_irq":
                waiting.add(int(re.search(r"vec (\d+)", rest)[1]))
            elif name == "kvm_inj_virq" and "reinjected" not in rest:
                waiting.discard(int(rest.split()[1], 16))
                explained, exits = bool(waiting), 0
            elif name == "kvm_exit":
                exits += 1
            elif name == "kvm_apic" and rest.startswith("apic_write APIC_EOI"):
                total += 1
                unexplained += not explained and not waiting and exits == 1  # its own
        return total, unexplained

# SPDX-License-Identifier: BSD-3-Clause
"""The table of cases."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    case: str  # the one name of it
    name: str = "vm2vm"  # what it is a case of
    size: str = "64"
    ring: str = "split"
    mergeable: bool = True
    both: bool = False  # directions
    macs: int = 1  # of the receiver
    dirty: bool = False  # the sender writes each packet whole
    ports: int = 2  # of guests
    uplink: str = ""  # "null" or "af-xdp": the other side of one port
    latency: bool = False

    def facts(self):
        size = int(self.size) if self.size.isdigit() else self.size
        return {"case": self.case, "name": self.name, "size": size, "ring": self.ring, "mergeable": self.mergeable,
                "directions": 2 if self.both else 1, "macs": self.macs, "dirty": self.dirty, "ports": self.ports,
                "uplink": self.uplink}

    @property
    def has_ceiling(self):
        """May the generator's own be measured? Of devices it is the kernel's."""
        return not self.uplink and not self.latency

    def flows(self):
        """(from, to) of each flow, by index of the port. To None: nobody sees it."""
        if self.name == "guest2host":
            return [(0, None if self.uplink == "null" else 1)]
        if self.name == "host2guest":
            return [(1, 0)]
        one = [(i, i + 1) for i in range(0, self.ports, 2)]
        return one + [(b, a) for a, b in one] if self.both else one


def vm2vm(size, ring, *words, **members):
    return Case("-".join(["vm2vm", size, ring, *words]), size=size, ring=ring, **members)


CASES = (
    *(vm2vm(size, ring) for ring in ("split", "packed") for size in ("64", "512", "1500", "imix")),
    *(vm2vm(size, ring, "nomrg", mergeable=False) for ring in ("split", "packed") for size in ("64", "1500")),
    vm2vm("64", "split", "both", both=True),
    vm2vm("64", "packed", "both", both=True),
    vm2vm("1500", "split", "both", both=True),
    vm2vm("64", "split", "1000macs", macs=1000),
    vm2vm("64", "packed", "1000macs", macs=1000),
    vm2vm("64", "split", "dirty", dirty=True),
    vm2vm("1500", "split", "dirty", dirty=True),
    vm2vm("1500", "packed", "dirty", dirty=True),
    vm2vm("64", "split", "4ports", ports=4),
    vm2vm("1500", "split", "4ports", ports=4),
    Case("guest2host-null", name="guest2host", ports=1, uplink="null"),
    Case("guest2host-afxdp", name="guest2host", ports=1, uplink="af-xdp"),
    Case("host2guest-afxdp", name="host2guest", ports=1, uplink="af-xdp"),
    vm2vm("64", "split", "latency", latency=True),
    vm2vm("64", "packed", "latency", latency=True),
)


def chosen(names):
    """Cases of these names; None: of all. KeyError: there is none of that name."""
    if not names:
        return list(CASES)
    table = {case.case: case for case in CASES}
    return [table[name] for name in names]

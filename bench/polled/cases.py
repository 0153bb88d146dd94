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
    ports: int = 2
    uplink: str = ""  # "null" or "af-xdp": the other side of one port
    latency: bool = False

    def facts(self):
        size = int(self.size) if self.size.isdigit() else self.size
        return {"case": self.case, "name": self.name, "size": size, "ring": self.ring, "mergeable": self.mergeable,
                "directions": 2 if self.both else 1, "macs": self.macs, "dirty": self.dirty, "ports": self.ports,
                "uplink": self.uplink}

    def flows(self):
        """(from, to) of each flow, by index of the port. To None: nobody sees it."""
        if self.name == "guest2host":
            return [(0, None if self.uplink == "null" else 1)]
        if self.name == "host2guest":
            return [(1, 0)]
        one = [(i, i + 1) for i in range(0, self.ports, 2)]
        return one + [(b, a) for a, b in one] if self.both else one


CASES = (
    Case("vm2vm-64-split"),
    Case("vm2vm-1500-split", size="1500"),
)


def chosen(names):
    """Cases of these names; None: of all. KeyError: there is none of that name."""
    if not names:
        return list(CASES)
    table = {case.case: case for case in CASES}
    return [table[name] for name in names]

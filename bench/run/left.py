# SPDX-License-Identifier: BSD-3-Clause
"""What a run that was killed has left borrowed is given back by the next one, from its journal."""

import sys

from . import host, operator

UNDO = {"restore": host.restore, "bind": host.bind, "pool_shrink": host.pool_shrink, "link": host.link, "address_del": host.address_del,
        "lease_release": operator.lease_release, "vm_delete": operator.vm_delete}


def is_there(entry):
    """VMs and leases may have ended by themselves meanwhile."""
    if entry["undo"] == "vm_delete":
        return any([vm["name"]] == entry["with"] for vm in operator.viaduct("vm", "list")["vms"])
    if entry["undo"] == "lease_release":
        return any([vf["lease"]] == entry["with"] for vf in operator.viaduct("vf", "list")["vfs"])
    return True


def give_back(journal, out=sys.stderr):
    """Says each; what cannot be given back is said once, with the reason."""
    for entry in journal.left():
        what = str(entry.get("what"))[:200]
        try:
            if is_there(entry):
                UNDO[entry["undo"]](*entry["with"])
                print(f"viaduct bench: an earlier run had left this, and it is given back now: {what}", file=out)
        except Exception as e:  # whatever it is, the others must go back
            print(f"viaduct bench: an earlier run has left this: {what}: {e}", file=out)
        journal.done(entry["id"])

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * At the daemon's start, and later: what was cut short is finished or undone, so that ledger and machine agree.
 * Each step may be repeated: a crash of the recovery is recovered from in the same way.
 */
#ifndef VIADUCT_VF_MANAGER_RECOVER_H
#define VIADUCT_VF_MANAGER_RECOVER_H

#include "vf-manager/daemon.h"

/* Op locked, before anything else is recovered. Counts of PFs are finished, attributes go back. */
void recover_intents(struct daemon *d);

/* Op locked, when it is known which VMs live. Leases of an earlier boot and on VFs that are gone are
 * dropped, VFs that nobody has are wiped. */
void recover_vfs(struct daemon *d);

/* No lock held. Something may have been left by a VM that is gone since, because the ledger could not be written then. */
bool recover_is_due(struct daemon *d);

/* Op locked. It is wiped, and goes back to the pool or to the host; failures are logged. */
void recover_left(struct daemon *d);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * At the daemon's start: VMs that run are found again, those that ended meanwhile are cleaned up
 * after, and leases of an earlier boot are dropped. Runs before any request is served.
 */
#ifndef VIADUCT_VF_MANAGER_ADOPT_H
#define VIADUCT_VF_MANAGER_ADOPT_H

#include "vf-manager/daemon.h"

int daemon_reconcile(struct daemon *d, struct err *e);

/* No lock held. VMs that did not answer at the daemon's start, and do now, are no longer unknown. Takes VMM_QUICK_MS while one
 * of them is silent. */
void vms_ask_again(struct daemon *d);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread that starts the VMs that shall run and do not: after the host's boot, after crashes, after a crash of
 * viaductd itself. Each start is an operation (vmdefops.h); what is to start is worked out anew whenever a VM or a
 * definition changes, so nothing is forgotten when one of the two dies.
 */
#ifndef VIADUCT_VF_MANAGER_KEEPER_H
#define VIADUCT_VF_MANAGER_KEEPER_H

#include "vf-manager/daemon.h"

#define KEEPER_STARTS 4 /* at once */

struct keeper;

/* VMs and definitions are known, operations can begin. On another boot of the host than the last time, those with
 * `autostart` are wanted from here on. */
int keeper_create(struct daemon *d, struct keeper **out, struct err *e);
void keeper_destroy(struct keeper *k); /* NULL-safe; daemon_end() has told it */

/* State locked. The VM that is to start now, or NULL; *wait_s: when to look again if nothing changes. Those of
 * which another has failed are held. */
struct vm_def;
struct vm_def *keeper_next(struct daemon *d, unsigned int *wait_s);

#endif

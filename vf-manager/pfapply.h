/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing the number of VFs of a PF, which destroys all that are there.
 */
#ifndef VIADUCT_VF_MANAGER_PFAPPLY_H
#define VIADUCT_VF_MANAGER_PFAPPLY_H

#include "vf-manager/daemon.h"

/* Op locked. `name`: address or device. Does nothing if viaduct made as many already. -EBUSY while
 * a VF is leased, in use or foreign: names it and its owner. */
int pf_apply(struct daemon *d, const char *name, uint16_t vfs, struct err *e);

/* The wanted PF state of the configuration, if it asks for that at start. Failures are logged. */
void pf_apply_wanted(struct daemon *d);

#endif

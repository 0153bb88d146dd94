/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the pool: the words for a VF that cannot be had.
 */
#ifndef VIADUCT_VF_MANAGER_POOL_PICK_H
#define VIADUCT_VF_MANAGER_POOL_PICK_H

#include "vf-manager/pool.h"

/* -EBUSY says who has the VF, or what it is. */
int pool_vf_refuse(struct daemon *d, const struct pci_fn *vf, struct err *e);

/* How a foreign VF stops being one. */
int pool_foreign_hint(const struct daemon *d, const struct pci_fn *vf, struct err *e);

#endif

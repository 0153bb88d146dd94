/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the pool of whole functions: whether one can be given to a VM.
 */
#ifndef VIADUCT_VF_MANAGER_FNCHECK_H
#define VIADUCT_VF_MANAGER_FNCHECK_H

#include "vf-manager/fnpool.h"

/* State locked. As fnpool_check(); `use` non-NULL gets what the host does with it, with the claims,
 * which the caller ends. */
int fncheck_all(const struct daemon *d, const struct pci_fn *fn, const struct fn_want *want,
		struct fn_use *use, struct err *e);

#endif

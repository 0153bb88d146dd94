/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the pool: which VF a request gets, and the words for one that cannot be had; a lease in a batch.
 */
#ifndef VIADUCT_VF_MANAGER_POOL_PICK_H
#define VIADUCT_VF_MANAGER_POOL_PICK_H

#include "vf-manager/candidates.h"
#include "vf-manager/pool.h"

/* -EBUSY says who has the VF, or what it is. */
int pool_vf_refuse(struct daemon *d, const struct pci_fn *vf, struct err *e);

/* How a foreign VF stops being one. */
int pool_foreign_hint(const struct daemon *d, const struct pci_fn *vf, struct err *e);

/* State locked. A VF named by itself: free, or leased by `vf alloc` and not yet in a VM. */
int pool_pick_named(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		    struct err *e);

/* State locked. The first free VF of the PF that is none of these; NULL: there is none. */
const struct pci_fn *pool_pf_free_vf(const struct daemon *d, const struct pci_fn *pf,
				     const struct pci_addr *skip, unsigned int skip_count);

/* State locked. None of the candidates will do: codes "no-free-vf", "anti-affinity". */
int pool_pick_refuse(struct daemon *d, const struct vf_want *want, const struct candidates *c,
		     struct err *e);

/* State locked. pool_pick() for a port of a VM: want->kin is set. */
int pool_pick_port(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		   struct err *e);

/* Op and state locked; gives state up for the look at the machine. Picks and leases: durable with the batch whose
 * number is stored, or at once if `batch` is NULL. */
int pool_lease_join(struct daemon *d, const struct vf_want *want, struct vf_hold *out,
		    uint64_t *batch, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a VM needs of what the host has little of, beside what is left of it: memory or hugepages, lockable memory,
 * DMA maps, DMA addresses, interrupt vectors. CPUs and NUMA nodes are vmplace's. Each row is
 * {"resource", "need", "have" or null where the host does not tell, "unit"}; what is short is refused with both
 * numbers, before anything is changed.
 */
#ifndef VIADUCT_VF_MANAGER_BUDGET_H
#define VIADUCT_VF_MANAGER_BUDGET_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmspec.h"

/* What RLIMIT_MEMLOCK of the VMM must allow: guest RAM and what else it may lock; 0: no device does
 * DMA, so nothing is pinned. */
uint64_t vm_memlock_need(const struct vm_spec *spec);

/* No lock held. Appends to rows (NULL: nobody wants them). Codes "memory-short", "hugepages-short", "memlock-short",
 * "dma-maps-short". */
int budget_memory(const struct daemon *d, const struct vm_spec *spec, json_t *rows, struct err *e);

/* State locked. For the functions that the VM has, or would get. A function counts for as many vectors as a
 * driver takes of its table: two a vCPU and eight. One is in use once the guest's driver has asked for it, and
 * promised from the start of the VM on. Codes "iova-out-of-range", "vectors-short". */
struct budget_fns {
	const struct vm_spec *spec;
	const struct pci_addr *addrs;
	unsigned int count;
	const char *interrupts; /* interrupts_read(), before the lock; NULL or "": not known */
};
int budget_functions(struct daemon *d, const struct budget_fns *fns, json_t *rows, struct err *e);

#endif

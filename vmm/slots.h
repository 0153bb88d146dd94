/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM memory slots: RAM and directly mapped BARs. Callers hold the machine's lock.
 */
#ifndef VIADUCT_VMM_SLOTS_H
#define VIADUCT_VMM_SLOTS_H

#include "base/err.h"

#define SLOTS_MAX 509

struct slots {
	int vm_fd;
	unsigned int max; /* what KVM offers, at most SLOTS_MAX */
	bool has_smm; /* vCPUs in system management mode see an address space of their own */
	bool used[SLOTS_MAX];
};

int slots_init(struct slots *s, int vm_fd, struct err *e);

/* gpa, size and host are multiples of 4096. -ENOSPC when all slots are taken, -EEXIST on overlap. */
int slots_add(struct slots *s, uint64_t gpa, uint64_t size, void *host, uint32_t *slot);
/* The guest reads it from host memory; its writes are trapped as MMIO. */
int slots_add_rom(struct slots *s, uint64_t gpa, uint64_t size, void *host, uint32_t *slot);
int slots_del(struct slots *s, uint32_t slot);

/* RAM stays for the VM's life, and vCPUs in system management mode see it too: an SMI, which any
 * guest can raise, is the end of a VM in which KVM finds no RAM to save the vCPU's state in. */
int slots_add_ram(struct slots *s, uint64_t gpa, uint64_t size, void *host);

#endif

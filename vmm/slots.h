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
	bool used[SLOTS_MAX];
};

int slots_init(struct slots *s, int vm_fd, struct err *e);

/* gpa, size and host are multiples of 4096. -ENOSPC when all slots are taken, -EEXIST on overlap. */
int slots_add(struct slots *s, uint64_t gpa, uint64_t size, void *host, uint32_t *slot);
int slots_del(struct slots *s, uint32_t slot);

#endif

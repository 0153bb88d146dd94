/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of a guest as its VMM shares it (Vhost-user protocol, SET_MEM_TABLE): up to eight parts of memfds, mapped. The
 * one bounded way to an address that a guest or a VMM names.
 *
 * A VMM can take pages away that are mapped here (holes in hugetlb, a memory limit of its cgroup, a failed DIMM): touching
 * them is SIGBUS, which must not end a process that serves other guests. Faults in what is mapped here are answered with
 * a page of zeros in its place, and the memory counts as lost from then on.
 */
#ifndef VIADUCT_PMD_BACKENDS_GUEST_MEMORY_H
#define VIADUCT_PMD_BACKENDS_GUEST_MEMORY_H

#include "base/err.h"

#define GUEST_MAX_REGIONS 8

/* As on the wire. */
struct guest_region_wire {
	uint64_t gpa, size, user, offset; /* bytes; user: address in the VMM; offset: in the file */
};

struct guest_region {
	uint64_t gpa, size, user;
	uint8_t *at;
	void *map; /* the whole mapping */
	size_t map_size;
};

/* All zero: nothing is mapped. May be moved. */
struct guest_memory {
	unsigned int count;
	struct guest_region regions[GUEST_MAX_REGIONS];
	struct guest_guard *guard; /* what the handler of SIGBUS knows of it */
};

/* Installs the handler of SIGBUS, once in a process. A fault elsewhere goes where it went before. -errno. */
int guest_memory_guard(void);

/*
 * The fds stay the caller's. The table has been checked (vhost_check.h). On failure nothing stays mapped. Also good for
 * any other file that a VMM shares, as one region at address 0.
 */
int guest_memory_map(struct guest_memory *m, const struct guest_region_wire *table, const int *fds,
		     unsigned int count, struct err *e);
void guest_memory_unmap(struct guest_memory *m); /* all zero is fine */

/* A page of it has gone away: what is read is no longer what the guest wrote. Stays so until it is unmapped. */
bool guest_memory_is_lost(const struct guest_memory *m);

/* NULL: nothing is there. *len: wished bytes, not 0; comes back clipped to the end of the region, never 0 where not NULL. */
static inline uint8_t *guest_at(const struct guest_memory *m, uint64_t gpa, uint32_t *len)
{
	for (unsigned int i = 0; i < m->count; i++) {
		const struct guest_region *r = &m->regions[i];
		uint64_t off = gpa - r->gpa;

		if (gpa < r->gpa || off >= r->size)
			continue;
		*len = (uint32_t)u64_min(*len, r->size - off);
		return r->at + off;
	}
	return NULL;
}

/* Guest address of what guest_at() or guest_at_user() gave. */
uint64_t guest_address(const struct guest_memory *m, const uint8_t *at);

/* For rings, which the protocol names by the VMM's own addresses. NULL: not wholly in one region. */
uint8_t *guest_at_user(const struct guest_memory *m, uint64_t user, uint64_t len);

#endif

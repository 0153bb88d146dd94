/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /proc/PID/numa_maps (proc(5); fs/proc/task_mmu.c writes it): on which NUMA nodes the pages of a process lie. A pure
 * parser: of all mappings those of one file are counted. The process chose its mappings and their files' names.
 */
#ifndef VIADUCT_VF_MANAGER_NUMAMAPS_H
#define VIADUCT_VF_MANAGER_NUMAMAPS_H

#include "base/util.h"

#define NUMA_SHARES 64 /* nodes that are told apart */

struct numa_share {
	unsigned int node;
	uint64_t bytes;
};

struct numa_shares {
	struct numa_share items[NUMA_SHARES]; /* by node, no node twice, none with 0 bytes */
	unsigned int count;
	uint64_t total; /* bytes of all items */
};

/* Adds up the pages of every mapping of the memory file `name` (of memfd_create(2)). Lines of another form are passed
 * over. False: none was found, so nothing is known; *out is empty. */
bool numa_maps_parse(const char *text, const char *name, struct numa_shares *out);

/* Bytes on that node, and on all others. */
uint64_t numa_share_of(const struct numa_shares *s, unsigned int node);

/* "node 0: 512 MiB (25.0%), node 1: 1536 MiB (75.0%)", cut to cap. Returns buf. */
char *numa_shares_text(const struct numa_shares *s, char *buf, size_t cap);

#endif

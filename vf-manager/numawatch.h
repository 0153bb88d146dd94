/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the RAM of the VMs that run lies now, by the kernel's word (numa_maps of each VMM): once when a VM has started,
 * then now and again. The kernel walks all page tables for it, so each VM is looked at once a minute at most, and so
 * seldom that it takes less than a hundredth of one CPU. By the monitor's thread alone.
 */
#ifndef VIADUCT_VF_MANAGER_NUMAWATCH_H
#define VIADUCT_VF_MANAGER_NUMAWATCH_H

#include "vf-manager/daemon.h"
#include "vf-manager/numamaps.h"

#include <jansson.h>

#define NUMA_LOOK_NS 60000000000ULL /* between two looks at one VM, at least */

struct vm;

/* What was seen of a VM; guarded by the daemon's state lock. */
struct numa_seen {
	struct numa_shares shares;
	bool is_known;
	int64_t at; /* seconds since the epoch; 0: never yet */
	uint64_t next_ns; /* not before */
};

/* No lock held. */
void numa_watch_look(struct daemon *d);

/* State locked. Bytes of RAM that lie where they were not asked to be: any of a VM with a node of its own (memory.numa: N), of
 * another what exceeds a hundredth of it. 0 also where nothing is asked or known. */
uint64_t numa_far_bytes(const struct vm *vm);

/* State locked. {"at","nodes":[{"node","bytes"}],"drift":bool}, or null: not known. */
json_t *numa_now_json(const struct vm *vm);

#endif

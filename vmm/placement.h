/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where on the host a VM lies: guest RAM on its NUMA node, the VMM's own threads on the CPUs that
 * are left to them (numa(7), mbind(2), sched_setaffinity(2)). What is wished comes with the launch
 * message; what was got is looked at, not assumed. Main thread only, while the machine is built.
 */
#ifndef VIADUCT_VMM_PLACEMENT_H
#define VIADUCT_VMM_PLACEMENT_H

#include "vmm/spec.h"

#include "base/err.h"

#include <sched.h>

struct gmem;

#define PLACEMENT_NODES 64 /* nodes whose share of RAM is counted */

struct placement {
	cpu_set_t before; /* of the main thread, as it was started */
	bool is_known; /* the kernel says where RAM lies */
	uint64_t node_bytes[PLACEMENT_NODES];
};

/* The main thread, and the threads that it starts, go to the CPUs of RAM's node, so that pages, page
 * tables and KVM's own memory are made there. Without such CPUs nothing happens. */
void placement_enter(struct placement *p, const struct vmm_spec *spec);

/* The rule for RAM's pages, before the first one is touched. */
int placement_ram_bind(const struct vmm_spec *spec, const struct gmem *gm, struct err *e);

/* Counts RAM by node, one page of each 2 MiB (or each larger page). -ENOMEM code "numa-short" if a
 * page lies elsewhere and the spec does not allow that. */
int placement_ram_check(struct placement *p, const struct vmm_spec *spec, const struct gmem *gm,
			struct err *e);

/* The main thread goes to the CPUs where it stays, and says so only if it got there. */
int placement_leave(const struct placement *p, const struct vmm_spec *spec, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a VM goes on the host: which CPUs it may have beside the other VMs, and on which NUMA node its
 * RAM lies.
 */
#ifndef VIADUCT_VF_MANAGER_VMPLACE_H
#define VIADUCT_VF_MANAGER_VMPLACE_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmspec.h"

#include "base/cpulist.h"

/* State locked. Pinned and dedicated CPUs against the host and the VMs that run; the node's memory.
 * Appends texts to warnings (NULL: none). Codes "no-such-cpu", "cpu-in-use", "cpu-sibling",
 * "no-host-cpu", "no-such-node", "memory-short", "hugepages-short". */
int vm_place_check(struct daemon *d, const struct vm_spec *spec, json_t *warnings, struct err *e);

struct vm_place {
	cpu_set_t own; /* for the VMM's threads that are not pinned; empty: any */
	int node; /* of RAM; -1: any */
	bool is_strict;
	uint64_t hugepage_bytes; /* 0 also where the node has too few and the file allows that */
	bool has_cookie; /* core scheduling */
	cpu_set_t node_cpus; /* near it and no other VM's; empty: none */
};

/* State locked. vf_node: of the VM's VFs, -1: none or several. */
void vm_place(struct daemon *d, const struct vm_spec *spec, int vf_node, struct vm_place *out);

/* The node of the VM's memory, else of its pinned CPUs: VFs had better be there. -1: any, or more than one. */
int vm_near_node(const struct daemon *d, const struct vm_spec *spec);

/* State locked. The host CPUs that are dedicated to VMs. */
void vm_place_dedicated(const struct daemon *d, cpu_set_t *out);

/* "cpus" of a VM's facts, by which later starts know what it has: {"pin","dedicated"}. */
json_t *vm_place_cpus(const struct vm_spec *spec);

#endif

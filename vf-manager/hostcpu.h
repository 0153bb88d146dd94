/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUs and memory nodes of the host as /sys tells them (Documentation/admin-guide/cputopology.rst,
 * Documentation/ABI/stable/sysfs-devices-node). Only reads; no lock.
 */
#ifndef VIADUCT_VF_MANAGER_HOSTCPU_H
#define VIADUCT_VF_MANAGER_HOSTCPU_H

#include "vf-manager/daemon.h"

#include "base/cpulist.h"

struct host_cpus {
	cpu_set_t online;
	cpu_set_t isolated; /* where the host's scheduler puts nothing by itself */
};

int host_cpus_read(const struct daemon *d, struct host_cpus *out, struct err *e);

/* The CPUs of the same core that are online, this one included. */
void host_cpu_siblings(const struct daemon *d, unsigned int cpu, cpu_set_t *out);

/* Nodes that are there, as a set of numbers; empty on hosts without NUMA. */
void host_nodes(const struct daemon *d, cpu_set_t *out);
void host_node_cpus(const struct daemon *d, int node, cpu_set_t *out);

/* The node of all these CPUs; -1: none, or more than one. */
int host_node_of(const struct daemon *d, const cpu_set_t *cpus);

/* Bytes that a VM could get on the node: free hugepages of that size, or (0) free memory and what the
 * page cache would give back. -ENOENT: the node does not say. */
int host_node_free(const struct daemon *d, int node, uint64_t page_bytes, uint64_t *out);

#endif

// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/placement.h"

#include "vmm/gmem.h"

#include "base/cpulist.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STRIDE	 MIB(2)
#define BATCH	 256
#define NODE_MAX 1024 /* the kernel's largest MAX_NUMNODES */

void placement_enter(struct placement *p, const struct vmm_spec *spec)
{
	memset(p, 0, sizeof(*p));
	if (sched_getaffinity(0, sizeof(p->before), &p->before) < 0)
		CPU_ZERO(&p->before);
	/* Only a matter of time: the memory's place does not depend on it. */
	if (CPU_COUNT(&spec->numa_cpus) > 0)
		(void)sched_setaffinity(0, sizeof(spec->numa_cpus), &spec->numa_cpus);
}

int placement_ram_bind(const struct vmm_spec *spec, const struct gmem *gm, struct err *e)
{
	unsigned long nodes[NODE_MAX / (8 * sizeof(unsigned long))] = { 0 };
	const unsigned int bits = 8 * sizeof(nodes[0]);
	int mode = spec->numa_is_strict ? MPOL_BIND : MPOL_PREFERRED;

	if (spec->numa_node < 0)
		return 0;
	nodes[(unsigned int)spec->numa_node / bits] |= 1UL << (unsigned int)spec->numa_node % bits;
	/* RAM is a file: its rule holds for whoever touches a page first. The kernel takes one bit less
	 * than it is told. */
	if (syscall(SYS_mbind, gm->host, gm->size, mode, nodes, NODE_MAX + 1UL, 0U) == 0 ||
	    !spec->numa_is_strict)
		return 0;
	err_set(e, errno, "guest RAM cannot be bound to NUMA node %d: %s", spec->numa_node,
		strerror(errno));
	err_code(e, "numa-short");
	return err_hint(e, "cat /sys/devices/system/node/has_memory; or set memory.numa: auto");
}

/* Counts `count` pages from `at` on. False: the kernel does not say. */
static bool pages_count(struct placement *p, uint8_t *at, unsigned int count, uint64_t stride)
{
	void *pages[BATCH];
	int nodes[BATCH];

	for (unsigned int i = 0; i < count; i++)
		pages[i] = at + i * stride;
	/* Without target nodes it only tells. */
	if (syscall(SYS_move_pages, 0, (unsigned long)count, pages, NULL, nodes, 0) != 0)
		return false;
	for (unsigned int i = 0; i < count; i++)
		if (nodes[i] >= 0 && nodes[i] < PLACEMENT_NODES)
			p->node_bytes[nodes[i]] += stride;
	return true;
}

int placement_ram_check(struct placement *p, const struct vmm_spec *spec, const struct gmem *gm,
			struct err *e)
{
	uint64_t stride = u64_max(STRIDE, gm->page_size), pages = gm->size / stride, away = 0;

	p->is_known = true;
	for (uint64_t done = 0; p->is_known && done < pages; done += BATCH)
		p->is_known = pages_count(p, gm->host + done * stride,
					  (unsigned int)u64_min(BATCH, pages - done), stride);
	if (!p->is_known || !spec->numa_is_strict)
		return 0;
	for (int node = 0; node < PLACEMENT_NODES; node++)
		away += node != spec->numa_node ? p->node_bytes[node] : 0;
	if (away == 0)
		return 0;
	err_set(e, ENOMEM, "%llu of %llu MiB of guest RAM are not on NUMA node %d",
		(unsigned long long)away >> 20, (unsigned long long)gm->size >> 20,
		spec->numa_node);
	err_code(e, "numa-short");
	return err_hint(e, "cat /sys/devices/system/node/node%d/meminfo; or set memory.numa: auto",
			spec->numa_node);
}

int placement_leave(const struct placement *p, const struct vmm_spec *spec, struct err *e)
{
	const cpu_set_t *want = CPU_COUNT(&spec->own_cpus) > 0 ? &spec->own_cpus : &p->before;
	char text[80];
	cpu_set_t now;

	if (CPU_COUNT(want) == 0)
		return 0;
	if (sched_setaffinity(0, sizeof(*want), want) == 0 &&
	    sched_getaffinity(0, sizeof(now), &now) == 0) {
		cpu_set_remove(&now, want);
		if (CPU_COUNT(&now) == 0)
			return 0;
		errno = EPERM;
	}
	err_set(e, errno, "the VMM's own threads cannot be kept to host CPUs %s: %s",
		cpu_list_text(want, text, sizeof(text)), strerror(errno));
	return err_hint(e,
			"the cpuset of viaductd's cgroup must hold them: systemctl show viaductd "
			"-p AllowedCPUs");
}

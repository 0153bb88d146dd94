/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trapped guest accesses: I/O ports and MMIO, each an address space of regions with handlers.
 * What no region holds reads as all ones and ignores writes. Handlers run on vCPU threads with
 * `lock` of the machine held (see machine.h) unless their region says `unlocked`. Regions may be
 * added and removed by locked handlers at any time (a guest moving a BAR).
 *
 * Looking a region up takes no lock and allocates nothing: the sorted table is there twice, vCPUs read
 * the copy that is shown, each says so in a cache line of its own, and a change is made to the other
 * copy, shown, and then waits for those who still read the old one.
 */
#ifndef VIADUCT_VMM_BUS_H
#define VIADUCT_VMM_BUS_H

#include "vmm/bus_count.h"
#include "vmm/vmm_msg.h"

#include "base/err.h"
#include "base/range.h"

#include <pthread.h>
#include <stdatomic.h>

struct io_ops {
	/* off is from the region's base; off + len lies in the region; len is 1, 2, 4 or 8. The
	 * result's upper bytes are ignored. */
	uint64_t (*read)(void *owner, uint64_t off, unsigned int len);
	void (*write)(void *owner, uint64_t off, unsigned int len, uint64_t value);
};

struct io_region {
	const char *name;
	uint64_t base;
	uint64_t size;
	const struct io_ops *ops;
	void *owner;
	/* The handler needs no machine lock (a pure function of time, say). It must not take it
	 * either, nor change the bus: who does that waits for this handler's end. */
	bool unlocked;
	struct bus_counter *counter; /* of its accesses; set by bus_add() */
};

#define BUS_CACHE_LINE 64

struct bus_reader {
	_Atomic uint32_t turn; /* odd: inside the table; written by its vCPU's thread alone */
	char pad[BUS_CACHE_LINE - sizeof(uint32_t)];
};

struct bus {
	/* Owner: const struct io_region *. Both copies hold the same but for the middle of a change.
	 * Changed by who holds the machine's lock, or before and after there are vCPU threads. */
	struct range_set regions[2];
	_Atomic uint32_t shown; /* which copy vCPUs read */
	pthread_mutex_t *machine_lock;
	/* vCPUs stand in line here and come to the machine's lock one at a time, so the main thread
	 * waits for a handler of each bus at most, however many vCPUs are in slow ones. */
	pthread_mutex_t queue;
	struct bus_reader readers[VMM_MAX_CPUS];
	struct bus_counters counters;
};

int bus_init(struct bus *bus, pthread_mutex_t *machine_lock);
void bus_fini(struct bus *bus);

/* The region struct stays the caller's and must live until bus_del, after which no handler of it runs
 * and none will. With the machine's lock held, or without any vCPU thread. -EEXIST on overlap. */
int bus_add(struct bus *bus, struct io_region *region);
void bus_del(struct bus *bus, const struct io_region *region); /* not added: ignored */

/* From the thread of that vCPU (below VMM_MAX_CPUS), without the machine's lock. An access that
 * crosses a region's end is done byte by byte. */
void bus_read(struct bus *bus, unsigned int vcpu, uint64_t addr, void *data, unsigned int len);
void bus_write(struct bus *bus, unsigned int vcpu, uint64_t addr, const void *data,
	       unsigned int len);

#endif

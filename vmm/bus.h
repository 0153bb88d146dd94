/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trapped guest accesses: I/O ports and MMIO, each an address space of regions with handlers.
 * What no region holds reads as all ones and ignores writes. Handlers run on vCPU threads with
 * `lock` of the machine held (see machine.h) unless their region says `unlocked`. Regions may be
 * added and removed by handlers at any time (a guest moving a BAR).
 */
#ifndef VIADUCT_VMM_BUS_H
#define VIADUCT_VMM_BUS_H

#include "base/err.h"
#include "base/range.h"

#include <pthread.h>

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
	bool unlocked; /* the handler needs no machine lock (a pure function of time, say) */
};

struct bus {
	pthread_rwlock_t lock; /* guards regions only */
	struct range_set regions; /* owner: const struct io_region * */
	pthread_mutex_t *machine_lock;
};

int bus_init(struct bus *bus, pthread_mutex_t *machine_lock);
void bus_fini(struct bus *bus);

/* The region struct stays the caller's and must live until bus_del. -EEXIST on overlap. */
int bus_add(struct bus *bus, const struct io_region *region);
void bus_del(struct bus *bus, const struct io_region *region); /* not added: ignored */

/* From vCPU threads. An access that crosses a region's end is done byte by byte. */
void bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int len);
void bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned int len);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How often the guest trapped into each region of a bus. Regions come and go (a guest moves a BAR),
 * their counts stay: all regions of one name share a counter. Counting takes no lock and orders
 * nothing; a counter that is there is never taken away, so who reads needs no lock either.
 */
#ifndef VIADUCT_VMM_BUS_COUNT_H
#define VIADUCT_VMM_BUS_COUNT_H

#include "base/util.h"

#include <stdatomic.h>

#define BUS_COUNTERS	 40 /* more names than that share the last one */
#define BUS_COUNTER_NAME 96

struct bus_counter {
	char name[BUS_COUNTER_NAME];
	_Atomic uint64_t reads, writes;
};

struct bus_counters {
	_Atomic uint32_t count;
	struct bus_counter
		items[BUS_COUNTERS]; /* the first one: "unassigned", what meets no region */
};

/* A copy for people. */
struct bus_count {
	char name[BUS_COUNTER_NAME];
	uint64_t reads, writes;
};

void bus_counters_init(struct bus_counters *cs);

/* The counter of that name, made if there is none. One thread at a time. */
struct bus_counter *bus_counters_get(struct bus_counters *cs, const char *name);

static inline void bus_counter_add(struct bus_counter *c, bool write)
{
	/* relaxed: a number for people */
	atomic_fetch_add_explicit(write ? &c->writes : &c->reads, 1, memory_order_relaxed);
}

/* The i-th counter, in the order of their making; false after the last. Any thread. */
bool bus_counters_read(const struct bus_counters *cs, size_t i, struct bus_count *out);

/* False if there is no counter of that name. Any thread. */
bool bus_counters_find(const struct bus_counters *cs, const char *name, struct bus_count *out);

#endif

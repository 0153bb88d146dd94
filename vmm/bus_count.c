// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/bus_count.h"

#include <stdio.h>

static struct bus_counter *counter_add(struct bus_counters *cs, uint32_t n, const char *name)
{
	snprintf(cs->items[n].name, sizeof(cs->items[n].name), "%s", name);
	/* release: pairs with acquire in bus_counters_read(); the name is whole */
	atomic_store_explicit(&cs->count, n + 1, memory_order_release);
	return &cs->items[n];
}

void bus_counters_init(struct bus_counters *cs)
{
	memset(cs, 0, sizeof(*cs));
	counter_add(cs, 0, "unassigned");
}

struct bus_counter *bus_counters_get(struct bus_counters *cs, const char *name)
{
	/* relaxed: the thread that asks is the one that adds */
	uint32_t n = atomic_load_explicit(&cs->count, memory_order_relaxed);

	for (uint32_t i = 0; i < n; i++)
		if (strncmp(cs->items[i].name, name, BUS_COUNTER_NAME - 1) == 0)
			return &cs->items[i];
	if (n == BUS_COUNTERS)
		return &cs->items[BUS_COUNTERS - 1];
	return counter_add(cs, n, n == BUS_COUNTERS - 1 ? "others" : name);
}

bool bus_counters_read(const struct bus_counters *cs, size_t i, struct bus_count *out)
{
	const struct bus_counter *c = &cs->items[i];

	/* acquire: pairs with release in counter_add() */
	if (i >= atomic_load_explicit(&cs->count, memory_order_acquire))
		return false;
	memcpy(out->name, c->name, sizeof(out->name));
	out->reads = atomic_load_explicit(&c->reads, memory_order_relaxed);
	out->writes = atomic_load_explicit(&c->writes, memory_order_relaxed);
	return true;
}

bool bus_counters_find(const struct bus_counters *cs, const char *name, struct bus_count *out)
{
	for (size_t i = 0; bus_counters_read(cs, i, out); i++)
		if (strncmp(out->name, name, BUS_COUNTER_NAME - 1) == 0)
			return true;
	return false;
}

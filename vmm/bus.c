// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/bus.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#define SPINS_MAX     1000
#define WAIT_SLEEP_NS 20000

static_assert(sizeof(struct bus_reader) == BUS_CACHE_LINE, "one line for each vCPU");

int bus_init(struct bus *bus, pthread_mutex_t *machine_lock)
{
	memset(bus, 0, sizeof(*bus));
	bus->machine_lock = machine_lock;
	bus_counters_init(&bus->counters);
	return -pthread_mutex_init(&bus->queue, NULL);
}

void bus_fini(struct bus *bus)
{
	range_set_fini(&bus->regions[0]);
	range_set_fini(&bus->regions[1]);
	pthread_mutex_destroy(&bus->queue);
}

/* The table to read until table_leave(). seq_cst, both: either this vCPU sees the copy that
 * table_show() has just shown, or table_show() sees the odd turn and waits for it. */
static const struct range_set *table_enter(struct bus *bus, struct bus_reader *reader)
{
	/* relaxed: nobody else writes it */
	uint32_t turn = atomic_load_explicit(&reader->turn, memory_order_relaxed);

	atomic_store_explicit(&reader->turn, turn + 1, memory_order_seq_cst);
	return &bus->regions[atomic_load_explicit(&bus->shown, memory_order_seq_cst)];
}

static void table_leave(struct bus_reader *reader)
{
	uint32_t turn = atomic_load_explicit(&reader->turn, memory_order_relaxed);

	/* release: pairs with acquire in reader_wait(); what was read is read */
	atomic_store_explicit(&reader->turn, turn + 1, memory_order_release);
}

/* Returns when this vCPU reads no copy that was shown before the call. A turn that went on is enough,
 * so vCPUs that read without end hold nobody up. */
static void reader_wait(struct bus_reader *reader)
{
	const struct timespec pause = { .tv_nsec = WAIT_SLEEP_NS };
	/* seq_cst: pairs with table_enter() */
	uint32_t turn = atomic_load_explicit(&reader->turn, memory_order_seq_cst);

	/* acquire: pairs with release in table_leave() */
	for (unsigned int spins = 0;
	     turn % 2 == 1 && atomic_load_explicit(&reader->turn, memory_order_acquire) == turn;
	     spins++) {
		if (spins < SPINS_MAX)
			__builtin_ia32_pause();
		else
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL); /* it does not run */
	}
}

static void table_show(struct bus *bus, uint32_t copy)
{
	/* seq_cst: pairs with table_enter() */
	atomic_store_explicit(&bus->shown, copy, memory_order_seq_cst);
	for (size_t i = 0; i < ARRAY_SIZE(bus->readers); i++)
		reader_wait(&bus->readers[i]);
}

/* For who may change the table: nobody else writes it. */
static uint32_t copy_shown(const struct bus *bus)
{
	return atomic_load_explicit(&bus->shown, memory_order_relaxed);
}

int bus_add(struct bus *bus, struct io_region *region)
{
	uint32_t old = copy_shown(bus), new = 1 - old;
	uint64_t last;
	int r;

	if (region->size == 0 || region->base > UINT64_MAX - (region->size - 1))
		return -EINVAL;
	last = region->base + (region->size - 1);
	region->counter = bus_counters_get(&bus->counters, region->name);
	r = range_set_add(&bus->regions[new], region->base, last, (void *)region);
	if (r < 0)
		return r;
	table_show(bus, new);
	r = range_set_add(&bus->regions[old], region->base, last, (void *)region);
	if (r < 0) {
		table_show(bus, old);
		range_set_del(&bus->regions[new], region->base, last);
	}
	return r;
}

void bus_del(struct bus *bus, const struct io_region *region)
{
	uint32_t old = copy_shown(bus), new = 1 - old;
	const struct range *found = range_set_find(&bus->regions[new], region->base);
	struct range r;

	if (found == NULL || found->owner != region)
		return;
	r = *found;
	range_set_del(&bus->regions[new], r.start, r.last);
	table_show(bus, new);
	range_set_del(&bus->regions[old], r.start, r.last);
}

/* One access of one vCPU. */
struct bus_access {
	struct bus_reader *reader;
	uint64_t addr;
	uint8_t *data;
	unsigned int len;
	bool write;
};

/* What one access meets. */
enum bus_hit {
	BUS_NOTHING,
	BUS_ONE_REGION,
	BUS_SPLIT, /* crosses a border, or has a length that handlers never see */
};

static enum bus_hit table_find(const struct range_set *table, const struct bus_access *a,
			       const struct io_region **out)
{
	const struct range *r;

	if (a->addr > UINT64_MAX - (a->len - 1))
		return BUS_SPLIT;
	r = range_set_overlap(table, a->addr, a->addr + (a->len - 1));
	if (r == NULL)
		return BUS_NOTHING;
	if (a->addr < r->start || r->last - a->addr < a->len - 1 || !is_pow2(a->len))
		return BUS_SPLIT;
	*out = r->owner;
	return BUS_ONE_REGION;
}

static void region_access(const struct io_region *region, const struct bus_access *a)
{
	uint64_t value = UINT64_MAX;

	bus_counter_add(region->counter, a->write);
	if (a->write) {
		if (region->ops->write == NULL)
			return;
		value = 0;
		memcpy(&value, a->data, a->len); /* both sides are little-endian */
		region->ops->write(region->owner, a->addr - region->base, a->len, value);
		return;
	}
	if (region->ops->read != NULL)
		value = region->ops->read(region->owner, a->addr - region->base, a->len);
	memcpy(a->data, &value, a->len);
}

/* A region may go away as soon as its table is left, so the one found without the machine's lock
 * only says which lock the access needs. */
static enum bus_hit bus_access_once(struct bus *bus, const struct bus_access *a)
{
	const struct io_region *region = NULL;
	bool done = true;
	enum bus_hit hit = table_find(table_enter(bus, a->reader), a, &region);

	if (hit == BUS_NOTHING)
		bus_counter_add(&bus->counters.items[0], a->write);
	if (hit == BUS_ONE_REGION) {
		done = region->unlocked;
		if (done)
			region_access(region, a);
	}
	table_leave(a->reader);
	if (done)
		return hit;

	/* With the lock nobody changes the table; and a handler that does must not be a reader. */
	pthread_mutex_lock(&bus->queue);
	pthread_mutex_lock(bus->machine_lock);
	hit = table_find(&bus->regions[copy_shown(bus)], a, &region);
	if (hit == BUS_ONE_REGION)
		region_access(region, a);
	pthread_mutex_unlock(bus->machine_lock);
	pthread_mutex_unlock(&bus->queue);
	return hit;
}

static void bus_access(struct bus *bus, const struct bus_access *a)
{
	struct bus_access byte = *a;

	if (a->len == 0 || a->len > 8)
		return;
	if (!a->write)
		memset(a->data, 0xFF, a->len);
	if (bus_access_once(bus, a) != BUS_SPLIT || a->len == 1)
		return;
	byte.len = 1;
	for (unsigned int i = 0; i < a->len; i++, byte.addr++, byte.data++)
		bus_access_once(bus, &byte);
}

void bus_read(struct bus *bus, unsigned int vcpu, uint64_t addr, void *data, unsigned int len)
{
	const struct bus_access a = { &bus->readers[vcpu], addr, data, len, false };

	bus_access(bus, &a);
}

void bus_write(struct bus *bus, unsigned int vcpu, uint64_t addr, const void *data,
	       unsigned int len)
{
	const struct bus_access a = { &bus->readers[vcpu], addr, (uint8_t *)data, len, true };

	bus_access(bus, &a);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/bus.h"

#include <errno.h>

int bus_init(struct bus *bus, pthread_mutex_t *machine_lock)
{
	pthread_rwlockattr_t attr;
	int r;

	*bus = (struct bus){ .machine_lock = machine_lock };
	pthread_rwlockattr_init(&attr);
	/* Else vCPUs that read without end would keep a region from being added or removed. No handler
	 * takes the lock a second time for reading. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	r = -pthread_rwlock_init(&bus->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return r;
}

void bus_fini(struct bus *bus)
{
	range_set_fini(&bus->regions);
	pthread_rwlock_destroy(&bus->lock);
}

int bus_add(struct bus *bus, const struct io_region *region)
{
	int r;

	if (region->size == 0 || region->base > UINT64_MAX - (region->size - 1))
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	r = range_set_add(&bus->regions, region->base, region->base + (region->size - 1),
			  (void *)region);
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

void bus_del(struct bus *bus, const struct io_region *region)
{
	const struct range *r;

	pthread_rwlock_wrlock(&bus->lock);
	r = range_set_find(&bus->regions, region->base);
	if (r != NULL && r->owner == region)
		range_set_del(&bus->regions, r->start, r->last);
	pthread_rwlock_unlock(&bus->lock);
}

/* What one access meets. */
enum bus_hit {
	BUS_NOTHING,
	BUS_ONE_REGION,
	BUS_SPLIT, /* crosses a border, or has a length that handlers never see */
};

static enum bus_hit bus_find(struct bus *bus, uint64_t addr, unsigned int len,
			     const struct io_region **out)
{
	const struct range *r;

	if (addr > UINT64_MAX - (len - 1))
		return BUS_SPLIT;
	r = range_set_overlap(&bus->regions, addr, addr + (len - 1));
	if (r == NULL)
		return BUS_NOTHING;
	if (addr < r->start || r->last - addr < len - 1 || !is_pow2(len))
		return BUS_SPLIT;
	*out = r->owner;
	return BUS_ONE_REGION;
}

static void region_access(const struct io_region *region, uint64_t addr, uint8_t *data,
			  unsigned int len, bool write)
{
	uint64_t value = UINT64_MAX;

	if (write) {
		if (region->ops->write == NULL)
			return;
		value = 0;
		memcpy(&value, data, len); /* both sides are little-endian */
		region->ops->write(region->owner, addr - region->base, len, value);
		return;
	}
	if (region->ops->read != NULL)
		value = region->ops->read(region->owner, addr - region->base, len);
	memcpy(data, &value, len);
}

/* A region may go away as soon as neither lock is held, so the one found without the machine's lock
 * only says which lock the access needs. */
static enum bus_hit bus_access_once(struct bus *bus, uint64_t addr, uint8_t *data, unsigned int len,
				    bool write)
{
	const struct io_region *region = NULL;
	enum bus_hit hit;
	bool done = true;

	pthread_rwlock_rdlock(&bus->lock);
	hit = bus_find(bus, addr, len, &region);
	if (hit == BUS_ONE_REGION) {
		done = region->unlocked;
		if (done)
			region_access(region, addr, data, len, write);
	}
	pthread_rwlock_unlock(&bus->lock);
	if (done)
		return hit;

	pthread_mutex_lock(bus->machine_lock);
	pthread_rwlock_rdlock(&bus->lock);
	hit = bus_find(bus, addr, len, &region);
	pthread_rwlock_unlock(&bus->lock);
	if (hit == BUS_ONE_REGION)
		region_access(region, addr, data, len, write);
	pthread_mutex_unlock(bus->machine_lock);
	return hit;
}

static void bus_access(struct bus *bus, uint64_t addr, uint8_t *data, unsigned int len, bool write)
{
	enum bus_hit hit;

	if (len == 0 || len > 8)
		return;
	if (!write)
		memset(data, 0xFF, len);
	hit = bus_access_once(bus, addr, data, len, write);
	if (hit != BUS_SPLIT || len == 1)
		return;
	for (unsigned int i = 0; i < len; i++)
		bus_access_once(bus, addr + i, data + i, 1, write);
}

void bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int len)
{
	bus_access(bus, addr, data, len, false);
}

void bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned int len)
{
	bus_access(bus, addr, (uint8_t *)data, len, true);
}

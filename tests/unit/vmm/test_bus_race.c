// SPDX-License-Identifier: BSD-3-Clause
/*
 * vCPUs that read and write without end while regions come and go, each freed as soon as bus_del()
 * has returned. Built with the thread sanitizer: what is not ordered is a failure, whether it shows
 * or not.
 */
#include "vmm/bus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define VCPUS	4
#define REGIONS 8
#define BASE	0x1000
#define STEP	0x10
#define CHANGES 4000
#define ALIVE	0x600DF00D
#define DEAD	0xDEADDEAD

/* What a handler works on: plain memory, so that only the bus orders the threads. */
struct device {
	struct io_region region;
	uint32_t magic;
	uint64_t reads[VCPUS]; /* by off: each vCPU reads at its own number */
	uint64_t writes; /* of a locked region */
};

struct fixture {
	pthread_mutex_t lock;
	struct bus bus;
	struct device *devices[REGIONS];
	_Atomic bool is_over;
	_Atomic unsigned int broken; /* handlers that met a dead device */
	_Atomic unsigned int handled;
};

static struct fixture *fixture;

static uint64_t device_read(void *owner, uint64_t off, unsigned int len)
{
	struct device *dev = owner;

	if (dev->magic != ALIVE)
		atomic_fetch_add(&fixture->broken, 1);
	dev->reads[off % VCPUS]++;
	atomic_fetch_add_explicit(&fixture->handled, 1, memory_order_relaxed);
	return ALIVE;
}

static void device_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct device *dev = owner;

	if (dev->magic != ALIVE)
		atomic_fetch_add(&fixture->broken, 1);
	if (!dev->region.unlocked)
		dev->writes++;
}

static const struct io_ops ops = { device_read, device_write };

static struct device *device_make(unsigned int nr)
{
	struct device *dev = calloc(1, sizeof(*dev));

	assert_non_null(dev);
	dev->magic = ALIVE;
	dev->region = (struct io_region){ "device", BASE + nr * STEP, STEP, &ops, dev, nr % 2 };
	return dev;
}

static void *vcpu_run(void *arg)
{
	unsigned int id = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; !atomic_load_explicit(&fixture->is_over, memory_order_relaxed);
	     i++) {
		uint64_t addr = BASE + (i % (REGIONS + 1)) * STEP + id;
		uint8_t v = 0;

		bus_read(&fixture->bus, id, addr, &v, 1);
		if (v != (ALIVE & 0xFF) && v != 0xFF)
			atomic_fetch_add(&fixture->broken, 1);
		bus_write(&fixture->bus, id, addr, &v, 1);
		bus_write(&fixture->bus, id, addr + STEP - 1 - id, "abcd", 4); /* two regions */
	}
	return NULL;
}

static void regions_change_under_running_vcpus(void **state)
{
	static struct fixture f;
	pthread_t vcpus[VCPUS];

	fixture = &f;
	pthread_mutex_init(&f.lock, NULL);
	assert_int_equal(bus_init(&f.bus, &f.lock), 0);
	for (unsigned int i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&vcpus[i], NULL, vcpu_run, (void *)(uintptr_t)i),
				 0);
	for (unsigned int i = 0; i < CHANGES; i++) {
		unsigned int nr = i * 7 % REGIONS;
		struct device *dev = f.devices[nr];

		pthread_mutex_lock(&f.lock);
		if (dev == NULL) {
			f.devices[nr] = device_make(nr);
			assert_int_equal(bus_add(&f.bus, &f.devices[nr]->region), 0);
		} else {
			bus_del(&f.bus, &dev->region);
			dev->magic = DEAD;
			free(dev);
			f.devices[nr] = NULL;
		}
		pthread_mutex_unlock(&f.lock);
		/* Four regions are there now: vCPUs get to them, on a machine with one CPU as well. */
		while (i % 64 == 59 && atomic_exchange(&f.handled, 0) == 0)
			sched_yield();
	}
	atomic_store(&f.is_over, true);
	for (unsigned int i = 0; i < VCPUS; i++)
		pthread_join(vcpus[i], NULL);
	assert_int_equal(atomic_load(&f.broken), 0);
	for (unsigned int i = 0; i < REGIONS; i++) {
		if (f.devices[i] != NULL)
			bus_del(&f.bus, &f.devices[i]->region);
		free(f.devices[i]);
	}
	assert_int_equal(f.bus.regions[0].count, 0);
	assert_int_equal(f.bus.regions[1].count, 0);
	bus_fini(&f.bus);
	pthread_mutex_destroy(&f.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_change_under_running_vcpus),
	};

	return cmocka_run_group_tests_name("vmm-bus-race", tests, NULL, NULL);
}

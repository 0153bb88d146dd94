// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/bus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct mem {
	uint8_t bytes[16];
	unsigned int accesses;
	unsigned int last_len;
	pthread_mutex_t *lock; /* must be held, or must be free */
	bool expects_lock;
};

static void lock_check(struct mem *m)
{
	int r = pthread_mutex_trylock(m->lock);

	assert_int_equal(r, m->expects_lock ? EBUSY : 0);
	if (r == 0)
		pthread_mutex_unlock(m->lock);
}

static uint64_t mem_read(void *owner, uint64_t off, unsigned int len)
{
	struct mem *m = owner;
	uint64_t v = UINT64_MAX; /* the bytes above len are the handler's rubbish */

	lock_check(m);
	assert_true(range_fits(off, len, sizeof(m->bytes)));
	memcpy(&v, m->bytes + off, len);
	m->accesses++;
	m->last_len = len;
	return v;
}

static void mem_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct mem *m = owner;

	lock_check(m);
	assert_true(range_fits(off, len, sizeof(m->bytes)));
	memcpy(m->bytes + off, &value, len);
	m->accesses++;
	m->last_len = len;
}

static const struct io_ops mem_ops = { mem_read, mem_write };

struct fixture {
	pthread_mutex_t lock;
	struct bus bus;
	struct mem mem;
	struct io_region region;
};

static int setup(void **state)
{
	static struct fixture f;
	pthread_mutexattr_t fair;

	memset(&f, 0, sizeof(f));
	pthread_mutexattr_init(&fair); /* as the machine's lock is */
	pthread_mutexattr_setprotocol(&fair, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&f.lock, &fair);
	pthread_mutexattr_destroy(&fair);
	assert_int_equal(bus_init(&f.bus, &f.lock), 0);
	f.mem.lock = &f.lock;
	f.mem.expects_lock = true;
	f.region = (struct io_region){ "mem", 0x1000, 16, &mem_ops, &f.mem, false };
	assert_int_equal(bus_add(&f.bus, &f.region), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	bus_fini(&f->bus);
	pthread_mutex_destroy(&f->lock);
	return 0;
}

static void unassigned_reads_all_ones(void **state)
{
	struct fixture *f = *state;
	static const unsigned int lens[] = { 1, 2, 3, 4, 5, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint8_t buf[9] = { 0 };

		bus_read(&f->bus, 0, 0xCD8, buf, lens[i]);
		for (unsigned int b = 0; b < lens[i]; b++)
			assert_int_equal(buf[b], 0xFF);
		assert_int_equal(buf[lens[i]], 0); /* not a byte more */
	}
	bus_write(&f->bus, 0, 0xCD8, "abcd", 4);
	assert_int_equal(f->mem.accesses, 0);
}

static void access_inside_is_one_call(void **state)
{
	struct fixture *f = *state;
	uint32_t v = 0xA1B2C3D4;
	uint8_t back[8] = { 0 };

	bus_write(&f->bus, 0, 0x1003, &v, 4);
	assert_int_equal(f->mem.accesses, 1);
	bus_read(&f->bus, 0, 0x1003, back, 4);
	assert_memory_equal(back, &v, 4);
	assert_int_equal(back[4], 0);
	bus_read(&f->bus, 0, 0x1008, back, 8);
	assert_int_equal(f->mem.last_len, 8);
}

static void crossing_the_end_goes_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t back[4];

	f->mem.bytes[14] = 0x11;
	f->mem.bytes[15] = 0x22;
	bus_read(&f->bus, 0, 0x100E, back, 4);
	assert_memory_equal(back, "\x11\x22\xFF\xFF", 4);
	f->mem.bytes[0] = 0x33;
	bus_read(&f->bus, 0, 0x0FFE, back, 4);
	assert_memory_equal(back, "\xFF\xFF\x33\x00", 4);
	bus_read(&f->bus, 0, UINT64_MAX - 1, back, 4); /* wraps: nothing there either */
	assert_memory_equal(back, "\xFF\xFF\xFF\xFF", 4);
	bus_write(&f->bus, 0, 0x100F, "\x55\x66", 2);
	assert_int_equal(f->mem.bytes[15], 0x55);
	assert_int_equal(f->mem.last_len, 1);
}

static void odd_lengths_are_split(void **state)
{
	struct fixture *f = *state;

	bus_write(&f->bus, 0, 0x1000, "abc", 3);
	assert_int_equal(f->mem.accesses, 3);
	assert_memory_equal(f->mem.bytes, "abc", 3);
}

static void unlocked_region_runs_without_the_lock(void **state)
{
	struct fixture *f = *state;
	uint8_t v;

	bus_del(&f->bus, &f->region);
	f->region.unlocked = true;
	f->mem.expects_lock = false;
	assert_int_equal(bus_add(&f->bus, &f->region), 0);
	bus_read(&f->bus, 0, 0x1000, &v, 1);
	assert_int_equal(f->mem.accesses, 1);
}

static void overlap_and_removal(void **state)
{
	struct fixture *f = *state;
	struct io_region other = { "other", 0x100F, 2, &mem_ops, &f->mem, false };
	struct io_region empty = { "empty", 0x2000, 0, &mem_ops, &f->mem, false };
	struct io_region wraps = { "wraps", UINT64_MAX, 2, &mem_ops, &f->mem, false };
	uint8_t v = 0;

	assert_int_equal(bus_add(&f->bus, &other), -EEXIST);
	assert_int_equal(bus_add(&f->bus, &empty), -EINVAL);
	assert_int_equal(bus_add(&f->bus, &wraps), -EINVAL);
	bus_del(&f->bus, &other); /* never added: the one in its place stays */
	bus_read(&f->bus, 0, 0x100F, &v, 1);
	assert_int_equal(v, 0);
	bus_del(&f->bus, &f->region);
	bus_del(&f->bus, &f->region);
	bus_read(&f->bus, 0, 0x100F, &v, 1);
	assert_int_equal(v, 0xFF);
}

/* A region without the machine's lock whose handler stays inside until it is told to end. */
struct slow {
	_Atomic bool is_inside, may_end;
	struct fixture *f;
	struct io_region region;
	_Atomic bool is_deleted;
};

static uint64_t slow_read(void *owner, uint64_t off, unsigned int len)
{
	struct slow *s = owner;

	atomic_store(&s->is_inside, true);
	while (!atomic_load(&s->may_end))
		usleep(100);
	return 0;
}

static const struct io_ops slow_ops = { .read = slow_read };

static void *slow_access(void *arg)
{
	struct slow *s = arg;
	uint8_t v;

	bus_read(&s->f->bus, 1, s->region.base, &v, 1);
	return NULL;
}

static void *slow_delete(void *arg)
{
	struct slow *s = arg;

	bus_del(&s->f->bus, &s->region);
	atomic_store(&s->is_deleted, true);
	return NULL;
}

/* Who removed a region may free what its handler works on, with the machine's lock or without. */
static void removal_waits_for_an_unlocked_handler(void **state)
{
	struct slow s = { .f = *state };
	pthread_t reader, writer;

	s.region = (struct io_region){ "slow", 0x3000, 1, &slow_ops, &s, true };
	assert_int_equal(bus_add(&s.f->bus, &s.region), 0);
	assert_int_equal(pthread_create(&reader, NULL, slow_access, &s), 0);
	while (!atomic_load(&s.is_inside))
		usleep(100);
	assert_int_equal(pthread_create(&writer, NULL, slow_delete, &s), 0);
	usleep(20000);
	assert_false(atomic_load(&s.is_deleted));
	atomic_store(&s.may_end, true);
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
	assert_true(atomic_load(&s.is_deleted));
}

/* Each change needs both copies of the table: after many of them both still say the same. */
static void both_copies_stay_the_same(void **state)
{
	struct fixture *f = *state;
	struct io_region many[40];
	uint8_t v = 0;

	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(many); i++) {
			many[i] = (struct io_region){ "many",	0x5000 + i * 2, 1,
						      &mem_ops, &f->mem,	false };
			assert_int_equal(bus_add(&f->bus, &many[i]), 0);
			assert_int_equal(bus_add(&f->bus, &many[i]), -EEXIST);
		}
		for (unsigned int i = round; i < ARRAY_SIZE(many) + round; i++) {
			bus_del(&f->bus, &many[i % ARRAY_SIZE(many)]);
			assert_int_equal(f->bus.regions[0].count, f->bus.regions[1].count);
		}
	}
	bus_read(&f->bus, 0, 0x5000, &v, 1);
	assert_int_equal(v, 0xFF);
	bus_read(&f->bus, 0, 0x1000, &v, 1);
	assert_int_equal(v, 0);
}

#define CROWD	16
#define SLOW_US 10000

struct crowd {
	struct bus *bus;
	struct io_region region;
	_Atomic bool may_end;
	_Atomic unsigned int inside;
};

static void crowd_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct crowd *c = owner;

	atomic_fetch_add(&c->inside, 1);
	usleep(SLOW_US);
}

static const struct io_ops crowd_ops = { .write = crowd_write };

struct member {
	struct crowd *crowd;
	unsigned int vcpu;
	pthread_t thread;
};

static void *member_run(void *arg)
{
	struct member *m = arg;

	while (!atomic_load(&m->crowd->may_end))
		bus_write(m->crowd->bus, m->vcpu, 0x3000, "", 1);
	return NULL;
}

/* Every vCPU in a handler of 10 ms without end; the main thread, beside them, takes its turn. */
static void main_thread_waits_for_one_handler(void **state)
{
	struct fixture *f = *state;
	struct crowd c = { .bus = &f->bus };
	struct member members[CROWD];
	unsigned int before, most = 0;

	c.region = (struct io_region){ "slow", 0x3000, 1, &crowd_ops, &c, false };
	assert_int_equal(bus_add(&f->bus, &c.region), 0);
	for (unsigned int i = 0; i < CROWD; i++) {
		members[i] = (struct member){ .crowd = &c, .vcpu = i };
		assert_int_equal(pthread_create(&members[i].thread, NULL, member_run, &members[i]),
				 0);
	}
	while (atomic_load(&c.inside) < 4)
		usleep(SLOW_US);
	for (int turn = 0; turn < 8; turn++) {
		before = atomic_load(&c.inside);
		pthread_mutex_lock(&f->lock);
		most = atomic_load(&c.inside) - before > most ? atomic_load(&c.inside) - before
							      : most;
		pthread_mutex_unlock(&f->lock);
	}
	atomic_store(&c.may_end, true);
	for (unsigned int i = 0; i < CROWD; i++)
		pthread_join(members[i].thread, NULL);
	bus_del(&f->bus, &c.region);
	/* On a busy machine a few may pass before this thread is in line. */
	assert_in_range(most, 0, CROWD / 2);
}

static void expect_count(const struct bus *bus, const char *name, uint64_t reads, uint64_t writes)
{
	struct bus_count c;

	assert_true(bus_counters_find(&bus->counters, name, &c));
	assert_int_equal(c.reads, reads);
	assert_int_equal(c.writes, writes);
}

static void every_access_counts_where_it_went(void **state)
{
	struct fixture *f = *state;
	struct io_region moved = { "mem", 0x9000, 16, &mem_ops, &f->mem, false };
	struct bus_count none;
	uint8_t v[4];

	bus_read(&f->bus, 0, 0x1000, v, 4);
	bus_read(&f->bus, 1, 0x1004, v, 2);
	bus_write(&f->bus, 0, 0x1000, v, 4);
	bus_read(&f->bus, 0, 0x7000, v, 4);
	expect_count(&f->bus, "mem", 2, 1);
	expect_count(&f->bus, "unassigned", 1, 0);
	bus_write(&f->bus, 0, 0x100E, v, 4); /* two bytes each */
	expect_count(&f->bus, "mem", 2, 3);
	expect_count(&f->bus, "unassigned", 1, 2);
	/* A region that moved goes on counting. */
	bus_del(&f->bus, &f->region);
	assert_int_equal(bus_add(&f->bus, &moved), 0);
	bus_read(&f->bus, 0, 0x9000, v, 1);
	bus_read(&f->bus, 0, 0x1000, v, 1);
	expect_count(&f->bus, "mem", 3, 3);
	expect_count(&f->bus, "unassigned", 2, 2);
	assert_false(bus_counters_find(&f->bus.counters, "other", &none));
}

static void counters_have_an_end(void **state)
{
	struct fixture *f = *state;
	struct io_region one = { NULL, 0x8000, 1, &mem_ops, &f->mem, false };
	struct bus_count c;
	char name[120];
	size_t n = 0;
	uint8_t v;

	for (unsigned int i = 0; i < 2 * BUS_COUNTERS; i++) {
		/* Longer than a counter's name, and different within it. */
		snprintf(name, sizeof(name), "%02u%0110u", i, 0);
		one.name = name;
		assert_int_equal(bus_add(&f->bus, &one), 0);
		bus_read(&f->bus, 0, 0x8000, &v, 1);
		bus_del(&f->bus, &one);
	}
	while (bus_counters_read(&f->bus.counters, n, &c)) {
		assert_true(strlen(c.name) < BUS_COUNTER_NAME);
		n++;
	}
	assert_int_equal(n, BUS_COUNTERS);
	/* "unassigned", "mem", then one each, and the rest together. */
	expect_count(&f->bus, "others", 2 * BUS_COUNTERS - (BUS_COUNTERS - 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unassigned_reads_all_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(access_inside_is_one_call, setup, teardown),
		cmocka_unit_test_setup_teardown(crossing_the_end_goes_byte_by_byte, setup,
						teardown),
		cmocka_unit_test_setup_teardown(odd_lengths_are_split, setup, teardown),
		cmocka_unit_test_setup_teardown(unlocked_region_runs_without_the_lock, setup,
						teardown),
		cmocka_unit_test_setup_teardown(overlap_and_removal, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_waits_for_an_unlocked_handler, setup,
						teardown),
		cmocka_unit_test_setup_teardown(both_copies_stay_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(main_thread_waits_for_one_handler, setup, teardown),
		cmocka_unit_test_setup_teardown(every_access_counts_where_it_went, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_have_an_end, setup, teardown),
	};

	return cmocka_run_group_tests_name("vmm-bus", tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
/* The short way shows guests and operators nothing but what the long way shows, and is taken where it should be. */
#include "../../fake/lane_worlds.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <stdlib.h>

#define RUNS  600
#define BYTES 2400

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void fill(uint8_t *out, size_t len, uint64_t *x)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(random_next(x) >> 24);
}

static void test_same_as_the_long_way(void **state)
{
	struct lane_worlds_facts all = { 0 }, f;
	uint8_t data[BYTES];
	uint64_t x = 88172645463325252ULL;

	for (unsigned int i = 0; i < RUNS; i++) {
		fill(data, sizeof(data), &x);
		data[0] &= (uint8_t)~LANE_HOSTILE;
		lane_worlds_run(data, sizeof(data), &f);
		all.short_way += f.short_way;
		all.long_way += f.long_way;
		all.received += f.received;
		all.full += f.full != 0;
		all.to_wire += f.to_wire;
		all.from_wire += f.from_wire;
	}
	print_message(
		"short way %llu, long way %llu, received %llu, to the wire %llu, from it %llu, "
		"runs with a full ring %llu\n",
		(unsigned long long)all.short_way, (unsigned long long)all.long_way,
		(unsigned long long)all.received, (unsigned long long)all.to_wire,
		(unsigned long long)all.from_wire, (unsigned long long)all.full);
	assert_true(all.to_wire > RUNS * 2 && all.from_wire > RUNS * 2);
	assert_true(all.short_way > RUNS * 20 && all.long_way > RUNS * 20);
	assert_true(all.full < RUNS / 2);
}

static void test_hostile(void **state)
{
	struct lane_worlds_facts f;
	uint8_t data[BYTES];
	uint64_t x = 1234567;

	for (unsigned int i = 0; i < RUNS; i++) {
		fill(data, sizeof(data), &x);
		data[0] |= LANE_HOSTILE;
		lane_worlds_run(data, sizeof(data), &f);
	}
}

/* Twenty frames to a guest with four buffers: four come, and each of the others is counted, in both worlds. */
static void test_a_full_receiver(void **state)
{
	uint8_t data[3 + 21 * 8] = { LANE_MERGED, 4, BIT(4) };
	struct lane_worlds_facts f;

	for (size_t at = 3; at < sizeof(data); at += 8)
		data[at + 2] = 100; /* bytes of payload */
	data[sizeof(data) - 8] = 6; /* the switch has its turn */
	lane_worlds_run(data, sizeof(data), &f);
	assert_int_equal(f.short_way, 20);
	assert_int_equal(f.long_way, 0);
	assert_int_equal(f.received, 4);
	assert_int_equal(f.full, 2 * 16);
}

/*
 * Guest 0 sends to a station that nobody has heard of, twice, so that the way is known: to the wire. Then guest 1 is heard
 * under that address, and gets what follows.
 */
static void test_a_station_is_heard(void **state)
{
	uint8_t data[3 + 4 * 8] = { LANE_MERGED, 4, BIT(2) | BIT(5) | BIT(6) };
	struct lane_worlds_facts f;
	uint8_t *speaks = data + 3 + 2 * 8;

	for (size_t at = 3; at < sizeof(data); at += 8) {
		data[at + 1] = 3 << 6; /* to that station */
		data[at + 2] = 100; /* bytes of payload */
	}
	speaks[0] = 1 * 8;
	speaks[1] = 0; /* to guest 0 */
	speaks[3] = 3; /* with its address as the source */
	speaks[4] = 0xC0;
	lane_worlds_run(data, sizeof(data), &f);
	assert_int_equal(f.to_wire, 2);
	assert_int_equal(f.received, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_the_long_way),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_a_full_receiver),
		cmocka_unit_test(test_a_station_is_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

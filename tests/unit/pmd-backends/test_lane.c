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
	}
	print_message("short way %llu, long way %llu, received %llu, runs with a full ring %llu\n",
		      (unsigned long long)all.short_way, (unsigned long long)all.long_way,
		      (unsigned long long)all.received, (unsigned long long)all.full);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_the_long_way),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

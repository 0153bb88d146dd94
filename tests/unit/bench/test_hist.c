// SPDX-License-Identifier: BSD-3-Clause
/* The histogram of latencies: every value is known to 0.8%, wherever it lies, and no count is lost. */
#include "bench/gen/hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct hist h;

static void assert_near(uint64_t got, uint64_t want)
{
	uint64_t apart = got > want ? got - want : want - got;

	assert_true(apart <= want / 128);
}

static void test_nothing_has_no_quantile(void **state)
{
	hist_cursor at = 0;
	uint64_t upper, count;

	hist_init(&h);
	assert_int_equal(hist_quantile(&h, 0.5), 0);
	assert_false(hist_next(&h, &at, &upper, &count));
}

static void test_each_value_is_known_wherever_it_lies(void **state)
{
	for (unsigned int bit = 0; bit < HIST_VALUE_BITS; bit++)
		for (int off = -1; off <= 1; off++) {
			uint64_t value = ((uint64_t)1 << bit) + (uint64_t)(int64_t)off;

			hist_init(&h);
			/* Others far away, so that no minimum or maximum helps. */
			hist_add(&h, 0, 1);
			hist_add(&h, value, 1);
			hist_add(&h, ((uint64_t)1 << HIST_VALUE_BITS) - 1, 1);
			assert_near(hist_quantile(&h, 0.5), value);
		}
}

static void test_quantiles_are_those_of_a_sorted_list(void **state)
{
	hist_init(&h);
	for (uint64_t i = 1; i <= 100000; i++)
		hist_add(&h, i * 17, 1);
	for (int q = 1; q < 1000; q++)
		assert_near(hist_quantile(&h, q / 1000.0), (uint64_t)(q * 100) * 17);
	assert_near(hist_quantile(&h, 0), 17);
	assert_near(hist_quantile(&h, 1), 1700000);
	assert_true(h.sum / (double)h.count == 17 * 50000.5);
}

static void test_what_is_too_large_is_the_largest(void **state)
{
	hist_init(&h);
	hist_add(&h, UINT64_MAX, 2);
	assert_int_equal(h.count, 2);
	assert_int_equal(h.max, ((uint64_t)1 << HIST_VALUE_BITS) - 1);
	assert_int_equal(hist_quantile(&h, 0.5), h.max);
}

static void test_times_count(void **state)
{
	hist_init(&h);
	hist_add(&h, 1000, 99);
	hist_add(&h, 1000000, 1);
	assert_near(hist_quantile(&h, 0.98), 1000);
	assert_near(hist_quantile(&h, 0.99), 1000);
	assert_near(hist_quantile(&h, 0.991), 1000000);
}

/* Nearest rank, the least value that the share is not above: values so small that each has a place of its own. */
static void test_ranks_are_the_nearest(void **state)
{
	hist_init(&h);
	for (uint64_t i = 1; i <= 100; i++)
		hist_add(&h, i, 1);
	for (unsigned int q = 1; q <= 100; q++)
		assert_int_equal(hist_quantile(&h, q / 100.0), q);
	assert_int_equal(hist_quantile(&h, 0), 1);
	assert_int_equal(hist_quantile(&h, 0.001), 1);
	assert_int_equal(hist_quantile(&h, 0.501), 51);
}

static void test_the_places_hold_all_in_order(void **state)
{
	uint64_t upper, count, sum = 0, last = 0, value;
	hist_cursor at = 0;

	hist_init(&h);
	srand(7);
	for (int i = 0; i < 10000; i++) {
		value = (uint64_t)rand() << (rand() % 17);
		hist_add(&h, value, 1);
	}
	while (hist_next(&h, &at, &upper, &count)) {
		assert_true(sum == 0 || upper > last);
		last = upper;
		sum += count;
	}
	assert_int_equal(sum, 10000);
	assert_true(last >= h.max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_has_no_quantile),
		cmocka_unit_test(test_each_value_is_known_wherever_it_lies),
		cmocka_unit_test(test_quantiles_are_those_of_a_sorted_list),
		cmocka_unit_test(test_what_is_too_large_is_the_largest),
		cmocka_unit_test(test_times_count),
		cmocka_unit_test(test_ranks_are_the_nearest),
		cmocka_unit_test(test_the_places_hold_all_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

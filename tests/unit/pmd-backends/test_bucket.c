// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HZ     1000000000ULL
#define SECOND HZ

static void test_what_is_taken_is_waited_for(void **state)
{
	struct bucket b;

	bucket_init(&b, 1000, HZ, 0);
	assert_int_equal(bucket_level(&b), 1000 * BUCKET_BURST_MS / 1000);
	bucket_take(&b, 1020);
	assert_false(bucket_has(&b));
	assert_in_range(bucket_wait(&b), SECOND, SECOND + 1);
}

/* A cost that no credit can count is a debt like any other, never credit. */
static void test_no_cost_is_credit(void **state)
{
	static const uint64_t costs[] = { INT64_MAX / HZ, UINT64_MAX / HZ + 1, INT64_MAX,
					  UINT64_MAX };
	struct bucket b;

	for (size_t i = 0; i < ARRAY_SIZE(costs); i++) {
		bucket_init(&b, 1000, HZ, 0);
		bucket_take(&b, costs[i]);
		assert_false(bucket_has(&b));
		assert_true(bucket_wait(&b) > 1000 * SECOND);
		assert_int_equal(bucket_level(&b), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_taken_is_waited_for),
		cmocka_unit_test(test_no_cost_is_credit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

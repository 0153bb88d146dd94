// SPDX-License-Identifier: BSD-3-Clause
#include "base/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

static void add_find_del(void **state)
{
	struct range_set s = { 0 };
	int a, b;

	assert_int_equal(range_set_add(&s, 0x100, 0x1ff, &a), 0);
	assert_int_equal(range_set_add(&s, 0, 0xf, &b), 0);
	assert_int_equal(range_set_add(&s, 0x1ff, 0x300, &a), -EEXIST);
	assert_int_equal(range_set_add(&s, 0, UINT64_MAX, &a), -EEXIST);
	assert_int_equal(range_set_add(&s, 5, 4, &a), -EINVAL);
	assert_ptr_equal(range_set_find(&s, 0x1ff)->owner, &a);
	assert_ptr_equal(range_set_find(&s, 0)->owner, &b);
	assert_null(range_set_find(&s, 0x10));
	assert_int_equal(range_set_del(&s, 0x100, 0x1fe), -ENOENT);
	assert_int_equal(range_set_del(&s, 0x100, 0x1ff), 0);
	assert_null(range_set_find(&s, 0x100));
	range_set_fini(&s);
}

static void last_address(void **state)
{
	struct range_set s = { 0 };

	assert_int_equal(range_set_add(&s, UINT64_MAX, UINT64_MAX, NULL), 0);
	assert_non_null(range_set_find(&s, UINT64_MAX));
	assert_null(range_set_find(&s, UINT64_MAX - 1));
	assert_true(range_set_covers(&s, UINT64_MAX, UINT64_MAX));
	range_set_fini(&s);
}

static void covers_needs_one_range(void **state)
{
	struct range_set s = { 0 };

	range_set_add(&s, 0, 9, NULL);
	range_set_add(&s, 10, 19, NULL);
	assert_true(range_set_covers(&s, 10, 19));
	assert_false(range_set_covers(&s, 5, 15));
	assert_false(range_set_covers(&s, 19, 20));
	assert_false(range_set_covers(&s, 15, 12));
	range_set_fini(&s);
}

/* Against a byte map that does the same the simple way. */
static void agrees_with_a_naive_model(void **state)
{
	struct range_set s = { 0 };
	uint8_t map[64] = { 0 };

	srand(7);
	for (int i = 0; i < 20000; i++) {
		unsigned int start = (unsigned int)rand() % 64, len = 1 + (unsigned int)rand() % 8;
		unsigned int last = start + len - 1 < 63 ? start + len - 1 : 63;
		bool is_clear = true;

		for (unsigned int k = start; k <= last; k++)
			is_clear = is_clear && map[k] == 0;
		assert_int_equal(range_set_overlap(&s, start, last) == NULL, is_clear);
		if (is_clear) {
			assert_int_equal(range_set_add(&s, start, last, NULL), 0);
			memset(map + start, 1, last - start + 1);
		} else {
			const struct range r = *range_set_overlap(&s, start, last);

			assert_int_equal(range_set_del(&s, r.start, r.last), 0);
			memset(map + r.start, 0, r.last - r.start + 1);
		}
		for (unsigned int k = 0; k < 64; k++)
			assert_int_equal(range_set_find(&s, k) != NULL, map[k]);
	}
	range_set_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_find_del),
		cmocka_unit_test(last_address),
		cmocka_unit_test(covers_needs_one_range),
		cmocka_unit_test(agrees_with_a_naive_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

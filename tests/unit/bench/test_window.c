// SPDX-License-Identifier: BSD-3-Clause
/* Which numbers have come: against a list of all, for losses, doubles, late ones and jumps beyond the window. */
#include "bench/gen/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 128
#define ALL  20000

static uint64_t bits[SIZE / 64];
static struct window w;

static int setup(void **state)
{
	memset(bits, 0, sizeof(bits));
	w = (struct window){ bits, SIZE, 0 };
	return 0;
}

static void test_in_order(void **state)
{
	for (uint32_t seq = 0; seq < 1000; seq++)
		assert_int_equal(window_take(&w, seq), WINDOW_NEW);
}

static void test_doubles_are_seen_at_once_and_later(void **state)
{
	assert_int_equal(window_take(&w, 5), WINDOW_NEW);
	assert_int_equal(window_take(&w, 5), WINDOW_TWICE);
	assert_int_equal(window_take(&w, 100), WINDOW_NEW);
	assert_int_equal(window_take(&w, 5), WINDOW_TWICE);
}

static void test_a_late_one_is_reordered_once(void **state)
{
	assert_int_equal(window_take(&w, 1), WINDOW_NEW);
	assert_int_equal(window_take(&w, 0), WINDOW_LATE);
	assert_int_equal(window_take(&w, 0), WINDOW_TWICE);
	assert_int_equal(window_take(&w, 2), WINDOW_NEW);
}

static void test_the_edge_of_the_window(void **state)
{
	assert_int_equal(window_take(&w, SIZE), WINDOW_NEW);
	assert_int_equal(window_take(&w, 1), WINDOW_LATE);
	assert_int_equal(window_take(&w, 0), WINDOW_TOO_OLD);
}

static void test_the_last_number_there_is(void **state)
{
	assert_int_equal(window_take(&w, UINT32_MAX), WINDOW_NEW);
	assert_int_equal(window_take(&w, UINT32_MAX), WINDOW_TWICE);
	assert_int_equal(window_take(&w, UINT32_MAX - 1), WINDOW_LATE);
	assert_int_equal(window_take(&w, 0), WINDOW_TOO_OLD);
}

static void test_against_a_list_of_all(void **state)
{
	static bool seen[ALL + 2 * SIZE];
	uint32_t next = 0;

	srand(11);
	for (uint32_t i = 0; i < ALL; i++) {
		uint32_t jump = rand() % 50 == 0 ? (uint32_t)rand() % (2 * SIZE) : 3;
		uint32_t seq = next + (uint32_t)rand() % jump;
		enum window_word want = WINDOW_NEW;

		if (rand() % 3 == 0)
			seq = next - (uint32_t)rand() % (next < 2 * SIZE ? next + 1 : 2 * SIZE);
		if (seq >= ALL)
			break;
		if (seq < next && next - seq > SIZE)
			want = WINDOW_TOO_OLD;
		else if (seen[seq])
			want = WINDOW_TWICE;
		else if (seq < next)
			want = WINDOW_LATE;
		assert_int_equal(window_take(&w, seq), want);
		seen[seq] = seen[seq] || want != WINDOW_TOO_OLD;
		next = seq >= next ? seq + 1 : next;
	}
	assert_true(next > ALL / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_in_order, setup),
		cmocka_unit_test_setup(test_doubles_are_seen_at_once_and_later, setup),
		cmocka_unit_test_setup(test_a_late_one_is_reordered_once, setup),
		cmocka_unit_test_setup(test_the_edge_of_the_window, setup),
		cmocka_unit_test_setup(test_the_last_number_there_is, setup),
		cmocka_unit_test_setup(test_against_a_list_of_all, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

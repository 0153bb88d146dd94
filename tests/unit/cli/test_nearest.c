// SPDX-License-Identifier: BSD-3-Clause
#include "cli/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const nouns[] = { "host", "pf", "vf", "vm", "version", "help" };

static void test_distance(void **state)
{
	assert_int_equal(nearest_distance("", ""), 0);
	assert_int_equal(nearest_distance("list", "list"), 0);
	assert_int_equal(nearest_distance("lst", "list"), 1);
	assert_int_equal(nearest_distance("lsit", "list"), 1);
	assert_int_equal(nearest_distance("liist", "list"), 1);
	assert_int_equal(nearest_distance("", "list"), 4);
	assert_int_equal(nearest_distance("show", "list"), 4);
}

static void test_long_words_are_far(void **state)
{
	char word[101] = { 0 };

	memset(word, 'a', 100);
	assert_int_equal(nearest_distance(word, "a"), 100);
	assert_int_equal(nearest_distance("a", word), 100);
	assert_null(nearest_word(word, nouns, ARRAY_SIZE(nouns)));
}

static void test_word(void **state)
{
	assert_string_equal(nearest_word("hots", nouns, ARRAY_SIZE(nouns)), "host");
	assert_string_equal(nearest_word("verison", nouns, ARRAY_SIZE(nouns)), "version");
	assert_string_equal(nearest_word("pff", nouns, ARRAY_SIZE(nouns)), "pf");
	assert_null(nearest_word("xy", nouns, ARRAY_SIZE(nouns)));
	assert_null(nearest_word("elephant", nouns, ARRAY_SIZE(nouns)));
	assert_null(nearest_word("pf", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_long_words_are_far),
		cmocka_unit_test(test_word),
	};

	return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}

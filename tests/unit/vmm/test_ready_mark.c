// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/ready_mark.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* After how many bytes of output the text was found; 0: never. */
static size_t found_after(const char *text, const char *output)
{
	struct ready_mark mark;

	ready_mark_init(&mark, text);
	for (size_t i = 0; output[i] != '\0'; i++) {
		ready_mark_byte(&mark, (uint8_t)output[i]);
		if (mark.found_ns != 0)
			return i + 1;
	}
	return 0;
}

static void text_is_found_where_it_ends(void **state)
{
	static const struct {
		const char *text, *output;
		size_t after;
	} rows[] = {
		{ "login:", "Debian\r\nhost login: ", 19 },
		{ "login:", "logilogin:", 10 },
		{ "aab", "aaaaab", 6 },
		{ "abcabd", "abcabcabd", 9 },
		{ "x", "yyx", 3 },
		{ "login:", "login;login", 0 },
		{ "", "anything", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(found_after(rows[i].text, rows[i].output), rows[i].after);
}

/* Against strstr(), with words of two letters so that near misses are frequent. */
static void agrees_with_a_search_of_the_whole(void **state)
{
	srand(1);
	for (int round = 0; round < 20000; round++) {
		char text[9] = { 0 }, output[65] = { 0 };
		const char *at;

		for (int i = 0; i < 1 + rand() % 8; i++)
			text[i] = (char)('a' + rand() % 2);
		for (int i = 0; i < 64; i++)
			output[i] = (char)('a' + rand() % 2);
		at = strstr(output, text);
		assert_int_equal(found_after(text, output),
				 at != NULL ? (size_t)(at - output) + strlen(text) : 0);
	}
}

static void time_stays_that_of_the_first(void **state)
{
	struct ready_mark mark;
	uint64_t first;

	ready_mark_init(&mark, "up");
	for (const char *c = "up"; *c != '\0'; c++)
		ready_mark_byte(&mark, (uint8_t)*c);
	first = mark.found_ns;
	assert_int_not_equal(first, 0);
	for (const char *c = "up again"; *c != '\0'; c++)
		ready_mark_byte(&mark, (uint8_t)*c);
	assert_int_equal(mark.found_ns, first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_found_where_it_ends),
		cmocka_unit_test(agrees_with_a_search_of_the_whole),
		cmocka_unit_test(time_stays_that_of_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

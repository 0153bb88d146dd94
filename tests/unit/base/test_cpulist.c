// SPDX-License-Identifier: BSD-3-Clause
#include "base/cpulist.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void what_the_kernel_writes_is_read(void **state)
{
	static const struct {
		const char *text;
		int count, first, last;
	} rows[] = { { "0", 1, 0, 0 },
		     { "0-3", 4, 0, 3 },
		     { "2,4-5,1023", 4, 2, 1023 },
		     { "3,1-3", 3, 1, 3 } };
	cpu_set_t set;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(cpu_list_parse(rows[i].text, &set), 0);
		assert_int_equal(CPU_COUNT(&set), rows[i].count);
		assert_true(CPU_ISSET(rows[i].first, &set) && CPU_ISSET(rows[i].last, &set));
	}
	assert_int_equal(cpu_list_parse("", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 0);
}

static void all_else_is_refused(void **state)
{
	static const char *const bad[] = { "a",	     "1-",	    "-1",   "1,",  ",1",
					   "1,,2",   "1 2",	    "1--2", "3-1", "1024",
					   "0-1024", "99999999999", "0x1" };
	cpu_set_t set, before;

	CPU_ZERO(&set);
	CPU_SET(7, &set);
	before = set;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(cpu_list_parse(bad[i], &set) < 0);
		assert_true(CPU_EQUAL(&set, &before));
	}
	assert_int_equal(cpu_list_parse("1024", &set), -ERANGE);
	assert_int_equal(cpu_list_parse("5-4", &set), -ERANGE);
}

static void written_as_the_kernel_does(void **state)
{
	static const char *const texts[] = { "", "0", "0-1", "0,2-5,7", "1020-1023" };
	char buf[64], small[16];
	cpu_set_t set;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(cpu_list_parse(texts[i], &set), 0);
		assert_string_equal(cpu_list_text(&set, buf, sizeof(buf)), texts[i]);
	}
	assert_int_equal(cpu_list_parse("100,200,300,400,500", &set), 0);
	assert_string_equal(cpu_list_text(&set, small, sizeof(small)), "100,200,300...");
}

static void removal(void **state)
{
	cpu_set_t set, what;
	char buf[64];

	assert_int_equal(cpu_list_parse("0-7", &set), 0);
	assert_int_equal(cpu_list_parse("2-3,9", &what), 0);
	cpu_set_remove(&set, &what);
	assert_string_equal(cpu_list_text(&set, buf, sizeof(buf)), "0-1,4-7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_kernel_writes_is_read),
		cmocka_unit_test(all_else_is_refused),
		cmocka_unit_test(written_as_the_kernel_does),
		cmocka_unit_test(removal),
	};

	return cmocka_run_group_tests_name("base-cpulist", tests, NULL, NULL);
}

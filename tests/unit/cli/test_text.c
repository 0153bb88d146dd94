// SPDX-License-Identifier: BSD-3-Clause
#include "cli/text.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_clean(const char *in, const char *want)
{
	char buf[64];

	text_clean(buf, sizeof(buf), in);
	assert_string_equal(buf, want);
}

static void test_clean_keeps_text(void **state)
{
	check_clean("", "");
	check_clean("fw1 wan", "fw1 wan");
	check_clean("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void test_clean_takes_control_characters(void **state)
{
	check_clean("a\x1b[31mb\n\tc\x7f", "a?[31mb??c?");
	check_clean("\xc2\x9b", "?"); /* CSI as one character */
	check_clean("\xe2\x80\xae", "?"); /* right-to-left override */
	check_clean("\xe2\x81\xa6", "?"); /* isolate */
	check_clean("\xf3\xa0\x81\x81", "?"); /* tag */
}

static void test_clean_takes_broken_utf8(void **state)
{
	check_clean("\xff\xfe", "??");
	check_clean("\xc3", "?");
	check_clean("\xc0\xaf", "??"); /* overlong */
	check_clean("\xe0\x80\xaf", "???"); /* overlong */
	check_clean("\xed\xa0\x80", "???"); /* surrogate */
	check_clean("\xf4\x90\x80\x80", "????"); /* beyond the last character */
	check_clean("\xe2\x82z", "??z");
}

static void test_clean_cuts_at_a_character(void **state)
{
	char buf[4];

	text_clean(buf, sizeof(buf), "ab\xc3\xbc");
	assert_string_equal(buf, "ab");
	text_clean(buf, sizeof(buf), "a\xc3\xbcz");
	assert_string_equal(buf, "a\xc3\xbc");
}

static void check(text_fn *format, const char *json, const char *want)
{
	auto_json json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
	char buf[TEXT_CELL];

	assert_non_null(v);
	format(v, buf, sizeof(buf));
	assert_string_equal(buf, want);
}

static void test_values(void **state)
{
	char buf[TEXT_CELL];

	text_value(NULL, buf, sizeof(buf));
	assert_string_equal(buf, "-");
	check(text_value, "null", "-");
	check(text_value, "\"\"", "-");
	check(text_value, "[]", "-");
	check(text_value, "{}", "-");
	check(text_value, "true", "yes");
	check(text_value, "[1, \"a\", false, [2]]", "1, a, no, -");
	check(text_value, "{\"a_b\": true, \"c\": 5, \"d\": false, \"e\": null}", "a b, c 5");
	check(text_value, "{\"cap\": {\"x_y\": true, \"z\": true}, \"on\": {}}",
	      "cap x y + z, on none");
	check(text_number, "-1", "-");
	check(text_number, "0", "0");
	check(text_hex, "[1, 1363]", "0x1, 0x553");
}

static void test_units(void **state)
{
	check(text_bytes, "0", "0 B");
	check(text_bytes, "536870912", "512 MiB");
	check(text_bytes, "1536", "1536 B");
	check(text_bytes, "-1", "-1");
	check(text_bytes, "\"needs root\"", "needs root");
	check(text_bytes, "9223372036854775807", "9223372036854775807 B");
	check(text_seconds, "3.217", "3.22 s");
	check(text_seconds, "59", "59 s");
	check(text_seconds, "61", "1 min 1 s");
	check(text_seconds, "93784", "1 d 2 h");
	check(text_seconds, "-4", "-");
	check(text_seconds, "1e300", "-");
	check(text_time, "1e300", "1e+300");
	check(text_time, "-1", "-1");
	check(text_capability, "null", "no");
	check(text_capability, "true", "yes");
	check(text_capability, "{\"enabled\": false}", "yes");
	check(text_capability, "{\"enabled\": true, \"width_bits\": 20}",
	      "yes: enabled, width bits 20");
}

static void test_long_values_are_cut(void **state)
{
	char json[8192] = "[", buf[TEXT_CELL];

	for (int i = 0; i < 500; i++)
		strcat(json, "\"\xc3\xbc\xc3\xbc\",");
	strcat(json, "1]");
	{
		auto_json json_t *v = json_loads(json, 0, NULL);

		text_value(v, buf, sizeof(buf));
		assert_true(strlen(buf) < sizeof(buf));
		text_value(v, buf, 16);
		assert_true(strlen(buf) < 16);
	}
}

static void test_members(void **state)
{
	auto_json json_t *v =
		json_loads("{\"a\": {\"b\": 5}, \"c\": \"needs root\", \"d\": \"x\"}", 0, NULL);

	assert_int_equal(json_integer_value(text_member(v, "a.b")), 5);
	assert_null(text_member(v, "a.x"));
	assert_null(text_member(v, "a.b.c"));
	assert_null(text_member(v, "d.e"));
	assert_null(text_member(NULL, "a"));
	assert_ptr_equal(text_member(v, ""), v);
	/* What takes root stands for everything below it. */
	assert_string_equal(json_string_value(text_member(v, "c.deep.er")), "needs root");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_keeps_text),
		cmocka_unit_test(test_clean_takes_control_characters),
		cmocka_unit_test(test_clean_takes_broken_utf8),
		cmocka_unit_test(test_clean_cuts_at_a_character),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_long_values_are_cut),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}

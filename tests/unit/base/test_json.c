// SPDX-License-Identifier: BSD-3-Clause
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>

static void typed_members(void **state)
{
	auto_json json_t *o =
		json_loads("{\"n\":7,\"neg\":-1,\"s\":\"x\",\"c\":\"a\\nb\",\"t\":true,"
			   "\"o\":{},\"l\":[1,2]}",
			   0, NULL);
	uint64_t n = 1;
	char buf[4] = "";
	bool flag = false;
	json_t *sub = NULL;
	struct err e;

	assert_int_equal(json_get_u64(o, "n", 7, &n, &e), 0);
	assert_int_equal(n, 7);
	assert_int_equal(json_get_u64(o, "n", 6, &n, &e), -ERANGE);
	assert_int_equal(json_get_u64(o, "neg", 6, &n, &e), -EINVAL);
	assert_int_equal(json_get_u64(o, "s", 6, &n, &e), -EINVAL);
	assert_int_equal(json_get_u64(o, "gone", 6, &n, &e), -ENOENT);
	assert_string_equal(e.text, "gone is missing");
	assert_int_equal(json_get_u64_opt(o, "gone", 6, &n, &e), 0);
	assert_int_equal(n, 7);
	assert_int_equal(json_get_bool_opt(o, "t", &flag, &e), 0);
	assert_true(flag);
	assert_int_equal(json_get_bool_opt(o, "n", &flag, &e), -EINVAL);
	assert_int_equal(json_get_str(o, "s", buf, sizeof(buf), &e), 0);
	assert_string_equal(buf, "x");
	assert_int_equal(json_get_str(o, "s", buf, 1, &e), -EINVAL);
	assert_int_equal(json_get_str(o, "c", buf, sizeof(buf), &e), -EINVAL);
	assert_int_equal(json_get_obj(o, "o", &sub, &e), 0);
	assert_int_equal(json_get_obj(o, "l", &sub, &e), -EINVAL);
	assert_int_equal(json_get_array(o, "l", 2, &sub, &e), 0);
	assert_int_equal(json_get_array(o, "l", 1, &sub, &e), -ERANGE);
}

static void unknown_members_are_named(void **state)
{
	static const char *const known[] = { "a", NULL };
	auto_json json_t *o = json_loads("{\"a\":1,\"bad\":2}", 0, NULL);
	auto_json json_t *list = json_array();
	struct err e;

	assert_int_equal(json_check_keys(o, known, &e), -EINVAL);
	assert_string_equal(e.text, "unknown member 'bad'");
	assert_int_equal(json_check_keys(list, known, &e), -EINVAL);
}

static void errors_survive_the_wire(void **state)
{
	struct err e, back;
	auto_json json_t *o = NULL;
	auto_json json_t *nothing = json_object();

	err_set(&e, EBUSY, "VF x: in use");
	err_code(&e, "vf-in-use");
	err_hint(&e, "viaduct vm list");
	o = json_from_err(&e);
	assert_int_equal(json_to_err(o, &back), -EBUSY);
	assert_string_equal(back.text, e.text);
	assert_string_equal(back.code, e.code);
	assert_string_equal(back.hint, e.hint);
	assert_true(json_to_err(nothing, &back) < 0);
	assert_true(json_to_err(NULL, &back) < 0);
}

/* A text that was cut within a character, or that holds a file's name in another encoding. */
static void errors_in_no_encoding_survive_too(void **state)
{
	struct err e, back;
	auto_json json_t *o = NULL;

	err_set(&e, EINVAL, "name: '%.2s", "a\xc3\xa4");
	err_hint(&e, "ls \xff");
	o = json_from_err(&e);
	assert_non_null(o);
	assert_int_equal(json_to_err(o, &back), -EINVAL);
	assert_string_equal(back.text, "name: 'a?");
	assert_string_equal(back.hint, "ls ?");
}

static void texts_are_added_to_a_list(void **state)
{
	json_t *list = json_array();
	char big[600];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	json_add_text(list, "%s has %d", "pf0", 7);
	json_add_text(list, "%s", big);
	json_add_text(NULL, "nobody listens");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_array_get(list, 0)), "pf0 has 7");
	assert_int_equal(json_string_length(json_array_get(list, 1)), 511);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_added_to_a_list),
		cmocka_unit_test(typed_members),
		cmocka_unit_test(unknown_members_are_named),
		cmocka_unit_test(errors_survive_the_wire),
		cmocka_unit_test(errors_in_no_encoding_survive_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

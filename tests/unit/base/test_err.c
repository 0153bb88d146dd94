// SPDX-License-Identifier: BSD-3-Clause
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>

static void text_grows_outwards(void **state)
{
	struct err e;

	assert_int_equal(err_set(&e, ENOENT, "open %s: no", "x"), -ENOENT);
	assert_int_equal(err_wrap(&e, "PF %d", 3), -ENOENT);
	assert_string_equal(e.text, "PF 3: open x: no");
	assert_int_equal(err_hint(&e, "type %s", "this"), -ENOENT);
	assert_string_equal(e.hint, "type this");
	assert_int_equal(err_code(&e, "no-such-pf"), -ENOENT);
	assert_string_equal(e.code, "no-such-pf");
}

static void either_sign_and_zero(void **state)
{
	struct err e;

	assert_int_equal(err_set(&e, -EBUSY, "x"), -EBUSY);
	assert_int_equal(e.errnum, EBUSY);
	/* An error without a number must still be one. */
	assert_int_equal(err_set(&e, 0, "x"), -EIO);
	assert_int_equal(err_set(NULL, EPERM, "x"), -EPERM);
	assert_int_equal(err_wrap(NULL, "x"), -EPERM);
	assert_int_equal(err_hint(NULL, "x"), -EPERM);
	assert_int_equal(err_code(NULL, "x"), -EPERM);
}

static void long_texts_are_cut(void **state)
{
	char big[2000];
	struct err e;

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, EIO, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, "clause");
	assert_memory_equal(e.text, "clause: aaa", 11);
	assert_true(strlen(e.text) < sizeof(e.text));
}

static void new_error_drops_the_old(void **state)
{
	struct err e;

	err_set(&e, EIO, "one");
	err_hint(&e, "hint");
	err_set(&e, EPERM, "two");
	assert_string_equal(e.hint, "");
	assert_string_equal(e.code, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_grows_outwards),
		cmocka_unit_test(either_sign_and_zero),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(new_error_drops_the_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "cli/command.h"
#include "cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct grammar apply = {
	"viaduct pf apply", "PF --vfs N", "", BIT(OPT_VFS) | BIT(OPT_DRY_RUN), 1, 2,
};

static int parse(char **argv, struct settings *s, struct args *a, struct err *e)
{
	return options_parse(argv, &apply, s, a, e);
}

#define PARSE(s, a, e, ...) parse((char *[]){ "viaduct", __VA_ARGS__, NULL }, s, a, e)

static void test_words_and_options_in_any_order(void **state)
{
	struct settings s = { 0 };
	struct args a;
	struct err e;

	assert_int_equal(PARSE(&s, &a, &e, "--vfs", "2", "p0", "--json", "p1", "--dry-run"), 0);
	assert_int_equal(a.count, 2);
	assert_string_equal(a.words[1], "p1");
	assert_string_equal(a.value[OPT_VFS], "2");
	assert_string_equal(a.value[OPT_DRY_RUN], "");
	assert_null(a.value[OPT_NAME]);
	assert_true(s.json);
	assert_int_equal(PARSE(&s, &a, &e, "--", "--vfs"), 0);
	assert_string_equal(a.words[0], "--vfs");
	/* The beginning of an option's name will do, as everywhere. */
	assert_int_equal(PARSE(&s, &a, &e, "p0", "--dry"), 0);
	assert_non_null(a.value[OPT_DRY_RUN]);
}

static void test_refusals(void **state)
{
	struct settings s = { 0 };
	struct args a;
	struct err e;

	assert_int_equal(PARSE(&s, &a, &e, "p0", "--vsf", "2"), -EINVAL);
	assert_string_equal(e.text, "unknown option --vsf");
	assert_string_equal(e.hint, "--vfs");
	assert_int_equal(PARSE(&s, &a, &e, "p0", "--name", "2"), -EINVAL); /* another command's */
	assert_int_equal(PARSE(&s, &a, &e, "p0", "--vfs"), -EINVAL);
	assert_string_equal(e.text, "--vfs lacks its value");
	assert_int_equal(PARSE(&s, &a, &e, "p0", "--json=1"), -EINVAL);
	assert_string_equal(e.text, "--json takes no value");
	assert_int_equal(PARSE(&s, &a, &e, "p0", "-x"), -EINVAL);
	assert_int_equal(PARSE(&s, &a, &e, "a", "b", "c"), -EINVAL);
	assert_int_equal(PARSE(&s, &a, &e, "--vfs=1"), -EINVAL);
	assert_string_equal(e.code, "usage");
}

static void test_numbers(void **state)
{
	struct args a = { .value = { [OPT_VFS] = "7" } };
	uint64_t n = 1;
	struct err e;

	assert_int_equal(arg_number(&a, OPT_VFS, 7, &n, &e), 0);
	assert_int_equal(n, 7);
	assert_int_equal(arg_number(&a, OPT_VFS, 6, &n, &e), -EINVAL);
	a.value[OPT_VFS] = "";
	assert_int_equal(arg_number(&a, OPT_VFS, 6, &n, &e), -EINVAL);
	assert_int_equal(n, 7);
}

static void test_socket_path(void **state)
{
	struct settings s;
	char path[SETTINGS_PATH];
	struct err e;

	setenv("VIADUCT_RUN_DIR", "/tmp/x", 1);
	settings_init(&s);
	assert_true(s.run_dir_given);
	assert_int_equal(settings_socket(&s, path, sizeof(path), &e), 0);
	assert_string_equal(path, "/tmp/x/viaduct.sock");
	strcpy(s.socket, "/s");
	assert_int_equal(settings_socket(&s, path, sizeof(path), &e), 0);
	assert_string_equal(path, "/s");
	assert_int_equal(settings_socket(&s, path, 2, &e), -ENAMETOOLONG);
	unsetenv("VIADUCT_RUN_DIR");
	settings_init(&s);
	assert_false(s.run_dir_given);
	assert_string_equal(s.run_dir, "/run/viaduct");
}

static void test_every_row_can_be_found(void **state)
{
	for (size_t i = 0; i < command_count; i++) {
		char *words[] = { (char *)commands[i].noun, (char *)commands[i].verb };
		const struct command *c = NULL;
		size_t used = 0;

		assert_int_equal(command_find(words, words[1] ? 2 : 1, &c, &used, NULL), 0);
		assert_ptr_equal(c, &commands[i]);
		assert_int_equal(used, words[1] ? 2 : 1);
		assert_true(c->grammar.max_words <= ARGS_MAX);
		assert_non_null(c->run);
	}
	assert_int_equal(command_find(NULL, 0, NULL, NULL, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_and_options_in_any_order),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_socket_path),
		cmocka_unit_test(test_every_row_can_be_found),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}

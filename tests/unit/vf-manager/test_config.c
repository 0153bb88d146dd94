// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct config *out, struct err *e)
{
	return config_parse(text, strlen(text), out, e);
}

static void all_keys_are_read(void **state)
{
	struct config c;
	struct err e = { 0 };

	assert_int_equal(parse("group: ops\n"
			       "networks: [{name: a, uplinks: [eth0, eth1]}]\n"
			       "pfs: [{name: eth0, vfs: 8}, {name: eth1, vfs: 1, drift: repair}]\n"
			       "apply_pfs_at_start: on\n"
			       "uids: {first: 5000, count: 3}\n"
			       "mac_prefix: '06:01:02'\n"
			       "file_roots: [/srv]\n",
			       &c, &e),
			 0);
	assert_string_equal(c.group, "ops");
	assert_string_equal(config_network_find(&c, "a")->uplinks[1], "eth1");
	assert_null(config_network_find(&c, "b"));
	assert_int_equal(c.pfs[0].vfs, 8);
	assert_false(c.pfs[0].repairs_drift);
	assert_true(c.pfs[1].repairs_drift);
	assert_true(c.apply_pfs_at_start);
	assert_int_equal(c.uid_first, 5000);
	assert_int_equal(c.mac_prefix[0], 6);
	assert_string_equal(c.roots[0], "/srv");
}

static void bad_values_are_named(void **state)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		{ "nets: []\n", "'nets'" },
		{ "networks: [{name: A, uplinks: [x]}]\n", "'A'" },
		{ "networks: [{name: a, uplinks: [x]}, {name: a, uplinks: [y]}]\n", "twice" },
		{ "networks: [{name: a, uplinks: []}]\n", "line 1" },
		{ "pfs: [{name: x, vfs: 70000}]\n", "70000" },
		{ "uids: {first: 0, count: 1}\n", "uids" },
		{ "uids: {first: 4294967294, count: 2}\n", "uids" },
		{ "mac_prefix: '01:00:5e'\n", "mac_prefix" },
		{ "mac_prefix: zz\n", "line 1" },
		{ "file_roots: [srv]\n", "'srv'" },
		{ "hugepages: 3\n", "not available yet" },
		{ "apply_pfs_at_start: si\n", "'si'" },
		{ "pfs: [{name: a, vfs: 1, drift: fix}]\n", "'fix'" },
		{ "[]\n", "line" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct config c;
		struct err e = { 0 };

		assert_true(parse(rows[i].text, &c, &e) < 0);
		assert_non_null(strstr(e.text, rows[i].said));
	}
}

static void no_file_means_the_defaults(void **state)
{
	struct config c, d;
	struct err e = { 0 };

	config_default(&d);
	assert_int_equal(config_load("/nonexistent/x", false, &c, &e), 0);
	assert_memory_equal(&c, &d, sizeof(c));
	assert_int_equal(config_load("/nonexistent/x", true, &c, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_are_read),
		cmocka_unit_test(bad_values_are_named),
		cmocka_unit_test(no_file_means_the_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/pfquirk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <stdio.h>

static void add(void *arg, const char *text)
{
	char *all = arg;

	snprintf(all + strlen(all), 2048 - strlen(all), "%s\n", text);
}

static void what_is_known_is_said(void **state)
{
	static const struct {
		const char *driver, *said;
	} cases[] = {
		{ "igb", "igb: cannot set link_state of a VF" },
		{ "igb", "resets all VFs" },
		{ "i40e", "i40e: 1000 ms of rest" },
		{ "i40e", "no min_rate" },
		{ "mlx5_core", "up to 120 s" },
		{ "ixgbe", "before a VF gets its driver" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct pf_quirk *quirk = pf_quirk_find(cases[i].driver);
		char all[2048] = "";

		assert_non_null(quirk);
		assert_true(strlen(quirk->source) > 20);
		pf_quirk_each_note(quirk, add, all);
		if (strstr(all, cases[i].said) == NULL)
			fail_msg("%s: no '%s' in %s", cases[i].driver, cases[i].said, all);
	}
}

static void nothing_is_known_of_others(void **state)
{
	char all[2048] = "";

	assert_null(pf_quirk_find(""));
	assert_null(pf_quirk_find("ig"));
	pf_quirk_each_note(NULL, add, all);
	assert_string_equal(all, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_said),
		cmocka_unit_test(nothing_is_known_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

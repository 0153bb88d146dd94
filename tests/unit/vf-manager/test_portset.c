// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void macs_are_the_same_at_every_start(void **state)
{
	struct config c;
	uint8_t a[6], b[6];

	config_default(&c);
	port_mac(&c, "fw1/wan", 0, a);
	port_mac(&c, "fw1/wan", 0, b);
	assert_memory_equal(a, b, 6);
	assert_memory_equal(a, c.mac_prefix, 3);
	port_mac(&c, "fw1/lan", 0, b);
	assert_memory_not_equal(a, b, 6);
	port_mac(&c, "fw1/wan", 1, b);
	assert_memory_not_equal(a, b, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(macs_are_the_same_at_every_start) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

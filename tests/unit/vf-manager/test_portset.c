// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t prefix[3] = { 0x02, 0x76, 0x64 };
static const uint8_t here[HOST_KEY] = { 1, 2, 3 }, there[HOST_KEY] = { 1, 2, 4 };

static uint32_t mac_of(const uint8_t *key, const char *owner, unsigned int attempt)
{
	const struct mac_seed seed = { .prefix = prefix, .host_key = key, .owner = owner };
	uint8_t mac[6];

	port_mac(&seed, attempt, mac);
	assert_memory_equal(mac, prefix, 3);
	return (uint32_t)(mac[3] << 16 | mac[4] << 8 | mac[5]);
}

static void macs_are_the_same_at_every_start(void **state)
{
	const uint32_t mac = mac_of(here, "fw1/wan", 0);

	assert_int_equal(mac_of(here, "fw1/wan", 0), mac);
	assert_int_not_equal(mac_of(here, "fw1/lan", 0), mac);
	assert_int_not_equal(mac_of(here, "fw1/wan", 1), mac);
	assert_int_not_equal(mac_of(there, "fw1/wan", 0), mac);
}

static int number_cmp(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* As rarely as chance has it: of 2^24, 4096 ports of two hosts meet about twice. */
static void macs_of_hosts_seldom_meet(void **state)
{
	static uint32_t macs[8192];
	unsigned int same = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(macs); i++) {
		char owner[32];

		snprintf(owner, sizeof(owner), "vm%u/wan", i / 2);
		macs[i] = mac_of(i % 2 == 0 ? here : there, owner, 0);
	}
	qsort(macs, ARRAY_SIZE(macs), sizeof(macs[0]), number_cmp);
	for (unsigned int i = 1; i < ARRAY_SIZE(macs); i++)
		same += macs[i] == macs[i - 1];
	assert_true(same < 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(macs_are_the_same_at_every_start),
					    cmocka_unit_test(macs_of_hosts_seldom_meet) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

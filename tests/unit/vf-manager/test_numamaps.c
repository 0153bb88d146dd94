// SPDX-License-Identifier: BSD-3-Clause
/* Lines as Linux 6.1 and 6.12 write them. */
#include "vf-manager/numamaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OTHERS                                                                                          \
	"55d0c2a00000 default file=/usr/bin/viaduct-vmm mapped=60 mapmax=2 N0=60 kernelpagesize_kB=4\n" \
	"7f3bd0000000 default anon=33 dirty=33 active=0 N0=33 kernelpagesize_kB=4\n"                    \
	"7ffd5f3e1000 default stack anon=4 dirty=4 N1=4 kernelpagesize_kB=4\n"

static void shares_are(const char *text, const char *expected)
{
	struct numa_shares s;
	char shown[160];

	assert_int_equal(numa_maps_parse(text, "guest-ram", &s), expected[0] != '\0');
	assert_string_equal(numa_shares_text(&s, shown, sizeof(shown)), expected);
}

static void small_pages_are_counted_by_node(void **state)
{
	shares_are(OTHERS
		   "7f3c00000000 prefer (many):1 file=/memfd:guest-ram\\040(deleted) dirty=16384 "
		   "mapmax=2 active=0 N0=4096 N1=12288 kernelpagesize_kB=4\n",
		   "node 0: 16 MiB (25.0%), node 1: 48 MiB (75.0%)");
	/* Cut at any mapping, as mbind leaves it; a node comes twice. */
	shares_are(
		"7f3c00000000 bind:1 file=/memfd:guest-ram\\040(deleted) dirty=512 N1=512 "
		"kernelpagesize_kB=4\n" OTHERS
		"7f3c00200000 default file=/memfd:guest-ram\\040(deleted) dirty=512 N1=256 N0=256 "
		"kernelpagesize_kB=4",
		"node 0: 1 MiB (25.0%), node 1: 3 MiB (75.0%)");
}

static void hugepages_count_by_their_size(void **state)
{
	shares_are("7f3c00000000 bind:1 file=/memfd:guest-ram\\040(deleted) huge dirty=32 N1=32 "
		   "kernelpagesize_kB=2048\n" OTHERS,
		   "node 1: 64 MiB (100.0%)");
	shares_are("7f3c00000000 bind:0 file=/memfd:guest-ram\\040(deleted) huge dirty=4 N0=3 N1=1 "
		   "kernelpagesize_kB=1048576\n",
		   "node 0: 3072 MiB (75.0%), node 1: 1024 MiB (25.0%)");
}

static void what_is_not_guest_ram_does_not_count(void **state)
{
	shares_are("", "");
	shares_are(OTHERS, "");
	shares_are("7f3c00000000 default file=/memfd:guest-ram2\\040(deleted) N0=1 "
		   "kernelpagesize_kB=4\n"
		   "7f3c00000000 default file=/srv/memfd:guest-ram N0=1 kernelpagesize_kB=4\n"
		   "7f3c00000000 default file=/memfd:guest-ra N0=1 kernelpagesize_kB=4\n"
		   /* Nothing of it is there yet. */
		   "7f3c00000000 bind:0 file=/memfd:guest-ram\\040(deleted)\n",
		   "");
}

static void lies_are_bounded(void **state)
{
	shares_are("7f default file=/memfd:guest-ram N1=18446744073709551615 N9999=3 N=1 N2= N-1=1 "
		   "N0=256 kernelpagesize_kB=4\n",
		   "node 0: 1 MiB (100.0%)");
	shares_are("7f default file=/memfd:guest-ram N0=18014398509481983 "
		   "kernelpagesize_kB=16777216\n",
		   "");
	/* No size is 4 KiB, as is one that cannot be. */
	shares_are("7f default file=/memfd:guest-ram N0=256\n", "node 0: 1 MiB (100.0%)");
	shares_are(
		"7f default file=/memfd:guest-ram N0=256 kernelpagesize_kB=99999999999999999999\n",
		"node 0: 1 MiB (100.0%)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_pages_are_counted_by_node),
		cmocka_unit_test(hugepages_count_by_their_size),
		cmocka_unit_test(what_is_not_guest_ram_does_not_count),
		cmocka_unit_test(lies_are_bounded),
	};

	return cmocka_run_group_tests_name("vf-manager-numamaps", tests, NULL, NULL);
}

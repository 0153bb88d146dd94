// SPDX-License-Identifier: BSD-3-Clause
#include "base/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>

static void numbers(void **state)
{
	uint64_t v = 42;

	assert_int_equal(parse_u64("0", UINT64_MAX, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(parse_u64("18446744073709551615", UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(parse_u64("18446744073709551616", UINT64_MAX, &v), -ERANGE);
	assert_int_equal(parse_u64("0x10", 16, &v), 0);
	assert_int_equal(v, 16);
	assert_int_equal(parse_u64("17", 16, &v), -ERANGE);
	assert_int_equal(v, 16);
}

static void no_number(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x", "1a", "0xg", "1.5" };
	uint64_t v = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_u64(bad[i], UINT64_MAX, &v), -EINVAL);
	assert_int_equal(v, 7);
}

static void sizes(void **state)
{
	uint64_t v = 0;

	assert_int_equal(parse_size("2G", &v), 0);
	assert_true(v == GIB(2));
	assert_int_equal(parse_size("512m", &v), 0);
	assert_true(v == MIB(512));
	assert_int_equal(parse_size("17", &v), 0);
	assert_int_equal(v, 17);
	assert_int_equal(parse_size("16777216T", &v), -ERANGE);
	assert_int_equal(parse_size("999999999999999999999999999G", &v), -ERANGE);
	assert_int_equal(parse_size("G", &v), -EINVAL);
	assert_int_equal(parse_size("", &v), -EINVAL);
	assert_int_equal(parse_size("2GB", &v), -EINVAL);
	assert_int_equal(parse_size("0x2G", &v), -EINVAL);
	assert_int_equal(parse_size("-2G", &v), -EINVAL);
}

static void addresses(void **state)
{
	char buf[PCI_ADDR_TEXT];
	struct pci_addr a, b;

	assert_int_equal(parse_pci_addr("0000:3b:1f.7", &a), 0);
	assert_string_equal(pci_addr_text(&a, buf), "0000:3b:1f.7");
	assert_int_equal(pci_addr_rid(&a), 0x3bff);
	assert_int_equal(parse_pci_addr("3b:1f.7", &b), 0);
	assert_int_equal(pci_addr_cmp(&a, &b), 0);
	assert_int_equal(parse_pci_addr("10000:01:00.0", &a), 0);
	assert_int_equal(a.domain, 0x10000);
	assert_true(pci_addr_cmp(&b, &a) < 0);
	b = pci_addr_from_rid(0, 0x0181);
	assert_string_equal(pci_addr_text(&b, buf), "0000:01:10.1");
}

static void no_address(void **state)
{
	static const char *const bad[] = { "",
					   "0000:3b:20.0",
					   "0000:3b:1f.8",
					   "3b:1f",
					   "000:3b:00.0",
					   "0000:3b:00.0 ",
					   "0000:3b:0.0",
					   "enp1s0",
					   "::.",
					   "0000:3b:00.0:1",
					   "g0:00.0" };
	struct pci_addr a;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_pci_addr(bad[i], &a), -EINVAL);
}

static void macs(void **state)
{
	static const char *const bad[] = { "",
					   "02:00:00:00:00",
					   "02:00:00:00:00:01:",
					   "2:0:0:0:0:1",
					   "02-00-00-00-00-01",
					   "02:00:00:00:00:0g" };
	uint8_t mac[6];
	char buf[MAC_TEXT];

	assert_int_equal(parse_mac("02:AB:cd:00:00:01", mac), 0);
	assert_string_equal(mac_text(mac, buf), "02:ab:cd:00:00:01");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_mac(bad[i], mac), -EINVAL);
}

static void names(void **state)
{
	static const char *const bad[] = { "", "-a", ".", "..", "A", "a/b", "a b", "a\n" };

	assert_int_equal(parse_name("fw1.lan_2-x"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_name(bad[i]), -EINVAL);
	assert_int_equal(
		parse_name("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		-ERANGE);
}

static void names_of_network_devices(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a b", "eth0,x=1", "a\n" };

	assert_int_equal(parse_netdev("enP2p1s0f0_n-0.7"), -ERANGE);
	assert_int_equal(parse_netdev("enP2p1s0f0_n-.7"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_netdev(bad[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),    cmocka_unit_test(no_number),
		cmocka_unit_test(sizes),      cmocka_unit_test(addresses),
		cmocka_unit_test(no_address), cmocka_unit_test(macs),
		cmocka_unit_test(names),      cmocka_unit_test(names_of_network_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

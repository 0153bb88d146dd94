// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"

#include "sriov/pfident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>

#define CARD "8086:10c9:8086:a03c "

static void what_matches(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} cases[] = {
		/* By number, wherever it is. */
		{ CARD "fn=0 serial=0000000000000001 mac=- slot=pci0000:00/1c.0/00.0",
		  CARD "fn=0 serial=0000000000000001 mac=- slot=pci0000:00/1d.0/00.0", true },
		{ CARD "fn=0 serial=0000000000000001 mac=- slot=00.0",
		  CARD "fn=0 serial=0000000000000002 mac=- slot=00.0", false },
		/* Both ports of a card have one number. */
		{ CARD "fn=0 serial=0000000000000001 mac=- slot=00.0",
		  CARD "fn=1 serial=0000000000000001 mac=- slot=00.1", false },
		/* Neither may contradict; one that is not known does not. */
		{ CARD "fn=0 serial=0000000000000001 mac=02:00:00:00:00:01 slot=00.0",
		  CARD "fn=0 serial=0000000000000001 mac=02:00:00:00:00:02 slot=00.0", false },
		{ CARD "fn=0 serial=0000000000000001 mac=02:00:00:00:00:01 slot=00.0",
		  CARD "fn=0 serial=0000000000000001 mac=- slot=00.0", true },
		{ CARD "fn=0 serial=- mac=02:00:00:00:00:01 slot=00.0",
		  CARD "fn=1 serial=- mac=02:00:00:00:00:01 slot=00.1", true },
		/* A card without either is what is in its slot. */
		{ CARD "fn=0 serial=- mac=- slot=pci0000:00/1c.0/00.0",
		  CARD "fn=0 serial=- mac=- slot=pci0000:00/1c.0/00.0", true },
		{ CARD "fn=0 serial=- mac=- slot=pci0000:00/1c.0/00.0",
		  CARD "fn=0 serial=- mac=- slot=pci0000:00/1d.0/00.0", false },
		/* Another card is in the slot. */
		{ CARD "fn=0 serial=0000000000000001 mac=- slot=00.0",
		  CARD "fn=0 serial=- mac=- slot=00.0", false },
		{ CARD "fn=0 serial=- mac=- slot=00.0",
		  "8086:10c9:8086:a03d fn=0 serial=- mac=- slot=00.0", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pf_ident a, b;
		char text[PF_IDENT_TEXT];

		assert_int_equal(pf_ident_parse(cases[i].a, &a), 0);
		assert_int_equal(pf_ident_parse(cases[i].b, &b), 0);
		assert_string_equal(pf_ident_text(&a, text), cases[i].a);
		if (pf_ident_matches(&a, &b) != cases[i].is_same ||
		    pf_ident_matches(&b, &a) != cases[i].is_same)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
}

static void what_is_no_identity(void **state)
{
	static const char *const texts[] = {
		"",
		CARD "fn=0 serial=- mac=-",
		CARD "fn=0 serial=x mac=- slot=00.0",
		CARD "fn=0 serial=- mac=02:00 slot=00.0",
		CARD "fn=0 serial=- mac=- slot=00.0 more",
		"8086:10c9 fn=0 serial=- mac=- slot=00.0",
	};
	struct pf_ident id;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (pf_ident_parse(texts[i], &id) != -EINVAL)
			fail_msg("'%s' is taken", texts[i]);
}

static void a_function_is_read(void **state)
{
	uint8_t space[4096];
	struct inventory *inv;
	struct pf_ident id;
	struct err e = { 0 };

	tree_make();
	tree_fn("0000:01:00.1", 0x808610c9, 0x020000, -1);
	tree_pf("0000:01:00.1", 4);
	tree_netdev("0000:01:00.1", "pf1", 3);
	tree_config(space, true);
	put_le32(space + 0x180, 0x10 | 1U << 16 | 0x200U << 20);
	put_le32(space + 0x200, 0x03 | 1U << 16);
	put_le32(space + 0x204, 0x55667788);
	put_le32(space + 0x208, 0x11223344);
	tree_bytes("bus/pci/devices/0000:01:00.1/config", space, sizeof(space));
	assert_int_equal(inventory_create(&inv, tree.root, &e), 0);
	pf_ident_read(inventory_sysfs(inv), inventory_at(inv, 0), &id);
	assert_true(id.has_serial && id.serial == 0x1122334455667788);
	assert_string_equal(id.slot, "00.1");
	/* An address that somebody has set is not the card's. */
	assert_false(id.has_mac);
	tree_file("bus/pci/devices/0000:01:00.1/net/pf1/addr_assign_type", "0\n");
	pf_ident_read(inventory_sysfs(inv), inventory_at(inv, 0), &id);
	assert_true(id.has_mac);
	tree_file("bus/pci/devices/0000:01:00.1/net/pf1/addr_assign_type", "3\n");
	pf_ident_read(inventory_sysfs(inv), inventory_at(inv, 0), &id);
	assert_false(id.has_mac);
	inventory_destroy(inv);
	tree_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_matches),
		cmocka_unit_test(what_is_no_identity),
		cmocka_unit_test(a_function_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

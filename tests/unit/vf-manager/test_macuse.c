// SPDX-License-Identifier: BSD-3-Clause
/* Who has a MAC, on a host of two cards whose VFs say the same (one fake kernel answers for both). */
#include "tests/fake/rtnl_peer.h"
#include "tests/fake/sysfs_tree.h"

#include "vf-manager/macuse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
static const struct pci_addr near_pf = { .bus = 1 };
static struct daemon d;
static struct rtnl_peer peer;

static void card_make(const char *pf, const char *dev, unsigned int ifindex)
{
	char path[128];

	tree_fn(pf, 0x808610c9, 0x020000, 1);
	tree_pf(pf, 8);
	tree_vf(pf, 0);
	tree_vf(pf, 1);
	tree_netdev(pf, dev, ifindex);
	snprintf(path, sizeof(path), "bus/pci/devices/%s/sriov_numvfs", pf);
	tree_file(path, "2\n");
}

static int setup(void **state)
{
	const struct pf_row row = { .pf = near_pf, .vfs = 2, .boot_id = BOOT };

	tree_make();
	card_make("0000:01:00.0", "enp1s0", 4);
	card_make("0000:02:00.0", "enp2s0", 5);
	tree_file("bus/pci/devices/0000:02:00.0/net/enp2s0/address", "52:54:00:20:00:00\n");
	rtnl_peer_start(&peer, 2);
	memset(&d, 0, sizeof(d));
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	d.nl = peer.nl;
	d.config.network_count = 1;
	d.config.networks[0].uplink_count = 2;
	snprintf(d.config.networks[0].uplinks[0], CONFIG_NAME, "enp1s0");
	snprintf(d.config.networks[0].uplinks[1], CONFIG_NAME, "0000:02:00.0");
	assert_int_equal(inventory_create(&d.inv, tree.root, NULL), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, NULL), 0);
	assert_int_equal(ledger_pf_put(d.ledger, &row, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	rtnl_peer_stop(&peer);
	tree_remove();
	return 0;
}

/* "" if VF `index` of the first card may have it. */
static const char *asked(unsigned int index, const uint8_t *address, uint16_t vlan,
			 const char *owner)
{
	static struct err e;
	const struct mac_wish wish = { .vf = inventory_find(d.inv, &near_pf)->vfs[index],
				       .mac = address,
				       .vlan = vlan,
				       .owner = owner };
	int r;

	e = (struct err){ 0 };
	r = mac_use_check(&d, &wish, &e);
	assert_true(r == 0 ? e.text[0] == '\0' : r == -EEXIST && strcmp(e.code, "mac-in-use") == 0);
	return e.text;
}

static void give(unsigned int index, uint16_t vlan)
{
	memcpy(peer.vfs[index].mac, mac, 6);
	peer.vfs[index].vlan = vlan;
}

static void one_card_is_one_wire(void **state)
{
	struct vf_row row = { .pf = near_pf,
			      .addr = { .bus = 1, .dev = 0x10 },
			      .state = VF_ASSIGNED,
			      .owner = "fw1/wan",
			      .boot_id = BOOT };

	d.config.network_count = 0;
	assert_string_equal(asked(1, mac, 0, NULL), "");
	give(0, 5);
	assert_string_equal(asked(0, mac, 0, NULL), "");
	assert_string_equal(asked(1, mac, 0, NULL), "mac: VF 0 of PF enp1s0 has 02:00:00:00:00:07");
	assert_int_equal(ledger_vf_force(d.ledger, &row, NULL), 0);
	assert_string_equal(asked(1, mac, 5, "fw2/wan"),
			    "mac: VF 0 of PF enp1s0 (fw1/wan) has 02:00:00:00:00:07");
	/* Its own, on the VF that it has now. */
	assert_string_equal(asked(1, mac, 5, "fw1/wan"), "");
	assert_string_equal(asked(1, inventory_find(d.inv, &near_pf)->net.mac, 9, NULL),
			    "mac: the PF enp1s0 itself has 52:54:00:10:00:00");
}

static void uplinks_of_a_network_are_one_wire_in_each_vlan(void **state)
{
	static const uint8_t far_pf[6] = { 0x52, 0x54, 0, 0x20 };

	give(0, 5);
	assert_string_equal(asked(0, mac, 5, NULL), "mac: VF 0 of PF enp2s0 has 02:00:00:00:00:07");
	assert_string_equal(asked(0, mac, 6, NULL), "");
	assert_string_equal(asked(0, far_pf, 0, NULL),
			    "mac: the PF enp2s0 itself has 52:54:00:20:00:00");
	assert_string_equal(asked(0, far_pf, 6, NULL), "");
	d.config.networks[0].uplink_count = 1;
	assert_string_equal(asked(0, mac, 5, NULL), "");
	assert_string_equal(asked(0, far_pf, 0, NULL), "");
}

static void a_lease_that_waits_keeps_its_mac(void **state)
{
	struct parked_row row = { .lease = "mine",
				  .pf = { .bus = 2 },
				  .attrs = { .mask = BIT(VF_ATTR_MAC) } };

	memcpy(row.attrs.mac, mac, 6);
	assert_int_equal(ledger_parked_put(d.ledger, &row, NULL), 0);
	assert_string_equal(asked(0, mac, 0, NULL),
			    "mac: the lease mine, which waits for its VF, has 02:00:00:00:00:07");
	assert_string_equal(asked(0, mac, 3, NULL), "");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(one_card_is_one_wire),
		CASE(uplinks_of_a_network_are_one_wire_in_each_vlan),
		CASE(a_lease_that_waits_keeps_its_mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

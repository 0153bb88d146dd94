// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/rtnl_peer.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/pflink.h"
#include "sriov/vfattr.h"

#include <errno.h>

static struct rtnl_peer peer;
static struct err err;
static struct pci_fn pf, vf;

static void start(unsigned vfs)
{
	rtnl_peer_start(&peer, vfs);
	pf = (struct pci_fn){ .name = "0000:01:00.0",
			      .kind = FN_NETWORK,
			      .is_pf = true,
			      .driver = "igb",
			      .dev_name = "pf0",
			      .ifindex = 2,
			      .num_vfs = (uint16_t)vfs };
	vf = (struct pci_fn){ .name = "0000:01:10.2", .is_vf = true, .pf = &pf, .vf_index = 1 };
}

static int setup(void **state)
{
	start(2);
	return 0;
}

static int teardown(void **state)
{
	rtnl_peer_stop(&peer);
	return 0;
}

static const struct vf_attrs wanted = {
	.mask = VF_ATTRS_ALL,
	.trust = true,
	.mac = { 2, 0, 0, 0, 0, 0xaa },
	.vlan = 100,
	.qos = 3,
	.vlan_proto = VF_VLAN_8021AD,
	.min_mbps = 10,
	.max_mbps = 100,
	.link_state = VF_LINK_DOWN,
};

static void all_set_and_read_back(void **state)
{
	struct vf_attrs a = wanted;

	assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), 0);
	assert_int_equal(peer.sets, VF_ATTR_COUNT);
	assert_memory_equal(&peer.vfs[1], &wanted, sizeof(wanted));
	assert_memory_equal(&a, &wanted, sizeof(wanted));
	assert_memory_equal(&peer.vfs[0], &vf_attrs_default, sizeof(a));
}

static void only_what_is_asked_for(void **state)
{
	struct vf_attrs a = wanted;

	a.mask = BIT(VF_ATTR_MAC);
	assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), 0);
	assert_int_equal(peer.sets, 1);
	assert_int_equal(a.mac[5], 0xaa);
	assert_int_equal(a.vlan, 0); /* as read back */
}

static void driver_that_cannot_says_so_and_nothing_stays(void **state)
{
	struct vf_attrs a = wanted;

	peer.unsupported = BIT(VF_ATTR_LINK_STATE);
	assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), -EOPNOTSUPP);
	assert_string_equal(err.code, "attr-unsupported");
	assert_contains(err.text, "driver igb of PF pf0 cannot set link_state");
	assert_memory_equal(&peer.vfs[1], &vf_attrs_default, sizeof(a));
}

static void refusal_tells_the_kernels_words(void **state)
{
	struct vf_attrs a = wanted;

	peer.refused = BIT(VF_ATTR_RATE);
	peer.text = "rate\tabove\nlink speed\x1b[31m";
	assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), -EINVAL);
	assert_string_equal(err.code, "attr-refused");
	assert_contains(err.text, "rateabovelink speed[31m");
	assert_contains(err.hint, "link is up");
	assert_memory_equal(&peer.vfs[1], &vf_attrs_default, sizeof(a));
}

static void accepted_but_not_kept(void **state)
{
	struct vf_attrs a = wanted;

	peer.ignored = BIT(VF_ATTR_MAC);
	assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), -EPROTO);
	assert_string_equal(err.code, "attr-not-kept");
	assert_contains(err.text, "accepted mac of VF 1, but it reads back different");
	assert_memory_equal(&peer.vfs[1], &vf_attrs_default, sizeof(a));
	peer.ignored = 0;
	peer.vfs[1].mask &= ~BIT(VF_ATTR_TRUST);
	a.mask = BIT(VF_ATTR_TRUST);
	assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), -EPROTO);
	assert_contains(err.text, "cannot be read back");
}

static void bad_values_are_refused_before_anything(void **state)
{
	static const struct {
		struct vf_attrs a;
		const char *text;
	} bad[] = {
		{ { .mask = BIT(VF_ATTR_MAC), .mac = { 1 } }, "multicast" },
		{ { .mask = BIT(VF_ATTR_VLAN), .vlan = 4095, .vlan_proto = 0x8100 }, "4094" },
		{ { .mask = BIT(VF_ATTR_VLAN), .vlan = 1, .qos = 8, .vlan_proto = 0x8100 },
		  "qos 8" },
		{ { .mask = BIT(VF_ATTR_VLAN), .vlan = 1, .vlan_proto = 0x1234 }, "1234" },
		{ { .mask = BIT(VF_ATTR_VLAN), .qos = 1, .vlan_proto = 0x8100 }, "need a vlan" },
		{ { .mask = BIT(VF_ATTR_VLAN), .vlan_proto = 0x88a8 }, "need a vlan" },
		{ { .mask = BIT(VF_ATTR_RATE), .min_mbps = 2, .max_mbps = 1 }, "above" },
		{ { .mask = BIT(VF_ATTR_LINK_STATE), .link_state = 3 }, "link state" },
		{ { .mask = BIT(VF_ATTR_COUNT) }, "no such attribute" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vf_attrs a = bad[i].a;

		assert_int_equal(vf_attrs_set(peer.nl, &vf, &a, &err), -EINVAL);
		assert_string_equal(err.code, "bad-attribute");
		assert_contains(err.text, bad[i].text);
	}
	assert_int_equal(peer.sets, 0);
}

static void reset_to_defaults(void **state)
{
	struct vf_attrs out;

	peer.vfs[1] = wanted;
	assert_int_equal(vf_attrs_reset(peer.nl, &vf, &out, &err), 0);
	assert_memory_equal(&peer.vfs[1], &vf_attrs_default, sizeof(out));
	assert_memory_equal(&out, &vf_attrs_default, sizeof(out));
	peer.sets = 0;
	assert_int_equal(vf_attrs_reset(peer.nl, &vf, NULL, &err), 0);
	assert_int_equal(peer.sets, 0);
}

static void reset_passes_over_what_the_driver_cannot(void **state)
{
	peer.vfs[1].spoofchk = false;
	peer.vfs[1].trust = true;
	peer.unsupported = BIT(VF_ATTR_SPOOFCHK);
	assert_int_equal(vf_attrs_reset(peer.nl, &vf, NULL, &err), 0);
	assert_false(peer.vfs[1].trust);
}

static void reset_that_does_not_take_is_an_error(void **state)
{
	peer.vfs[1].trust = true;
	peer.ignored = BIT(VF_ATTR_TRUST);
	assert_int_equal(vf_attrs_reset(peer.nl, &vf, NULL, &err), -EPROTO);
	peer.ignored = 0;
	peer.refused = BIT(VF_ATTR_TRUST);
	assert_int_equal(vf_attrs_reset(peer.nl, &vf, NULL, &err), -EINVAL);
}

static void all_of_256(void **state)
{
	static struct vf_attrs all[256];

	teardown(state);
	start(256);
	for (unsigned i = 0; i < 256; i++)
		peer.vfs[i].mac[5] = (uint8_t)i;
	assert_int_equal(vf_attrs_get_all(peer.nl, &pf, all, 256, &err), 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(all[i].mac[5], i);
	assert_true(peer.nl->cap_bytes > 50000);
}

static void missing_ones_are_told(void **state)
{
	struct vf_attrs all[3];

	peer.shown = 1;
	assert_int_equal(vf_attrs_get_all(peer.nl, &pf, all, 2, &err), -EOVERFLOW);
	assert_string_equal(err.code, "netlink-overflow");
	assert_contains(err.text, "1 of the 2 VFs");
	assert_int_equal(vf_attrs_get(peer.nl, &vf, all, &err), -EOVERFLOW);
	vf.vf_index = 0; /* this one is there */
	assert_int_equal(vf_attrs_get(peer.nl, &vf, all, &err), 0);
	peer.shown = 0;
	assert_int_equal(vf_attrs_get_all(peer.nl, &pf, all, 2, &err), -EOPNOTSUPP);
	peer.shown = 2;
	assert_int_equal(vf_attrs_get_all(peer.nl, &pf, all, 3, &err), -ESTALE);
	peer.get_errno = EMSGSIZE;
	assert_int_equal(vf_attrs_get_all(peer.nl, &pf, all, 2, &err), -EOVERFLOW);
	assert_string_equal(err.code, "netlink-overflow");
	pf.ifindex = 0;
	assert_int_equal(vf_attrs_get_all(peer.nl, &pf, all, 2, &err), -ENODEV);
	assert_string_equal(err.code, "no-netdev");
}

static void pf_goes_up(void **state)
{
	assert_int_equal(pf_link_up(peer.nl, &pf, &err), 0);
	assert_true(peer.up);
	peer.up = false;
	peer.link_sticks = true;
	assert_int_equal(pf_link_up(peer.nl, &pf, &err), -EIO);
	assert_contains(err.text, "PF pf0: ");
	pf.ifindex = 0;
	pf.driver[0] = '\0';
	assert_int_equal(pf_link_up(peer.nl, &pf, &err), -ENODEV);
	assert_contains(err.text, "no driver");
	pf.kind = FN_NVME;
	assert_int_equal(pf_link_up(peer.nl, &pf, &err), 0);
}

static void words(void **state)
{
	enum vf_link_state link = VF_LINK_AUTO;
	uint16_t proto = 0;

	assert_int_equal(vf_link_state_parse("down", &link), 0);
	assert_int_equal(link, VF_LINK_DOWN);
	assert_string_equal(vf_link_state_text(VF_LINK_UP), "up");
	assert_int_equal(vf_link_state_parse("Down", &link), -EINVAL);
	assert_int_equal(vf_vlan_proto_parse("802.1AD", &proto), 0);
	assert_int_equal(proto, VF_VLAN_8021AD);
	assert_string_equal(vf_vlan_proto_text(VF_VLAN_8021Q), "802.1Q");
	assert_int_equal(vf_vlan_proto_parse("", &proto), -EINVAL);
	assert_string_equal(vf_attr_name(VF_ATTR_SPOOFCHK), "spoofchk");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(all_set_and_read_back),
		CASE(only_what_is_asked_for),
		CASE(driver_that_cannot_says_so_and_nothing_stays),
		CASE(refusal_tells_the_kernels_words),
		CASE(accepted_but_not_kept),
		CASE(bad_values_are_refused_before_anything),
		CASE(reset_to_defaults),
		CASE(reset_passes_over_what_the_driver_cannot),
		CASE(reset_that_does_not_take_is_an_error),
		CASE(all_of_256),
		CASE(missing_ones_are_told),
		CASE(pf_goes_up),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

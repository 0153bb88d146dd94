// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/rtnl_peer.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/vfattr.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static struct rtnl_peer peer;
static struct vf_attrs vfs[PEER_VFS];
static uint32_t buf[PEER_MSG_MAX / 4];

static size_t message(unsigned count)
{
	memset(&peer, 0, sizeof(peer));
	peer.vf_count = peer.shown = count;
	for (unsigned i = 0; i < PEER_VFS; i++) {
		peer.vfs[i] = vf_attrs_default;
		peer.vfs[i].vlan = (uint16_t)(i + 1);
	}
	return rtnl_peer_link(&peer, buf, 1);
}

static void of_256_all_are_described(void **state)
{
	struct vf_attrs_list list = { .vfs = vfs, .count = 256 };
	size_t len = message(256);

	assert_true(len < 65536); /* without counters they fit one attribute */
	assert_int_equal(vf_attrs_parse(buf, len, &list), 0);
	assert_int_equal(list.described, 256);
	assert_int_equal(list.num_vfs, 256);
	for (unsigned i = 0; i < 256; i++) {
		assert_int_equal(vfs[i].mask, VF_ATTRS_ALL);
		assert_int_equal(vfs[i].vlan, i + 1);
	}
}

static void array_bounds_hold(void **state)
{
	struct vf_attrs_list list = { .vfs = vfs, .count = 3 };
	size_t len = message(256);

	memset(vfs, 0xee, sizeof(vfs));
	assert_int_equal(vf_attrs_parse(buf, len, &list), 0);
	assert_int_equal(list.described, 3);
	assert_int_equal(vfs[3].vlan, 0xeeee);
	list.count = 0;
	assert_int_equal(vf_attrs_parse(buf, len, &list), 0);
	assert_int_equal(list.described, 0);
}

/* What the kernel does with too many VFs: the list's 16-bit length wraps. */
static void wrapped_list_is_noticed(void **state)
{
	struct vf_attrs_list list = { .vfs = vfs, .count = 256 };
	size_t len = message(256);
	uint8_t *at = (uint8_t *)buf + NLMSG_HDRLEN + sizeof(struct ifinfomsg);

	while (((struct nlattr *)at)->nla_type != (IFLA_VFINFO_LIST | NLA_F_NESTED))
		at += NLA_ALIGN(((struct nlattr *)at)->nla_len);
	((struct nlattr *)at)->nla_len = 5000;
	assert_int_equal(vf_attrs_parse(buf, len, &list), 0);
	assert_in_range(list.described, 1, 30);
	assert_int_equal(list.num_vfs, 256);
	((struct nlattr *)at)->nla_len = 3;
	assert_int_equal(vf_attrs_parse(buf, len, &list), 0);
	assert_int_equal(list.described, 0);
}

/* Every prefix of a message, and every prefix that claims to be whole. */
static void cut_anywhere(void **state)
{
	struct vf_attrs_list list = { .vfs = vfs, .count = 2 };
	size_t len = message(2);

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = malloc(cut + 1); /* for the sanitizer: not a byte more */

		memcpy(copy, buf, cut);
		assert_int_equal(vf_attrs_parse(copy, cut, &list), -EBADMSG);
		if (cut >= 16) {
			put_le32(copy, (uint32_t)cut);
			(void)vf_attrs_parse(copy, cut, &list);
			assert_true(list.described <= 2);
		}
		free(copy);
	}
}

static void other_messages_are_refused(void **state)
{
	struct vf_attrs_list list = { .vfs = vfs, .count = 2 };
	size_t len = message(2);

	((struct nlmsghdr *)buf)->nlmsg_type = RTM_DELLINK;
	assert_int_equal(vf_attrs_parse(buf, len, &list), -EBADMSG);
}

static void entry_of_two_vfs_describes_none(void **state)
{
	struct vf_attrs_list list = { .vfs = vfs, .count = 2 };
	size_t len = message(1);
	uint8_t *bytes = (uint8_t *)buf;

	/* The index in IFLA_VF_TRUST becomes 1. */
	for (size_t i = NLMSG_HDRLEN; i + 8 <= len; i += 4)
		if (get_le32(bytes + i) == (12 | (uint32_t)IFLA_VF_TRUST << 16))
			put_le32(bytes + i + 4, 1);
	assert_int_equal(vf_attrs_parse(buf, len, &list), 0);
	assert_int_equal(list.described, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_256_all_are_described),
		cmocka_unit_test(array_bounds_hold),
		cmocka_unit_test(wrapped_list_is_noticed),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(other_messages_are_refused),
		cmocka_unit_test(entry_of_two_vfs_describes_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

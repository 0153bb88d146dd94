// SPDX-License-Identifier: BSD-3-Clause
/*
 * From a RTM_NEWLINK message with IFLA_VFINFO_LIST to struct vf_attrs. The list is trusted for
 * nothing: the kernel itself wraps its 16-bit length when a PF has too many VFs, so entries may be
 * cut anywhere; what is not whole is not described.
 */
#include "sriov/nlmsg.h"
#include "sriov/vfattr.h"

#include <libmnl/libmnl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

/* One entry while it is read. */
struct entry {
	struct vf_attrs attrs;
	bool has_index;
	uint32_t index;
};

typedef void take_fn(struct vf_attrs *a, const void *payload);

static void take_mac(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_mac v;

	memcpy(&v, payload, sizeof(v));
	memcpy(a->mac, v.mac, sizeof(a->mac));
	a->mask |= BIT(VF_ATTR_MAC);
}

static void take_vlan(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_vlan v;

	memcpy(&v, payload, sizeof(v));
	if (v.vlan > UINT16_MAX || v.qos > UINT8_MAX)
		return;
	a->vlan = (uint16_t)v.vlan;
	a->qos = (uint8_t)v.qos;
	a->vlan_proto = VF_VLAN_8021Q;
	a->mask |= BIT(VF_ATTR_VLAN);
}

/* Of the list, which says the protocol too. */
static void take_vlan_info(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_vlan_info v;

	memcpy(&v, payload, sizeof(v));
	if (v.vlan > UINT16_MAX || v.qos > UINT8_MAX)
		return;
	a->vlan = (uint16_t)v.vlan;
	a->qos = (uint8_t)v.qos;
	/* Drivers leave the protocol of "no VLAN" at 0 or whatever. */
	a->vlan_proto = v.vlan != 0 ? ntohs(v.vlan_proto) : VF_VLAN_8021Q;
	a->mask |= BIT(VF_ATTR_VLAN);
}

/* UINT32_MAX in a switch: the driver said nothing. */
static void take_spoofchk(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_spoofchk v;

	memcpy(&v, payload, sizeof(v));
	if (v.setting > 1)
		return;
	a->spoofchk = v.setting == 1;
	a->mask |= BIT(VF_ATTR_SPOOFCHK);
}

static void take_trust(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_trust v;

	memcpy(&v, payload, sizeof(v));
	if (v.setting > 1)
		return;
	a->trust = v.setting == 1;
	a->mask |= BIT(VF_ATTR_TRUST);
}

static void take_rate(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_rate v;

	memcpy(&v, payload, sizeof(v));
	a->min_mbps = v.min_tx_rate;
	a->max_mbps = v.max_tx_rate;
	a->mask |= BIT(VF_ATTR_RATE);
}

static void take_link_state(struct vf_attrs *a, const void *payload)
{
	struct ifla_vf_link_state v;

	memcpy(&v, payload, sizeof(v));
	if (v.link_state > VF_LINK_DOWN)
		return;
	a->link_state = (enum vf_link_state)v.link_state;
	a->mask |= BIT(VF_ATTR_LINK_STATE);
}

/* All begin with the VF's index as 32 bits. */
static const struct {
	uint16_t type;
	uint16_t size;
	take_fn *take;
} members[] = {
	{ IFLA_VF_MAC, sizeof(struct ifla_vf_mac), take_mac },
	{ IFLA_VF_VLAN, sizeof(struct ifla_vf_vlan), take_vlan },
	{ IFLA_VF_SPOOFCHK, sizeof(struct ifla_vf_spoofchk), take_spoofchk },
	{ IFLA_VF_TRUST, sizeof(struct ifla_vf_trust), take_trust },
	{ IFLA_VF_RATE, sizeof(struct ifla_vf_rate), take_rate },
	{ IFLA_VF_LINK_STATE, sizeof(struct ifla_vf_link_state), take_link_state },
};

/* -EBADMSG if this entry speaks of two VFs. */
static int take_index(struct entry *entry, const void *payload)
{
	uint32_t index;

	memcpy(&index, payload, sizeof(index));
	if (entry->has_index && entry->index != index)
		return -EBADMSG;
	entry->has_index = true;
	entry->index = index;
	return 0;
}

static int take_vlan_list(struct entry *entry, const struct nlattr *list)
{
	const struct nlattr *attr;
	bool found = false;

	mnl_attr_for_each_nested(attr, list) {
		if (found || mnl_attr_get_type(attr) != IFLA_VF_VLAN_INFO ||
		    mnl_attr_get_payload_len(attr) < sizeof(struct ifla_vf_vlan_info))
			continue;
		if (take_index(entry, mnl_attr_get_payload(attr)) < 0)
			return -EBADMSG;
		take_vlan_info(&entry->attrs, mnl_attr_get_payload(attr));
		found = true; /* Linux knows one VLAN per VF; the list is for a later day */
	}
	return 0;
}

static int take_member(struct entry *entry, const struct nlattr *attr)
{
	uint16_t type = mnl_attr_get_type(attr);

	if (type == IFLA_VF_VLAN_LIST)
		return take_vlan_list(entry, attr);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		if (members[i].type != type)
			continue;
		if (mnl_attr_get_payload_len(attr) < members[i].size)
			return -EBADMSG;
		if (take_index(entry, mnl_attr_get_payload(attr)) < 0)
			return -EBADMSG;
		members[i].take(&entry->attrs, mnl_attr_get_payload(attr));
	}
	return 0;
}

static void take_list(const struct nlattr *attrs, struct vf_attrs_list *list)
{
	const struct nlattr *info, *attr;

	mnl_attr_for_each_nested(info, attrs) {
		struct entry entry = { 0 };
		bool is_whole = mnl_attr_get_type(info) == IFLA_VF_INFO;

		mnl_attr_for_each_nested(attr, info) {
			if (take_member(&entry, attr) < 0)
				is_whole = false;
		}
		if (!is_whole || entry.attrs.mask == 0 || entry.index >= list->count)
			continue;
		if (list->vfs[entry.index].mask == 0)
			list->described++;
		list->vfs[entry.index] = entry.attrs;
	}
}

int vf_attrs_parse(const void *msg, size_t len, struct vf_attrs_list *list)
{
	const struct nlmsghdr *nlh = msg;
	const struct nlattr *attr;
	const void *attrs;
	size_t attrs_len;

	if (!nlmsg_fits(nlh, len) || nlh->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct ifinfomsg))
		return -EBADMSG;
	memset(list->vfs, 0, list->count * sizeof(list->vfs[0]));
	list->described = 0;
	list->num_vfs = 0;
	/* Not mnl_attr_for_each(): it rounds the message's end up. */
	attrs = (const uint8_t *)mnl_nlmsg_get_payload(nlh) + MNL_ALIGN(sizeof(struct ifinfomsg));
	attrs_len = mnl_nlmsg_get_payload_len(nlh) - MNL_ALIGN(sizeof(struct ifinfomsg));
	mnl_attr_for_each_payload(attrs, attrs_len) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == IFLA_NUM_VF && mnl_attr_get_payload_len(attr) >= sizeof(uint32_t))
			list->num_vfs = mnl_attr_get_u32(attr);
		else if (type == IFLA_VFINFO_LIST)
			take_list(attr, list);
	}
	return 0;
}

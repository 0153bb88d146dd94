// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/vfattr.h"

#include "base/fd.h"

#include <libmnl/libmnl.h>

#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <strings.h>

#define REQUEST_SIZE 512

static_assert((int)VF_LINK_AUTO == IFLA_VF_LINK_STATE_AUTO, "as in the kernel");
static_assert((int)VF_LINK_UP == IFLA_VF_LINK_STATE_ENABLE, "as in the kernel");
static_assert((int)VF_LINK_DOWN == IFLA_VF_LINK_STATE_DISABLE, "as in the kernel");

const struct vf_attrs vf_attrs_default = {
	.mask = VF_ATTRS_ALL,
	.spoofchk = true,
	.vlan_proto = VF_VLAN_8021Q,
	.link_state = VF_LINK_AUTO,
};

/* All VFs are described, or why not. */
static int list_check(const struct pci_fn *pf, const struct vf_attrs_list *list, struct err *e)
{
	int r;

	if (list->described == list->count)
		return 0;
	if (list->num_vfs != list->count) {
		r = err_set(e, ESTALE, "PF %s has %u VFs now, not %zu", pf->dev_name, list->num_vfs,
			    list->count);
		err_code(e, "vf-count-changed");
		err_hint(e, "try again; somebody else may be writing sriov_numvfs");
	} else if (list->described == 0) {
		r = err_set(e, EOPNOTSUPP, "driver %s does not tell the attributes of its VFs",
			    pf->driver);
		err_code(e, "attr-unsupported");
	} else {
		r = err_set(e, EOVERFLOW,
			    "the kernel's message describes %zu of the %zu VFs of PF %s",
			    list->described, list->count, pf->dev_name);
		err_code(e, "netlink-overflow");
		err_hint(e, "a newer kernel, or fewer VFs on this PF: viaduct pf apply %s --vfs N",
			 pf->dev_name);
	}
	return r;
}

static int query(struct rtnl *nl, const struct pci_fn *pf, struct vf_attrs_list *list,
		 struct err *e)
{
	uint8_t buf[REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	const struct nlmsghdr *reply;
	struct ifinfomsg *info;
	int r;

	if (pf->ifindex == 0) {
		r = err_set(e, ENODEV, "PF %s has no network device here", pf->name);
		err_code(e, "no-netdev");
		err_hint(
			e,
			"bind the PF to its own driver, and leave it in the host's network namespace");
		return r;
	}
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)pf->ifindex;
	/* Without the counters 256 VFs fit into the 16 bits of an attribute's length. */
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
	r = rtnl_talk(nl, nlh, &reply);
	if (r == 0)
		r = vf_attrs_parse(reply, reply->nlmsg_len, list);
	if (r == -EMSGSIZE) {
		r = err_set(e, EOVERFLOW, "the VFs of PF %s do not fit into the kernel's message",
			    pf->dev_name);
		err_code(e, "netlink-overflow");
		err_hint(e, "fewer VFs on this PF: viaduct pf apply %s --vfs N", pf->dev_name);
	} else if (r < 0) {
		r = err_set(e, r, "read the VFs of PF %s: %s", pf->dev_name, strerror(-r));
	}
	return r;
}

int vf_attrs_get_all(struct rtnl *nl, const struct pci_fn *pf, struct vf_attrs *out, size_t count,
		     struct err *e)
{
	struct vf_attrs_list list = { .vfs = out, .count = count };
	int r = query(nl, pf, &list, e);

	return r < 0 ? r : list_check(pf, &list, e);
}

int vf_attrs_get(struct rtnl *nl, const struct pci_fn *vf, struct vf_attrs *out, struct err *e)
{
	struct vf_attrs_list list = { .count = vf->pf->num_vfs };
	auto_free struct vf_attrs *vfs = calloc(list.count, sizeof(*vfs));
	int r;

	if (vfs == NULL)
		return err_set(e, ENOMEM, "no memory for the VFs of PF %s", vf->pf->name);
	list.vfs = vfs;
	r = query(nl, vf->pf, &list, e);
	if (r < 0)
		return r;
	/* That others are missing is no matter here. */
	if (vfs[vf->vf_index].mask == 0)
		return list_check(vf->pf, &list, e);
	*out = vfs[vf->vf_index];
	return 0;
}

static int mac_check(const struct vf_attrs *want, struct err *e)
{
	char text[MAC_TEXT];

	if ((want->mac[0] & 1) != 0)
		return err_set(e, EINVAL, "mac %s is a multicast address",
			       mac_text(want->mac, text));
	return 0;
}

static int vlan_check(const struct vf_attrs *want, struct err *e)
{
	if (want->vlan > VLAN_ID_MAX)
		return err_set(e, EINVAL, "vlan %u: the largest is %u", want->vlan, VLAN_ID_MAX);
	if (want->qos > VLAN_QOS_MAX)
		return err_set(e, EINVAL, "qos %u: the largest is %u", want->qos, VLAN_QOS_MAX);
	if (want->vlan_proto != VF_VLAN_8021Q && want->vlan_proto != VF_VLAN_8021AD)
		return err_set(e, EINVAL, "proto %04x is neither 802.1Q nor 802.1ad",
			       want->vlan_proto);
	if (want->vlan == 0 && (want->qos != 0 || want->vlan_proto != VF_VLAN_8021Q))
		return err_set(e, EINVAL, "qos and proto need a vlan");
	return 0;
}

static int rate_check(const struct vf_attrs *want, struct err *e)
{
	if (want->max_mbps != 0 && want->min_mbps > want->max_mbps)
		return err_set(e, EINVAL, "min_tx_rate %u is above max_tx_rate %u", want->min_mbps,
			       want->max_mbps);
	return 0;
}

int vf_attrs_check(const struct vf_attrs *want, struct err *e)
{
	int r = 0;

	if ((want->mask & ~VF_ATTRS_ALL) != 0)
		r = err_set(e, EINVAL, "no such attribute");
	if (r == 0 && (want->mask & BIT(VF_ATTR_MAC)) != 0)
		r = mac_check(want, e);
	if (r == 0 && (want->mask & BIT(VF_ATTR_VLAN)) != 0)
		r = vlan_check(want, e);
	if (r == 0 && (want->mask & BIT(VF_ATTR_RATE)) != 0)
		r = rate_check(want, e);
	if (r == 0 && (want->mask & BIT(VF_ATTR_LINK_STATE)) != 0 &&
	    (unsigned)want->link_state > VF_LINK_DOWN)
		r = err_set(e, EINVAL, "no such link state");
	if (r < 0)
		err_code(e, "bad-attribute");
	return r;
}

const char *vf_attr_name(enum vf_attr attr)
{
	static const char *const names[VF_ATTR_COUNT] = {
		[VF_ATTR_TRUST] = "trust", [VF_ATTR_SPOOFCHK] = "spoofchk",
		[VF_ATTR_MAC] = "mac",	   [VF_ATTR_VLAN] = "vlan",
		[VF_ATTR_RATE] = "rate",   [VF_ATTR_LINK_STATE] = "link_state",
	};

	return (unsigned)attr < VF_ATTR_COUNT ? names[attr] : "unknown";
}

static const char *const link_states[] = {
	[VF_LINK_AUTO] = "auto",
	[VF_LINK_UP] = "up",
	[VF_LINK_DOWN] = "down",
};

const char *vf_link_state_text(enum vf_link_state state)
{
	return (unsigned)state < ARRAY_SIZE(link_states) ? link_states[state] : "unknown";
}

char *vf_attr_text(const struct vf_attrs *a, enum vf_attr attr, char buf[VF_ATTR_TEXT])
{
	char text[MAC_TEXT];
	int len = 0;

	buf[0] = '\0';
	switch (attr) {
	case VF_ATTR_TRUST:
		snprintf(buf, VF_ATTR_TEXT, "trust %s", a->trust ? "on" : "off");
		break;
	case VF_ATTR_SPOOFCHK:
		snprintf(buf, VF_ATTR_TEXT, "spoofchk %s", a->spoofchk ? "on" : "off");
		break;
	case VF_ATTR_MAC:
		snprintf(buf, VF_ATTR_TEXT, "mac %s", mac_text(a->mac, text));
		break;
	case VF_ATTR_VLAN:
		len = snprintf(buf, VF_ATTR_TEXT, "vlan %u", a->vlan);
		if (a->qos != 0)
			len += snprintf(buf + len, (size_t)(VF_ATTR_TEXT - len), " qos %u", a->qos);
		if (a->vlan_proto == VF_VLAN_8021AD)
			snprintf(buf + len, (size_t)(VF_ATTR_TEXT - len), " proto 802.1ad");
		break;
	case VF_ATTR_RATE:
		len = snprintf(buf, VF_ATTR_TEXT, "rate %u", a->max_mbps);
		if (a->min_mbps != 0)
			snprintf(buf + len, (size_t)(VF_ATTR_TEXT - len), " min_rate %u",
				 a->min_mbps);
		break;
	case VF_ATTR_LINK_STATE:
		snprintf(buf, VF_ATTR_TEXT, "link %s", vf_link_state_text(a->link_state));
		break;
	case VF_ATTR_COUNT:
		break;
	}
	return buf;
}

int vf_link_state_parse(const char *text, enum vf_link_state *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(link_states); i++) {
		if (strcmp(text, link_states[i]) != 0)
			continue;
		*out = (enum vf_link_state)i;
		return 0;
	}
	return -EINVAL;
}

const char *vf_vlan_proto_text(uint16_t proto)
{
	return proto == VF_VLAN_8021AD ? "802.1ad" : proto == VF_VLAN_8021Q ? "802.1Q" : "unknown";
}

int vf_vlan_proto_parse(const char *text, uint16_t *out)
{
	if (strcasecmp(text, "802.1q") == 0)
		*out = VF_VLAN_8021Q;
	else if (strcasecmp(text, "802.1ad") == 0)
		*out = VF_VLAN_8021AD;
	else
		return -EINVAL;
	return 0;
}

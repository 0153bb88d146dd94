// SPDX-License-Identifier: BSD-3-Clause
/*
 * Setting the attributes of a VF: one message per attribute, so that a refusal is about one; read
 * back; and undone if not all of them took.
 */
#include "sriov/vfattr.h"

#include <libmnl/libmnl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#define REQUEST_SIZE 512

typedef void put_fn(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want);

static void put_trust(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want)
{
	struct ifla_vf_trust v = { .vf = index, .setting = want->trust };

	mnl_attr_put(nlh, IFLA_VF_TRUST, sizeof(v), &v);
}

static void put_spoofchk(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want)
{
	struct ifla_vf_spoofchk v = { .vf = index, .setting = want->spoofchk };

	mnl_attr_put(nlh, IFLA_VF_SPOOFCHK, sizeof(v), &v);
}

static void put_mac(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want)
{
	struct ifla_vf_mac v = { .vf = index };

	memcpy(v.mac, want->mac, sizeof(want->mac));
	mnl_attr_put(nlh, IFLA_VF_MAC, sizeof(v), &v);
}

static void put_vlan(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want)
{
	struct ifla_vf_vlan_info v = { .vf = index,
				       .vlan = want->vlan,
				       .qos = want->qos,
				       .vlan_proto = htons(want->vlan_proto) };
	struct nlattr *list = mnl_attr_nest_start(nlh, IFLA_VF_VLAN_LIST);

	mnl_attr_put(nlh, IFLA_VF_VLAN_INFO, sizeof(v), &v);
	mnl_attr_nest_end(nlh, list);
}

static void put_rate(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want)
{
	struct ifla_vf_rate v = { .vf = index,
				  .min_tx_rate = want->min_mbps,
				  .max_tx_rate = want->max_mbps };

	mnl_attr_put(nlh, IFLA_VF_RATE, sizeof(v), &v);
}

static void put_link_state(struct nlmsghdr *nlh, uint32_t index, const struct vf_attrs *want)
{
	struct ifla_vf_link_state v = { .vf = index, .link_state = want->link_state };

	mnl_attr_put(nlh, IFLA_VF_LINK_STATE, sizeof(v), &v);
}

static put_fn *const puts_by_attr[VF_ATTR_COUNT] = {
	[VF_ATTR_TRUST] = put_trust, [VF_ATTR_SPOOFCHK] = put_spoofchk,
	[VF_ATTR_MAC] = put_mac,     [VF_ATTR_VLAN] = put_vlan,
	[VF_ATTR_RATE] = put_rate,   [VF_ATTR_LINK_STATE] = put_link_state,
};

static bool attr_equal(enum vf_attr attr, const struct vf_attrs *a, const struct vf_attrs *b)
{
	switch (attr) {
	case VF_ATTR_TRUST:
		return a->trust == b->trust;
	case VF_ATTR_SPOOFCHK:
		return a->spoofchk == b->spoofchk;
	case VF_ATTR_MAC:
		return memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
	case VF_ATTR_VLAN:
		return a->vlan == b->vlan && a->qos == b->qos && a->vlan_proto == b->vlan_proto;
	case VF_ATTR_RATE:
		return a->min_mbps == b->min_mbps && a->max_mbps == b->max_mbps;
	case VF_ATTR_LINK_STATE:
		return a->link_state == b->link_state;
	case VF_ATTR_COUNT:
		break;
	}
	return true;
}

uint32_t vf_attrs_difference(uint32_t mask, const struct vf_attrs *a, const struct vf_attrs *b)
{
	uint32_t differs = 0;

	for (unsigned i = 0; i < VF_ATTR_COUNT; i++)
		if ((mask & BIT(i)) != 0 && !attr_equal((enum vf_attr)i, a, b))
			differs |= (uint32_t)BIT(i);
	return differs;
}

static void attr_copy(enum vf_attr attr, struct vf_attrs *to, const struct vf_attrs *from)
{
	switch (attr) {
	case VF_ATTR_TRUST:
		to->trust = from->trust;
		break;
	case VF_ATTR_SPOOFCHK:
		to->spoofchk = from->spoofchk;
		break;
	case VF_ATTR_MAC:
		memcpy(to->mac, from->mac, sizeof(to->mac));
		break;
	case VF_ATTR_VLAN:
		to->vlan = from->vlan;
		to->qos = from->qos;
		to->vlan_proto = from->vlan_proto;
		break;
	case VF_ATTR_RATE:
		to->min_mbps = from->min_mbps;
		to->max_mbps = from->max_mbps;
		break;
	case VF_ATTR_LINK_STATE:
		to->link_state = from->link_state;
		break;
	case VF_ATTR_COUNT:
		break;
	}
}

void vf_attrs_overlay(struct vf_attrs *base, const struct vf_attrs *over)
{
	for (unsigned i = 0; i < VF_ATTR_COUNT; i++)
		if ((over->mask & BIT(i)) != 0)
			attr_copy((enum vf_attr)i, base, over);
	base->mask |= over->mask;
}

static int attr_put(struct rtnl *nl, const struct pci_fn *vf, enum vf_attr attr,
		    const struct vf_attrs *want)
{
	uint8_t buf[REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nlattr *list, *info;
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)vf->pf->ifindex;
	list = mnl_attr_nest_start(nlh, IFLA_VFINFO_LIST);
	info = mnl_attr_nest_start(nlh, IFLA_VF_INFO);
	puts_by_attr[attr](nlh, vf->vf_index, want);
	mnl_attr_nest_end(nlh, info);
	mnl_attr_nest_end(nlh, list);
	return rtnl_talk(nl, nlh, NULL);
}

static bool is_unsupported(int r)
{
	return r == -EOPNOTSUPP || r == -EPROTONOSUPPORT || r == -ENOSYS;
}

/* A refusal in words; returns the errno for the caller. */
static int refusal(const struct rtnl *nl, const struct pci_fn *vf, enum vf_attr attr, int errnum,
		   struct err *e)
{
	const char *name = vf_attr_name(attr), *driver = vf->pf->driver;
	int r;

	if (is_unsupported(errnum)) {
		r = err_set(e, EOPNOTSUPP, "driver %s of PF %s cannot set %s of a VF%s", driver,
			    vf->pf->dev_name, name,
			    errnum == -EPROTONOSUPPORT ? " with this protocol" : "");
		err_code(e, "attr-unsupported");
		err_hint(e, "leave %s out, or use a PF whose driver has it", name);
		return r;
	}
	r = err_set(e, errnum, "driver %s of PF %s refuses %s of VF %u: %s%s%s", driver,
		    vf->pf->dev_name, name, vf->vf_index, strerror(-errnum),
		    nl->kernel_text[0] != '\0' ? ": " : "", nl->kernel_text);
	err_code(e, "attr-refused");
	if (errnum == -EPERM)
		err_hint(e, "needs CAP_NET_ADMIN: run viaductd as root");
	else if (attr == VF_ATTR_RATE)
		err_hint(
			e,
			"ethtool %s   shows the link: drivers take a rate only while the PF's link is up, below its speed, and many (igb) have no min_tx_rate",
			vf->pf->dev_name);
	else
		err_hint(e, "dmesg shows the driver's reason");
	return r;
}

/* First of the attributes in mask in which now differs from want, or VF_ATTR_COUNT. */
static unsigned first_difference(uint32_t mask, const struct vf_attrs *want,
				 const struct vf_attrs *now)
{
	for (unsigned i = 0; i < VF_ATTR_COUNT; i++)
		if ((mask & BIT(i)) != 0 &&
		    ((now->mask & BIT(i)) == 0 || !attr_equal((enum vf_attr)i, want, now)))
			return i;
	return VF_ATTR_COUNT;
}

static int check_kept(const struct pci_fn *vf, uint32_t mask, const struct vf_attrs *want,
		      const struct vf_attrs *now, struct err *e)
{
	unsigned i = first_difference(mask, want, now);
	int r;

	if (i == VF_ATTR_COUNT)
		return 0;
	r = err_set(e, EPROTO, "driver %s of PF %s accepted %s of VF %u, but it %s", vf->pf->driver,
		    vf->pf->dev_name, vf_attr_name((enum vf_attr)i), vf->vf_index,
		    (now->mask & BIT(i)) == 0 ? "cannot be read back" : "reads back different");
	err_code(e, "attr-not-kept");
	err_hint(e, "ip link show %s   shows what the driver has", vf->pf->dev_name);
	return r;
}

static void put_back(struct rtnl *nl, const struct pci_fn *vf, uint32_t mask,
		     const struct vf_attrs *before)
{
	for (unsigned i = 0; i < VF_ATTR_COUNT; i++)
		if ((mask & before->mask & BIT(i)) != 0)
			(void)attr_put(nl, vf, (enum vf_attr)i, before);
}

int vf_attrs_set(struct rtnl *nl, const struct pci_fn *vf, struct vf_attrs *attrs, struct err *e)
{
	struct vf_attrs before, now;
	uint32_t done = 0;
	int r = vf_attrs_check(attrs, e);

	if (r == 0)
		r = vf_attrs_get(nl, vf, &before, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < VF_ATTR_COUNT; i++) {
		if ((attrs->mask & BIT(i)) == 0)
			continue;
		r = attr_put(nl, vf, (enum vf_attr)i, attrs);
		if (r < 0) {
			r = refusal(nl, vf, (enum vf_attr)i, r, e);
			goto fail;
		}
		done |= BIT(i);
	}
	r = vf_attrs_get(nl, vf, &now, e);
	if (r == 0)
		r = check_kept(vf, attrs->mask, attrs, &now, e);
	if (r < 0)
		goto fail;
	*attrs = now;
	return 0;
fail:
	put_back(nl, vf, done, &before);
	return r;
}

int vf_attrs_reset(struct rtnl *nl, const struct pci_fn *vf, struct vf_attrs *out, struct err *e)
{
	struct vf_attrs before, now;
	uint32_t changed = 0;
	int r = vf_attrs_get(nl, vf, &before, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < VF_ATTR_COUNT; i++) {
		/* What reads as default is left alone: some drivers reset the VF at every write. */
		if ((before.mask & BIT(i)) == 0 ||
		    attr_equal((enum vf_attr)i, &before, &vf_attrs_default))
			continue;
		r = attr_put(nl, vf, (enum vf_attr)i, &vf_attrs_default);
		if (is_unsupported(r))
			continue;
		if (r < 0)
			return refusal(nl, vf, (enum vf_attr)i, r, e);
		changed |= BIT(i);
	}
	r = vf_attrs_get(nl, vf, &now, e);
	if (r == 0)
		r = check_kept(vf, changed, &vf_attrs_default, &now, e);
	if (r == 0 && out != NULL)
		*out = now;
	return r;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the PF's driver enforces on a VF: MAC, VLAN, spoof check, trust, link state, rates. Over
 * rtnetlink; nothing counts as set before it was read back.
 */
#ifndef VIADUCT_SRIOV_VFATTR_H
#define VIADUCT_SRIOV_VFATTR_H

#include "sriov/inventory.h"
#include "sriov/rtnl.h"

#define VFS_MAX	     65535
#define VLAN_ID_MAX  4094
#define VLAN_QOS_MAX 7

/* In the order in which they are applied. */
enum vf_attr {
	VF_ATTR_TRUST,
	VF_ATTR_SPOOFCHK,
	VF_ATTR_MAC,
	VF_ATTR_VLAN, /* vlan, qos and proto together */
	VF_ATTR_RATE, /* min and max together */
	VF_ATTR_LINK_STATE,
	VF_ATTR_COUNT
};

#define VF_ATTRS_ALL (BIT(VF_ATTR_COUNT) - 1)

enum vf_link_state { VF_LINK_AUTO, VF_LINK_UP, VF_LINK_DOWN }; /* IFLA_VF_LINK_STATE_* */
enum vf_vlan_proto { VF_VLAN_8021Q = 0x8100, VF_VLAN_8021AD = 0x88a8 };

struct vf_attrs {
	uint32_t mask; /* BIT(enum vf_attr): which members count (get: those the driver reports) */
	bool trust;
	bool spoofchk;
	uint8_t mac[6]; /* zero: the VF chooses */
	uint16_t vlan; /* 0: none */
	uint8_t qos;
	uint16_t vlan_proto; /* enum vf_vlan_proto; 8021Q when vlan is 0 */
	uint32_t min_mbps, max_mbps; /* 0: no limit */
	enum vf_link_state link_state;
};

/* What a released VF has: no MAC, no VLAN, spoof check on, trust off, no limits, link auto. */
extern const struct vf_attrs vf_attrs_default;

const char *vf_attr_name(enum vf_attr attr); /* "mac", "vlan", ..., as operators write them */
/* "vlan 100 qos 3", "rate 500": one of them for people. Returns buf. */
#define VF_ATTR_TEXT 48
char *vf_attr_text(const struct vf_attrs *attrs, enum vf_attr attr, char buf[VF_ATTR_TEXT]);

const char *vf_link_state_text(enum vf_link_state state); /* "auto", "up", "down" */
int vf_link_state_parse(const char *text, enum vf_link_state *out);
const char *vf_vlan_proto_text(uint16_t proto); /* "802.1Q", "802.1ad" */
int vf_vlan_proto_parse(const char *text, uint16_t *out); /* also in lower case */

/* -EINVAL with the reason if a member in the mask has a value that no driver can take (multicast
 * MAC, vlan or qos out of range, qos or 802.1ad without a vlan, min above max). */
int vf_attrs_check(const struct vf_attrs *want, struct err *e);

/* Which of the attributes in mask differ, as BIT(enum vf_attr). */
uint32_t vf_attrs_difference(uint32_t mask, const struct vf_attrs *a, const struct vf_attrs *b);

/* Those in over->mask replace the ones of *base. */
void vf_attrs_overlay(struct vf_attrs *base, const struct vf_attrs *over);

/* All VFs of a PF: out[i] for i < count, which is the PF's number of VFs. One message. -ENODEV code
 * "no-netdev": the PF has no network device here; -EOVERFLOW code "netlink-overflow": the kernel's
 * reply does not describe all of them; -ESTALE: the number of VFs changed since the scan. */
int vf_attrs_get_all(struct rtnl *nl, const struct pci_fn *pf, struct vf_attrs *out, size_t count,
		     struct err *e);

int vf_attrs_get(struct rtnl *nl, const struct pci_fn *vf, struct vf_attrs *out, struct err *e);

/*
 * Sets those in attrs->mask, then reads all back into *attrs (with the mask of what the driver
 * reports). If one is refused or reads back different, those set before it are put back and the
 * error names attribute and driver. -EOPNOTSUPP code "attr-unsupported": the driver cannot do it at
 * all. -EPROTO code "attr-not-kept": accepted, but reads back different.
 */
int vf_attrs_set(struct rtnl *nl, const struct pci_fn *vf, struct vf_attrs *attrs, struct err *e);

/* To vf_attrs_default, verified. What a driver cannot do at all it cannot have kept either, and is
 * passed over; *out (may be NULL) is what was read back. Any other failure: the VF is not clean. */
int vf_attrs_reset(struct rtnl *nl, const struct pci_fn *vf, struct vf_attrs *out, struct err *e);

/* What a message says about a PF's VFs. */
struct vf_attrs_list {
	struct vf_attrs *vfs; /* the caller's array; mask 0: not described */
	size_t count; /* of the array */
	size_t described; /* how many of the array's VFs the message describes whole */
	uint32_t num_vfs; /* what IFLA_NUM_VF says; 0 if absent */
};

/* The parser alone, for tests and fuzzing: `msg` is a whole RTM_NEWLINK message of len bytes,
 * aligned to 4. -EBADMSG if it is no such message. */
int vf_attrs_parse(const void *msg, size_t len, struct vf_attrs_list *list);

#endif

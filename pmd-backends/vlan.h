/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which VLAN a frame of a port belongs to, and what it looks like for a port. Inside the switch a frame has the tag of
 * the wire beside it, not in it. A tag with id 0 gives a priority only: such a frame is untagged, and loses it.
 *
 * A "key" is what the switch tells VLANs apart by: 0 untagged, else the id, with VLAN_KEY_AD of 802.1ad: the same
 * id of the two kinds of tag is not the same VLAN. IEEE 802.1Q-2018, 6.9, 6.13.
 */
#ifndef VIADUCT_PMD_BACKENDS_VLAN_H
#define VIADUCT_PMD_BACKENDS_VLAN_H

#include "frame.h"
#include "policy.h"

#define VLAN_KEY_AD 0x1000

struct vlan_port {
	enum policy_vlan mode;
	bool any; /* mode none of a port with trust promisc: tags pass as they are */
	uint16_t tpid;
	struct frame_tag tag; /* of access and qinq */
	uint64_t ids[64]; /* bit per id */
};

void vlan_port_init(struct vlan_port *v, const struct policy *policy);

static inline uint16_t vlan_key(struct frame_tag tag)
{
	return frame_tag_id(tag) | (tag.tpid == FRAME_TPID_8021AD ? VLAN_KEY_AD : 0);
}

static inline struct frame_tag vlan_key_tag(uint16_t key)
{
	if (key == 0)
		return (struct frame_tag){ 0 };
	return (struct frame_tag){ .tpid = key & VLAN_KEY_AD ? FRAME_TPID_8021AD : FRAME_TPID_8021Q,
				   .tci = key & 0xFFF };
}

/*
 * A frame from the guest: takes its tag out as needed; *out is the tag on the wire (tpid 0: none). -EPERM: the port may
 * not use the tag, or needs one; -EBADMSG: no room for what the header says.
 */
int vlan_from_guest(const struct vlan_port *v, struct rte_mbuf *m, struct frame *f,
		    struct frame_tag *out);

/* A frame from the wire: the outermost tag comes out. A tag that the NIC took out (RTE_MBUF_F_RX_VLAN_STRIPPED) is it. */
int vlan_from_wire(struct rte_mbuf *m, struct frame *f, struct frame_tag *out);

/* Is the port in that VLAN? */
bool vlan_has(const struct vlan_port *v, uint16_t key);

/* May a frame of a VLAN that the port is in be given to it with the tags that are still in the data? */
static inline bool vlan_fits(const struct vlan_port *v, const struct frame *f)
{
	return f->tags == 0 || v->mode == POLICY_VLAN_TRUNK || v->mode == POLICY_VLAN_QINQ ||
	       v->any;
}

/* Does the guest see the tag? */
static inline bool vlan_shows_tag(const struct vlan_port *v)
{
	return v->mode == POLICY_VLAN_TRUNK || v->any;
}

/* The keys that a port of this policy has addresses of its own in; out holds PMD_MAX_VLANS. Returns their number. */
unsigned int vlan_keys(const struct policy *policy, uint16_t *out);

#endif

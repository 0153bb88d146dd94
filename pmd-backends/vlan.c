// SPDX-License-Identifier: BSD-3-Clause
#include "vlan.h"

#include "base/util.h"

#include <errno.h>

#define PRIORITY_SHIFT 13

void vlan_port_init(struct vlan_port *v, const struct policy *policy)
{
	*v = (struct vlan_port){
		.mode = policy->vlan,
		.any = policy->vlan == POLICY_VLAN_NONE && policy->trust == POLICY_TRUST_PROMISC,
		.tpid = policy->vlan_tpid,
	};
	for (unsigned int i = 0; i < policy->vlan_count; i++)
		v->ids[policy->vlan_ids[i] / 64 & 63] |= BIT_ULL(policy->vlan_ids[i] % 64);
	if (policy->vlan == POLICY_VLAN_ACCESS || policy->vlan == POLICY_VLAN_QINQ)
		v->tag = (struct frame_tag){
			.tpid = policy->vlan_tpid,
			.tci = (uint16_t)(policy->vlan_ids[0] | policy->vlan_qos << PRIORITY_SHIFT),
		};
}

static bool id_allowed(const struct vlan_port *v, uint16_t id)
{
	return (v->ids[id / 64 & 63] & BIT_ULL(id % 64)) != 0;
}

static int tag_take(struct rte_mbuf *m, struct frame *f, struct frame_tag *out)
{
	*out = f->tag;
	return frame_pop(m, f);
}

static int priority_tag_drop(struct rte_mbuf *m, struct frame *f)
{
	return f->tags != 0 && frame_tag_id(f->tag) == 0 ? frame_pop(m, f) : 0;
}

int vlan_from_guest(const struct vlan_port *v, struct rte_mbuf *m, struct frame *f,
		    struct frame_tag *out)
{
	int r = v->mode == POLICY_VLAN_QINQ ? 0 : priority_tag_drop(m, f);

	if (r < 0)
		return r;
	*out = v->tag;
	switch (v->mode) {
	case POLICY_VLAN_NONE:
		if (f->tags == 0)
			return 0;
		return v->any ? tag_take(m, f, out) : -EPERM;
	case POLICY_VLAN_ACCESS:
		return f->tags == 0 ? 0 : -EPERM;
	case POLICY_VLAN_TRUNK:
		if (f->tags == 0 || f->tag.tpid != v->tpid || !id_allowed(v, frame_tag_id(f->tag)))
			return -EPERM;
		return tag_take(m, f, out);
	case POLICY_VLAN_QINQ:
		return 0;
	case POLICY_VLANS:
		break;
	}
	return -EPERM;
}

int vlan_from_wire(struct rte_mbuf *m, struct frame *f, struct frame_tag *out)
{
	int r;

	*out = (struct frame_tag){ 0 };
	if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
		if ((m->vlan_tci & 0xFFF) == 0)
			return 0;
		*out = (struct frame_tag){ .tpid = FRAME_TPID_8021Q, .tci = m->vlan_tci };
		return 0;
	}
	r = priority_tag_drop(m, f);
	if (r < 0 || f->tags == 0)
		return r;
	return tag_take(m, f, out);
}

bool vlan_has(const struct vlan_port *v, uint16_t key)
{
	bool ad = (key & VLAN_KEY_AD) != 0;

	if (v->mode == POLICY_VLAN_NONE)
		return key == 0 || v->any;
	return (key & 0xFFF) != 0 && ad == (v->tpid == FRAME_TPID_8021AD) &&
	       id_allowed(v, key & 0xFFF);
}

unsigned int vlan_keys(const struct policy *policy, uint16_t *out)
{
	if (policy->vlan == POLICY_VLAN_NONE) {
		out[0] = 0;
		return 1;
	}
	for (unsigned int i = 0; i < policy->vlan_count; i++)
		out[i] = vlan_key((struct frame_tag){ .tpid = policy->vlan_tpid,
						      .tci = policy->vlan_ids[i] });
	return policy->vlan_count;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "lane_core.h"

#include "offload.h"

void lane_wire_begin(struct lane *lane, const struct l2_switch *sw)
{
	lane_epochs_read(lane, sw);
	lane->is_stopped = false;
	lane->out_count = 0;
}

bool lane_wire_known(struct lane *lane, struct l2_switch *sw, const struct rte_mbuf *m)
{
	struct vring_plain plain;
	uint16_t to;

	if (lane->is_stopped || m->nb_segs != 1 || m->data_len < PLAIN_LEAST ||
	    (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 || offload_is_wanted(m->ol_flags))
		return false;
	vring_plain_read(&plain, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	to = flow_to(lane, FDB_WIRE, &plain);
	if (to == FDB_NOBODY)
		return false;
	return plain_put(out_of_flow(lane, sw->ports, to, SWITCH_BURST), &plain);
}

/* Where the frame lies in one piece and goes into one ring as it is. */
static bool wire_put(struct lane *lane, struct switch_port *to, const struct packet *p)
{
	const struct vring_rest none = { 0 };
	struct out *out;

	if (p->m->nb_segs != 1 || !receiver_takes(to, p) ||
	    (vlan_shows_tag(&to->vlan) && p->tag.tpid != 0))
		return false;
	out = out_find(lane, to, p->m, SWITCH_BURST);
	return out != NULL && ring_put(out, p, &none) == STEP_TAKEN;
}

bool lane_wire_route(struct lane *lane, struct l2_switch *sw, const struct packet *p,
		     uint32_t sent_bytes)
{
	bool plain = is_plain(p, sent_bytes, p->tag.tpid != 0);
	struct flow flow = flow_read(p->m, FDB_WIRE);
	uint16_t to = fdb_find(sw->fdb, p->f.dst, p->vlan);

	lane_epochs_read(lane, sw);
	if (to >= FDB_WIRE || frame_is_group(p->f.dst))
		return false;
	if (lane->is_stopped || !wire_put(lane, sw->ports[to], p)) {
		lane->is_stopped = true;
		return false;
	}
	if (plain)
		flow_keep(lane, &flow, to);
	return true;
}

void lane_wire_end(struct lane *lane)
{
	outs_count(lane);
	outs_use(lane, NULL);
	outs_tell(lane);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "lane_core.h"

#include "profile.h"

static struct rte_mbuf *head_reset(struct lane *lane)
{
	struct rte_mbuf *m = &lane->head;

	m->data_off = HEAD_AT;
	m->data_len = 0;
	m->ol_flags = 0;
	m->tx_offload = 0;
	return m;
}

/* Would anybody but the wire see a frame for an unknown station? */
static bool has_promisc(const struct l2_switch *sw)
{
	for (uint32_t i = 0; i < sw->port_end; i++)
		if (sw->ports[i] != NULL && sw->ports[i]->policy.trust == POLICY_TRUST_PROMISC)
			return true;
	return false;
}

/* Where a guest's frame is to go: to a ring (*to), to the wire alone or as it turns out (both as
 * an mbuf of its own), or after all that is before it (left). */
enum way { WAY_RING, WAY_WIRE, WAY_HELD, WAY_LEFT };

static enum way way_find(struct switch_port *from, struct packet *p, uint16_t *to)
{
	struct l2_switch *sw = from->sw;
	enum pmd_drop reason;

	*to = FDB_NOBODY;
	if (frame_is_group(rte_pktmbuf_mtod(p->m, const uint8_t *)))
		return WAY_HELD;
	reason = port_admit(from, p);
	if (reason != PMD_DROPS)
		/* Of a head alone that is not the last word. */
		return reason == PMD_DROP_MALFORMED ? WAY_LEFT : WAY_HELD;
	port_learn(from, p);
	*to = fdb_find(sw->fdb, p->f.dst, p->vlan);
	if (*to == from->owner)
		return WAY_HELD;
	if (*to >= FDB_WIRE)
		return *to == FDB_WIRE || !has_promisc(sw) ? WAY_WIRE : WAY_HELD;
	return receiver_takes(sw->ports[*to], p) ? WAY_RING : WAY_LEFT;
}

/* Most bursts go where the one before went. Its ring is fetched while we wait for the sender's. */
static struct out *out_guess(struct lane *lane, const struct switch_port *from)
{
	struct switch_port *to = from->lane_to < PMD_MAX_PORTS ? from->sw->ports[from->lane_to]
							       : NULL;
	bool is_only = false;
	struct vring *ring = NULL;
	struct out *out;

	if (to != NULL && to->ep->rings != NULL && endpoint_is_up(to->ep))
		ring = to->ep->rings->receiver(to->ep, NULL, &is_only);
	out = ring == NULL || !is_only ? NULL : out_open(lane, to, ring, true);
	if (out != NULL)
		vring_look_ahead(&out->look);
	return out;
}

static struct rte_mbuf *spare_take(struct lane *lane, struct l2_switch *sw, uint16_t most)
{
	if (lane->spare_count == 0) {
		if (rte_pktmbuf_alloc_bulk(sw->pool, lane->spare, most) != 0)
			return NULL;
		lane->spare_count = most;
	}
	return lane->spare[--lane->spare_count];
}

static void held_add(struct lane *lane, struct rte_mbuf *m, bool is_for_wire)
{
	struct lane_left *left = lane->left;

	left->frames[left->count++] = (struct lane_frame){ m, is_for_wire };
}

/* The frame's whole, for whoever looks at it next. */
static enum step frame_hold(struct lane *lane, struct switch_port *from, uint16_t i)
{
	struct rte_mbuf *m = spare_take(lane, from->sw, (uint16_t)(lane->in.count - i));

	if (m == NULL)
		return STEP_LEFT;
	if (!vring_frame_take(&lane->in, i, m)) {
		rte_pktmbuf_free(m);
		return STEP_LEFT;
	}
	held_add(lane, m, false);
	return STEP_TAKEN;
}

/* A frame whose way is to be found first. */
static enum step frame_route(struct lane *lane, struct switch_port *from, uint16_t i,
			     const struct vring_rest *rest)
{
	struct rte_mbuf *m = &lane->head;
	struct flow flow = flow_read(m, from->owner);
	struct packet p = { .m = m };
	uint32_t sent = m->pkt_len;
	uint16_t owner;
	enum way way = way_find(from, &p, &owner);
	struct switch_port *to;
	struct out *out;

	lane_epochs_read(lane, from->sw);
	switch (way) {
	case WAY_LEFT:
		return STEP_LEFT;
	case WAY_WIRE:
		if (is_plain(&p, sent, p.tag.tpid != 0))
			flow_keep(lane, &flow, owner);
		return frame_hold(lane, from, i);
	case WAY_HELD:
		return frame_hold(lane, from, i);
	case WAY_RING:
		break;
	}
	to = from->sw->ports[owner];
	out = out_find(lane, to, m, (uint16_t)(lane->in.count - i));
	if (out == NULL)
		return lane->out_count == OUTS ? STEP_AGAIN : STEP_LEFT;
	if (is_plain(&p, sent, vlan_shows_tag(&to->vlan) && p.tag.tpid != 0))
		flow_keep(lane, &flow, owner);
	return ring_put(out, &p, rest);
}

/* A plain frame that only the wire gets. */
static bool plain_hold(struct lane *lane, const struct switch_port *from, uint16_t i,
		       const struct vring_plain *plain)
{
	const struct switch_uplink *uplink = from->sw->active;
	struct rte_mbuf *m;

	if (uplink == NULL ||
	    (uplink->ep->mtu != 0 && plain->len > FRAME_ETHER_LEN + (uint32_t)uplink->ep->mtu))
		return false;
	m = spare_take(lane, from->sw, (uint16_t)(lane->in.count - i));
	if (m == NULL)
		return false;
	if (plain->len > rte_pktmbuf_tailroom(m)) {
		rte_pktmbuf_free(m);
		return false;
	}
	vring_plain_write(plain, rte_pktmbuf_mtod(m, uint8_t *));
	m->data_len = (uint16_t)plain->len;
	m->pkt_len = plain->len;
	held_add(lane, m, true);
	return true;
}

static __rte_always_inline bool plain_move(struct lane *lane, const struct switch_port *from,
					   uint16_t i)
{
	struct vring_plain plain;
	uint16_t to;

	if (!vring_plain_take(&lane->in, i, &plain))
		return false;
	to = flow_to(lane, from->owner, &plain);
	if (to == FDB_NOBODY || plain.len > FRAME_ETHER_LEN + (uint32_t)from->policy.mtu)
		return false;
	if (to == FDB_WIRE) {
		/* Of its own, so that the other stays in registers. */
		struct vring_plain copy = plain;

		return plain_hold(lane, from, i, &copy);
	}
	return plain_put(out_of_flow(lane, from->sw->ports, to, (uint16_t)(lane->in.count - i)),
			 &plain);
}

static enum step frame_move(struct lane *lane, struct switch_port *from, uint16_t i)
{
	struct rte_mbuf *m = head_reset(lane);
	struct vring_rest rest;

	if (!vring_head_take(&lane->in, i, m, &rest) || m->data_len < FRAME_ETHER_LEN)
		return STEP_LEFT;
	return frame_route(lane, from, i, &rest);
}

/* All frames that the look has, as far as they go this way. */
static inline __attribute__((always_inline)) enum step frames_move_as(struct lane *lane,
								      struct switch_port *from)
{
	struct vring_look *in = &lane->in;
	enum step step = STEP_TAKEN;
	uint16_t i = 0;

	for (; i < in->count; i++) {
		if (likely(plain_move(lane, from, i)))
			continue;
		step = frame_move(lane, from, i);
		if (step != STEP_TAKEN)
			break;
	}
	in->filled = i;
	return step;
}

static enum step frames_move(struct lane *lane, struct switch_port *from)
{
	return frames_move_as(lane, from);
}

/* The same with registers of 32 bytes: half the stores. */
__attribute__((target("avx2,tune=haswell"))) static enum step
frames_move_wide(struct lane *lane, struct switch_port *from)
{
	return frames_move_as(lane, from);
}

static void burst_count(struct lane *lane, struct switch_port *from)
{
	uint64_t bytes = vring_look_bytes(&lane->in);

	flow_add(&from->counters.from, lane->in.filled, bytes);
	bucket_take(&from->rate_from, bytes);
	for (unsigned int i = 0; i < lane->out_count; i++)
		if (lane->outs[i].look.filled != 0)
			from->lane_to = lane->outs[i].port->owner;
	outs_count(lane);
}

static void burst_end(struct lane *lane, struct switch_port *from, struct vring *ring)
{
	burst_count(lane, from);
	profile_mark(PROFILE_USE);
	outs_use(lane, &lane->in);
	profile_mark(PROFILE_TELL);
	from->ep->rings->used(from->ep, ring);
	outs_tell(lane);
}

/* Up to *n frames of one ring; comes back as how many. */
static enum step burst_move(struct lane *lane, struct switch_port *from, struct vring *ring,
			    uint16_t *n)
{
	struct vring_look *in = &lane->in;
	struct out *guess;
	enum step step;

	lane_epochs_read(lane, from->sw);
	lane->out_count = 0;
	profile_mark(PROFILE_LOOK);
	if (!vring_look_begin(in, ring, true) || !vring_look_waits(in)) {
		profile_burst(0);
		from->ep->rings->used(from->ep, ring);
		*n = 0;
		return STEP_TAKEN;
	}
	guess = out_guess(lane, from);
	(void)vring_look_on(in, *n);
	profile_burst(in->count);
	profile_mark(PROFILE_ROOM);
	if (guess != NULL)
		(void)vring_look_on(&guess->look, in->count);
	profile_mark(PROFILE_COPY);
	step = lane->is_wide ? frames_move_wide(lane, from) : frames_move(lane, from);
	if (step == STEP_TAKEN && in->is_odd)
		step = STEP_LEFT;
	*n = in->filled;
	burst_end(lane, from, ring);
	profile_mark(PROFILE_IDLE);
	return step == STEP_AGAIN && *n == 0 ? STEP_LEFT : step;
}

uint16_t lane_poll(struct lane *lane, struct switch_port *port, uint16_t n, struct lane_left *left)
{
	struct vring *rings[PMD_MAX_PAIRS];
	unsigned int count = port->ep->rings->senders(port->ep, rings);
	enum step step = count == 0 ? STEP_LEFT : STEP_TAKEN;
	uint16_t done = 0;

	lane->left = left;
	for (unsigned int i = 0; i < count && done < n && step != STEP_LEFT; i++) {
		do {
			uint16_t part = (uint16_t)(n - done);

			step = burst_move(lane, port, rings[i], &part);
			done = (uint16_t)(done + part);
		} while (step == STEP_AGAIN && done < n);
	}
	rte_pktmbuf_free_bulk(lane->spare, lane->spare_count);
	lane->spare_count = 0;
	left->is_more = step == STEP_LEFT;
	return done;
}

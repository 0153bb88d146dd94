// SPDX-License-Identifier: BSD-3-Clause
#include "lane.h"

#include "offload.h"
#include "profile.h"
#include "switch_core.h"
#include "vring_look.h"

#include <stdlib.h>
#include <sys/random.h>

#define OUTS 8 /* rings that a burst goes to; one more begins another burst */

#define FLOWS 8192 /* power of 2 */

/* Room for a head, and for tags before it. */
#define HEAD_BYTES 256
#define HEAD_AT	   64

/* A ring that frames of this burst go to. */
struct out {
	struct switch_port *port;
	bool is_plain; /* the port's only ring for reception, and it has no rate */
	bool is_full; /* a frame found no room: nor does any behind it in this burst */
	uint32_t most; /* bytes of a frame without tags that the port takes */
	struct vring_look look;
};

/*
 * Where frames of a port with these first 14 bytes go, if nothing else of them but their length decides it. Good for as
 * long as the switch is as it was then (lane_epoch()), and for a second at most, so that a source that sends is seen.
 */
struct flow {
	uint64_t epoch;
	uint64_t words[2]; /* bytes 0 to 7, 6 to 13 */
	uint16_t from, to; /* owners */
};

struct lane {
	struct rte_mbuf head; /* of the frame at hand */
	uint8_t room[HEAD_AT + HEAD_BYTES];
	uint64_t epoch;
	uint64_t factor; /* odd, secret */
	struct vring_look in;
	unsigned int out_count;
	struct out outs[OUTS];
	struct flow flows[FLOWS];
};

#ifdef VIADUCT_PMD_PROFILE
__thread struct profile profile;
#endif

enum step { STEP_TAKEN, STEP_AGAIN, STEP_LEFT };

struct lane *lane_create(void)
{
	struct lane *lane = NULL;

	if (posix_memalign((void **)&lane, RTE_CACHE_LINE_SIZE, sizeof(*lane)) != 0)
		return NULL;
	memset(lane, 0, sizeof(*lane));
	/* Guests choose addresses: they must not know which of them meet. */
	if (getrandom(&lane->factor, sizeof(lane->factor), 0) != sizeof(lane->factor)) {
		free(lane);
		return NULL;
	}
	lane->factor |= 1;
	lane->head.buf_addr = lane->room;
	lane->head.buf_len = sizeof(lane->room);
	lane->head.nb_segs = 1;
	rte_mbuf_refcnt_set(&lane->head, 1);
	return lane;
}

void lane_destroy(struct lane *lane)
{
	free(lane);
}

static struct rte_mbuf *head_reset(struct lane *lane)
{
	struct rte_mbuf *m = &lane->head;

	m->data_off = HEAD_AT;
	m->data_len = 0;
	m->ol_flags = 0;
	m->tx_offload = 0;
	return m;
}

/* The port that the frame goes to, if it may and nothing but a copy is to be done. */
static struct switch_port *receiver_find(struct switch_port *from, struct packet *p)
{
	struct l2_switch *sw = from->sw;
	struct switch_port *to;
	uint16_t owner;

	if (frame_is_group(rte_pktmbuf_mtod(p->m, const uint8_t *)) ||
	    port_admit(from, p) != PMD_DROPS)
		return NULL;
	port_learn(from, p);
	owner = fdb_find(sw->fdb, p->f.dst, p->vlan);
	if (owner >= FDB_WIRE || owner == from->owner)
		return NULL;
	to = sw->ports[owner];
	if (to->ep->rings == NULL || to->mirror != NULL || egress_refuses(to, p) != PMD_DROPS ||
	    !offload_taken(p->m, to->ep->offloads))
		return NULL;
	return to;
}

static struct out *out_open(struct lane *lane, struct switch_port *to, struct vring *ring,
			    bool is_only)
{
	struct out *out = &lane->outs[lane->out_count];

	if (!vring_look_begin(&out->look, ring, false))
		return NULL;
	lane->out_count++;
	out->port = to;
	out->is_plain = is_only && to->rate_to.rate == 0;
	out->most = FRAME_ETHER_LEN +
		    (to->ep->mtu == 0 ? to->policy.mtu : RTE_MIN(to->policy.mtu, to->ep->mtu));
	out->is_full = false;
	return out;
}

/* For the frame at hand. NULL: there is no place for one more, or no ring. */
static struct out *out_find(struct lane *lane, struct switch_port *to, uint16_t frames)
{
	bool is_only = false;
	struct vring *ring = to->ep->rings->receiver(to->ep, &lane->head, &is_only);
	struct out *out;

	for (unsigned int i = 0; i < lane->out_count; i++)
		if (lane->outs[i].look.ring == ring)
			return &lane->outs[i];
	if (ring == NULL || lane->out_count == OUTS)
		return NULL;
	out = out_open(lane, to, ring, is_only);
	if (out != NULL)
		(void)vring_look_on(&out->look, frames);
	return out;
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

static void out_drop(struct out *out)
{
	out->is_full = true;
	counter_add(&out->port->counters.drops[PMD_DROP_RX_FULL], 1);
}

static enum step frame_put(struct lane *lane, struct out *out, const struct vring_rest *rest)
{
	switch (out->is_full ? VRING_PUT_FULL : vring_put(&out->look, &lane->head, rest)) {
	case VRING_PUT_DONE:
		return STEP_TAKEN;
	case VRING_PUT_FULL:
		out_drop(out);
		return STEP_TAKEN;
	case VRING_PUT_SHORT:
		return out->look.filled > 0 ? STEP_AGAIN : STEP_LEFT;
	case VRING_PUT_ODD:
		break;
	}
	return STEP_LEFT;
}

/* All that a flow rests on but what is looked at again in each burst. Each part only grows. */
static uint64_t lane_epoch(const struct l2_switch *sw)
{
	return sw->changes + fdb_facts(sw->fdb)->changes + sw->now_s;
}

/* The flow of a frame, or where it would be. */
static inline struct flow *flow_at(struct lane *lane, uint64_t first, uint64_t second)
{
	return &lane->flows[(first ^ second >> 11) * lane->factor >> 48 & (FLOWS - 1)];
}

/* Of a flow that is known, in this burst. */
static inline struct out *out_of_flow(struct lane *lane, const struct switch_port *from,
				      uint64_t first, uint64_t second)
{
	const struct flow *f = flow_at(lane, first, second);

	if (f->words[0] != first || f->words[1] != second || f->epoch != lane->epoch ||
	    f->from != from->owner)
		return NULL;
	for (unsigned int i = 0; i < lane->out_count; i++)
		if (lane->outs[i].port->owner == f->to)
			return &lane->outs[i];
	return NULL;
}

/* A frame whose way is to be found first. */
static enum step frame_route(struct lane *lane, struct switch_port *from, uint16_t i,
			     const struct vring_rest *rest)
{
	struct rte_mbuf *m = &lane->head;
	struct packet p = { .m = m };
	struct flow flow = { .from = from->owner };
	uint32_t sent = m->pkt_len, bytes;
	struct switch_port *to;
	bool is_tagged;
	struct out *out;
	enum step step;

	/* Before a tag is taken out. */
	memcpy(&flow.words[0], rte_pktmbuf_mtod(m, const uint8_t *), 8);
	memcpy(&flow.words[1], rte_pktmbuf_mtod_offset(m, const uint8_t *, 6), 8);
	to = receiver_find(from, &p);

	lane->epoch = lane_epoch(from->sw);
	if (to == NULL)
		return STEP_LEFT;
	out = out_find(lane, to, (uint16_t)(lane->in.count - i));
	if (out == NULL)
		return lane->out_count == OUTS ? STEP_AGAIN : STEP_LEFT;
	bytes = m->pkt_len;
	is_tagged = vlan_shows_tag(&to->vlan) && p.tag.tpid != 0;
	/* Neither with a tag, nor one that has lost it. */
	if (m->ol_flags == 0 && p.f.tags == 0 && bytes == sent && !is_tagged) {
		flow.epoch = lane->epoch;
		flow.to = to->owner;
		*flow_at(lane, flow.words[0], flow.words[1]) = flow;
	}
	if (is_tagged && frame_push(m, p.tag) < 0)
		return STEP_LEFT;
	step = frame_put(lane, out, rest);
	if (step == STEP_TAKEN)
		bucket_take(&to->rate_to, bytes);
	return step;
}

/* As most frames are: nothing left to be done to it, of a flow that is known, from one buffer into one. */
static inline bool plain_move(struct lane *lane, const struct switch_port *from, uint16_t i)
{
	struct vring_plain plain;
	struct out *out;

	if (!vring_plain_take(&lane->in, i, &plain))
		return false;
	/* Bytes 0 to 7, 6 to 13. */
	out = out_of_flow(lane, from, plain.a[0], plain.a[0] >> 48 | plain.a[1] << 16);
	if (out == NULL || !out->is_plain || plain.len > out->most ||
	    plain.len > FRAME_ETHER_LEN + (uint32_t)from->policy.mtu)
		return false;
	if (likely(!out->is_full))
		return vring_plain_put(&out->look, &plain);
	out_drop(out);
	return true;
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
static enum step frames_move(struct lane *lane, struct switch_port *from)
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

/* What was taken and what was put is counted once for all. */
static void burst_count(struct lane *lane, struct switch_port *from)
{
	uint64_t bytes = vring_look_bytes(&lane->in);

	flow_add(&from->counters.from, lane->in.filled, bytes);
	bucket_take(&from->rate_from, bytes);
	for (unsigned int i = 0; i < lane->out_count; i++) {
		struct out *out = &lane->outs[i];

		if (out->look.filled == 0)
			continue;
		from->lane_to = out->port->owner;
		flow_add(&out->port->counters.to, out->look.filled - out->look.joined,
			 vring_look_bytes(&out->look));
	}
}

static void burst_end(struct lane *lane, struct switch_port *from, struct vring *ring)
{
	struct vring_look *looks[OUTS];

	burst_count(lane, from);
	profile_mark(PROFILE_USE);
	for (unsigned int i = 0; i < lane->out_count; i++)
		looks[i] = &lane->outs[i].look;
	vring_look_use(&lane->in, looks, lane->out_count);
	/* Last, since it waits until all that was published is seen. */
	profile_mark(PROFILE_TELL);
	from->ep->rings->used(from->ep, ring);
	for (unsigned int i = 0; i < lane->out_count; i++) {
		struct out *out = &lane->outs[i];

		out->port->ep->rings->used(out->port->ep, out->look.ring);
	}
}

/* Up to *n frames of one ring; comes back as how many. */
static enum step burst_move(struct lane *lane, struct switch_port *from, struct vring *ring,
			    uint16_t *n)
{
	struct vring_look *in = &lane->in;
	struct out *guess;
	enum step step;

	lane->epoch = lane_epoch(from->sw);
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
	step = frames_move(lane, from);
	if (step == STEP_TAKEN && in->is_odd)
		step = STEP_LEFT;
	*n = in->filled;
	burst_end(lane, from, ring);
	profile_mark(PROFILE_IDLE);
	return step == STEP_AGAIN && *n == 0 ? STEP_LEFT : step;
}

uint16_t lane_poll(struct lane *lane, struct switch_port *port, uint16_t n, bool *more)
{
	struct vring *rings[PMD_MAX_PAIRS];
	unsigned int count = port->ep->rings->senders(port->ep, rings);
	enum step step = count == 0 ? STEP_LEFT : STEP_TAKEN;
	uint16_t done = 0;

	for (unsigned int i = 0; i < count && done < n && step != STEP_LEFT; i++) {
		do {
			uint16_t part = (uint16_t)(n - done);

			step = burst_move(lane, port, rings[i], &part);
			done = (uint16_t)(done + part);
		} while (step == STEP_AGAIN && done < n);
	}
	*more = step == STEP_LEFT;
	return done;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "lane.h"

#include "offload.h"
#include "profile.h"
#include "switch_core.h"
#include "vring_look.h"

#include <stdlib.h>

#define OUTS 8 /* rings that a burst goes to; one more begins another burst */

/* Room for a head, and for tags before it. */
#define HEAD_BYTES 256
#define HEAD_AT	   64

/* A ring that frames of this burst go to. */
struct out {
	struct switch_port *port;
	bool is_only; /* ring that the port has: no frame of it goes elsewhere */
	struct vring_look look;
	uint32_t frames;
	uint64_t bytes;
};

/*
 * Where frames with these first 14 bytes go, if nothing else of them but their length decides it. Holds for one burst, in
 * which nothing that it rests on changes but the places of addresses.
 */
struct flow {
	uint64_t burst; /* that it is of, or part of one */
	uint64_t words[2]; /* bytes 0 to 7, 6 to 13 */
	uint32_t most; /* bytes of a frame */
	struct out *out;
};

#define FLOWS 8

struct lane {
	struct rte_mbuf head; /* of the frame at hand */
	uint8_t room[HEAD_AT + HEAD_BYTES];
	uint64_t bytes; /* taken in this burst */
	struct vring_look in;
	unsigned int out_count;
	struct out outs[OUTS];
	uint64_t burst; /* number of it */
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

/* NULL: there is no place for one more, or no ring. */
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
	out = &lane->outs[lane->out_count];
	if (!vring_look_begin(&out->look, ring, false))
		return NULL;
	lane->out_count++;
	out->port = to;
	out->is_only = is_only;
	out->frames = 0;
	out->bytes = 0;
	profile_mark(PROFILE_ROOM);
	(void)vring_look_on(&out->look, frames);
	profile_mark(PROFILE_ROUTE);
	return out;
}

static enum step frame_put(struct lane *lane, struct out *out, const struct vring_rest *rest)
{
	profile_mark(PROFILE_COPY);
	switch (vring_put(&out->look, &lane->head, rest)) {
	case VRING_PUT_DONE:
		out->frames++;
		out->bytes += lane->head.pkt_len;
		return STEP_TAKEN;
	case VRING_PUT_FULL:
		counter_add(&out->port->counters.drops[PMD_DROP_RX_FULL], 1);
		return STEP_TAKEN;
	case VRING_PUT_SHORT:
		return out->look.filled > 0 ? STEP_AGAIN : STEP_LEFT;
	case VRING_PUT_ODD:
		break;
	}
	return STEP_LEFT;
}

/* The flow of a frame, or where it would be. */
static struct flow *flow_at(struct lane *lane, const struct rte_mbuf *m, uint64_t words[2])
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

	memcpy(&words[0], p, 8);
	memcpy(&words[1], p + 6, 8);
	return &lane->flows[(p[5] ^ p[11]) % FLOWS];
}

static void flow_keep(struct flow *flow, const struct lane *lane, const uint64_t words[2],
		      const struct switch_port *from, struct out *out)
{
	const struct switch_port *to = out->port;
	uint32_t mtu = RTE_MIN(from->policy.mtu, to->policy.mtu);

	if (to->ep->mtu != 0)
		mtu = RTE_MIN(mtu, to->ep->mtu);
	*flow = (struct flow){ lane->burst, { words[0], words[1] }, mtu + FRAME_ETHER_LEN, out };
}

/* A frame whose way is to be found first. */
static enum step frame_route(struct lane *lane, struct switch_port *from, uint16_t i,
			     const struct vring_rest *rest)
{
	struct rte_mbuf *m = &lane->head;
	struct packet p = { .m = m };
	uint64_t words[2];
	struct flow *flow = flow_at(lane, m, words);
	uint32_t sent = m->pkt_len, bytes;
	uint64_t moves = fdb_facts(from->sw->fdb)->moves;
	struct switch_port *to = receiver_find(from, &p);
	bool is_tagged;
	struct out *out;
	enum step step;

	/* A station elsewhere than before: what was kept may rest on where it was. */
	if (fdb_facts(from->sw->fdb)->moves != moves)
		lane->burst++;

	if (to == NULL)
		return STEP_LEFT;
	out = out_find(lane, to, (uint16_t)(lane->in.count - i));
	if (out == NULL)
		return lane->out_count == OUTS ? STEP_AGAIN : STEP_LEFT;
	bytes = m->pkt_len;
	is_tagged = vlan_shows_tag(&to->vlan) && p.tag.tpid != 0;
	/* Neither with a tag, nor one that has lost it. */
	if (m->ol_flags == 0 && p.f.tags == 0 && bytes == sent && !is_tagged && out->is_only &&
	    to->rate_to.rate == 0)
		flow_keep(flow, lane, words, from, out);
	if (is_tagged && frame_push(m, p.tag) < 0)
		return STEP_LEFT;
	step = frame_put(lane, out, rest);
	if (step == STEP_TAKEN)
		bucket_take(&to->rate_to, bytes);
	return step;
}

static enum step frame_move(struct lane *lane, struct switch_port *from, uint16_t i)
{
	struct rte_mbuf *m = head_reset(lane);
	const struct flow *flow;
	struct vring_rest rest;
	uint64_t words[2];
	uint32_t bytes;
	enum step step;

	profile_mark(PROFILE_HEAD);
	if (!vring_head_take(&lane->in, i, m, &rest) || m->data_len < FRAME_ETHER_LEN)
		return STEP_LEFT;
	profile_mark(PROFILE_ROUTE);
	bytes = m->pkt_len;
	flow = flow_at(lane, m, words);
	if (likely(flow->burst == lane->burst && flow->words[0] == words[0] &&
		   flow->words[1] == words[1] && m->ol_flags == 0 && bytes <= flow->most))
		step = frame_put(lane, flow->out, &rest);
	else
		step = frame_route(lane, from, i, &rest);
	if (step == STEP_TAKEN)
		lane->bytes += bytes;
	return step;
}

/* First the sender's: a frame whose receiver has it is never sent again. */
static void burst_end(struct lane *lane, struct switch_port *from, struct vring *ring)
{
	profile_mark(PROFILE_USE);
	vring_look_use(&lane->in);
	profile_mark(PROFILE_TELL);
	from->ep->rings->used(from->ep, ring);
	for (unsigned int i = 0; i < lane->out_count; i++) {
		struct out *out = &lane->outs[i];

		profile_mark(PROFILE_USE);
		vring_look_use(&out->look);
		profile_mark(PROFILE_TELL);
		flow_add(&out->port->counters.to, out->frames, out->bytes);
		out->port->ep->rings->used(out->port->ep, out->look.ring);
	}
}

/* Up to *n frames of one ring; comes back as how many. */
static enum step burst_move(struct lane *lane, struct switch_port *from, struct vring *ring,
			    uint16_t *n)
{
	struct vring_look *in = &lane->in;
	enum step step = STEP_TAKEN;

	lane->burst++;
	lane->out_count = 0;
	lane->bytes = 0;
	profile_mark(PROFILE_LOOK);
	if (vring_look_begin(in, ring, true))
		(void)vring_look_on(in, *n);
	profile_burst(in->count);
	while (in->filled < in->count && step == STEP_TAKEN) {
		step = frame_move(lane, from, in->filled);
		if (step == STEP_TAKEN)
			in->filled++;
	}
	if (step == STEP_TAKEN && in->is_odd)
		step = STEP_LEFT;
	*n = in->filled;
	if (*n == 0) {
		from->ep->rings->used(from->ep, ring);
		return step == STEP_AGAIN ? STEP_LEFT : step;
	}
	flow_add(&from->counters.from, in->filled, lane->bytes);
	bucket_take(&from->rate_from, lane->bytes);
	burst_end(lane, from, ring);
	profile_mark(PROFILE_IDLE);
	return step;
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

// SPDX-License-Identifier: BSD-3-Clause
#include "lane_core.h"

#include "offload.h"
#include "profile.h"

#include <stdlib.h>
#include <sys/random.h>

#ifdef VIADUCT_PMD_PROFILE
__thread struct profile profile;
#endif

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
	lane->is_wide = __builtin_cpu_supports("avx2") != 0;
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

bool receiver_takes(const struct switch_port *to, const struct packet *p)
{
	return to->ep->rings != NULL && to->mirror == NULL && to->batch_count == 0 &&
	       egress_refuses(to, p) == PMD_DROPS && offload_taken(p->m, to->ep->offloads);
}

struct flow flow_read(const struct rte_mbuf *m, uint16_t from)
{
	struct flow flow = { .from = from };

	memcpy(&flow.words[0], rte_pktmbuf_mtod(m, const uint8_t *), 8);
	memcpy(&flow.words[1], rte_pktmbuf_mtod_offset(m, const uint8_t *, 6), 8);
	return flow;
}

void flow_keep(struct lane *lane, struct flow *flow, uint16_t to)
{
	flow->epoch = to == FDB_NOBODY ? lane->epoch_unheard : lane->epoch;
	flow->to = to == FDB_NOBODY ? FDB_WIRE : to;
	*flow_at(lane, flow->words[0], flow->words[1]) = *flow;
}

struct out *out_open(struct lane *lane, struct switch_port *to, struct vring *ring, bool is_only)
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

struct out *out_find(struct lane *lane, struct switch_port *to, const struct rte_mbuf *m,
		     uint16_t frames)
{
	bool is_only = false;
	/* A flow outlasts the beginning of a migration, when a port gives up its rings. */
	struct vring *ring = to->ep->rings == NULL ? NULL
						   : to->ep->rings->receiver(to->ep, m, &is_only);
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

void out_drop(struct out *out)
{
	out->is_full = true;
	counter_add(&out->port->counters.drops[PMD_DROP_RX_FULL], 1);
}

static enum step frame_put(struct out *out, const struct rte_mbuf *m, const struct vring_rest *rest)
{
	switch (out->is_full ? VRING_PUT_FULL : vring_put(&out->look, m, rest)) {
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

enum step ring_put(struct out *out, const struct packet *p, const struct vring_rest *rest)
{
	struct rte_mbuf *m = p->m;
	uint32_t bytes = m->pkt_len;
	enum step step;

	if (vlan_shows_tag(&out->port->vlan) && p->tag.tpid != 0 && frame_push(m, p->tag) < 0)
		return STEP_LEFT;
	step = frame_put(out, m, rest);
	if (step == STEP_TAKEN)
		bucket_take(&out->port->rate_to, bytes);
	return step;
}

void outs_count(const struct lane *lane)
{
	for (unsigned int i = 0; i < lane->out_count; i++) {
		const struct vring_look *look = &lane->outs[i].look;

		if (look->filled != 0)
			flow_add(&lane->outs[i].port->counters.to, look->filled - look->joined,
				 vring_look_bytes(look));
	}
}

void outs_use(struct lane *lane, struct vring_look *in)
{
	struct vring_look *looks[OUTS];

	for (unsigned int i = 0; i < lane->out_count; i++)
		looks[i] = &lane->outs[i].look;
	vring_look_use(in, looks, lane->out_count);
}

void outs_tell(struct lane *lane)
{
	for (unsigned int i = 0; i < lane->out_count; i++) {
		struct endpoint *ep = lane->outs[i].port->ep;

		ep->rings->used(ep, lane->outs[i].look.ring);
	}
}

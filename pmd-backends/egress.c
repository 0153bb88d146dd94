// SPDX-License-Identifier: BSD-3-Clause
/*
 * How a frame leaves: the receiver's limits, its tag, and what the receiver does not do itself (offload.c).
 */
#include "mirror.h"
#include "offload.h"
#include "switch_core.h"

#include <errno.h>

/* Where frames of one packet go: to a guest, or from a port to the wire. */
struct way {
	struct endpoint *ep;
	struct switch_port *port; /* whose batch or queue it is, and whose drops are counted */
	struct switch_uplink *uplink; /* NULL: to the guest */
};

void egress_flush(struct switch_port *to)
{
	uint16_t count = to->batch_count, taken;
	uint64_t bytes = 0;

	if (count == 0)
		return;
	to->batch_count = 0;
	for (uint16_t i = 0; i < count; i++) {
		bytes += rte_pktmbuf_pkt_len(to->batch[i]);
		if (unlikely(to->mirror != NULL))
			mirror_frame(to->mirror, to->batch[i], MIRROR_TO_GUEST, to->sw->now);
	}
	taken = endpoint_is_up(to->ep) ? RTE_MIN(to->ep->ops->send(to->ep, to->batch, count), count)
				       : 0;
	for (uint16_t i = taken; i < count; i++) {
		bytes -= rte_pktmbuf_pkt_len(to->batch[i]);
		port_drop(to, to->batch[i],
			  endpoint_is_up(to->ep) ? PMD_DROP_RX_FULL : PMD_DROP_LINK_DOWN);
	}
	flow_add(&to->counters.to, taken, bytes);
}

static void way_put(const struct way *way, struct rte_mbuf *m)
{
	struct switch_port *port = way->port;

	if ((way->ep->offloads & ENDPOINT_SEGMENTS) == 0 && rte_pktmbuf_linearize(m) < 0) {
		port_drop(port, m, PMD_DROP_NO_MEMORY);
		return;
	}
	if (way->uplink == NULL) {
		port->batch[port->batch_count++] = m;
		if (port->batch_count == SWITCH_BURST)
			egress_flush(port);
		return;
	}
	if (!uplink_queue_has_room(&port->queue))
		uplink_drain(way->uplink);
	if (uplink_queue_has_room(&port->queue))
		uplink_queue_put(&port->queue, m);
	else
		port_drop(port, m, PMD_DROP_UPLINK_FULL);
}

static void way_put_cut(const struct way *way, struct rte_mbuf *m, struct rte_mempool *pool)
{
	struct offload_cut cut;
	struct rte_mbuf *seg;
	int r;

	offload_cut(&cut, m, pool);
	while ((seg = offload_next(&cut, &r)) != NULL) {
		if (!offload_taken(seg, way->ep->offloads))
			offload_finish(seg);
		way_put(way, seg);
	}
	if (r < 0)
		port_drop(way->port, m, PMD_DROP_NO_MEMORY);
	else
		rte_pktmbuf_free(m);
}

/* Puts the tag on, does what the endpoint does not take, and lines the frame up. */
static void way_take(const struct way *way, const struct packet *p, bool with_tag)
{
	struct rte_mbuf *m = p->m;

	if (with_tag && p->tag.tpid != 0 && frame_push(m, p->tag) < 0) {
		port_drop(way->port, m, PMD_DROP_NO_MEMORY);
		return;
	}
	if (offload_taken(m, way->ep->offloads)) {
		way_put(way, m);
	} else if (offload_is_tso(m)) {
		way_put_cut(way, m, way->port->sw->pool);
	} else {
		offload_finish(m);
		way_put(way, m);
	}
}

static bool fits(const struct packet *p, const struct endpoint *ep)
{
	return ep->mtu == 0 || offload_largest(p->m, &p->f) <= ep->mtu;
}

enum pmd_drop egress_refuses(const struct switch_port *to, const struct packet *p)
{
	if (!endpoint_is_up(to->ep) || to->policy.link == POLICY_LINK_DOWN)
		return PMD_DROP_LINK_DOWN;
	if (!vlan_has(&to->vlan, p->vlan) || !vlan_fits(&to->vlan, &p->f))
		return PMD_DROP_VLAN;
	if (offload_largest(p->m, &p->f) > to->policy.mtu || !fits(p, to->ep))
		return PMD_DROP_OVERSIZE;
	return bucket_has(&to->rate_to) ? PMD_DROPS : PMD_DROP_RATE;
}

void egress_port(struct switch_port *to, struct packet *p)
{
	const struct way way = { .ep = to->ep, .port = to };
	enum pmd_drop reason = egress_refuses(to, p);

	if (reason != PMD_DROPS) {
		port_drop(to, p->m, reason);
		return;
	}
	bucket_take(&to->rate_to, rte_pktmbuf_pkt_len(p->m));
	way_take(&way, p, vlan_shows_tag(&to->vlan));
}

void egress_uplink(struct switch_uplink *to, struct switch_port *from, struct packet *p)
{
	const struct way way = { .ep = to->ep, .port = from, .uplink = to };

	if (!fits(p, to->ep))
		port_drop(from, p->m, PMD_DROP_OVERSIZE);
	else
		way_take(&way, p, true);
}

void egress_uplink_plain(struct switch_uplink *to, struct switch_port *from, struct rte_mbuf *m)
{
	const struct way way = { .ep = to->ep, .port = from, .uplink = to };

	way_put(&way, m);
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * A round of the switch: what each endpoint received is checked against its policy and goes where its address is.
 * IEEE 802.1Q-2018, 8.6.
 */
#include "lane.h"
#include "mirror.h"
#include "offload.h"
#include "switch_core.h"

#include <rte_prefetch.h>

#include <errno.h>

#define RESERVED_LAST 0x0F

/* IEEE 802.1Q-2018, table 8-1: addresses that end at the bridge. */
static bool is_reserved(const uint8_t mac[6])
{
	static const uint8_t first[5] = { 0x01, 0x80, 0xC2, 0x00, 0x00 };

	return memcmp(mac, first, sizeof(first)) == 0 && mac[5] <= RESERVED_LAST;
}

/* Pause and the like: between a station and its bridge, whoever is trusted. */
static bool is_mac_control(const uint8_t mac[6])
{
	return is_reserved(mac) && mac[5] == 1;
}

static bool is_own_source(const struct switch_port *port, const uint8_t mac[6])
{
	for (unsigned int i = 0; i < port->policy.mac_count; i++)
		if (memcmp(port->policy.macs[i], mac, 6) == 0)
			return true;
	return false;
}

/* Where a frame came from: one of the two. */
struct source {
	struct switch_port *port;
	struct switch_uplink *uplink;
	uint16_t owner;
};

static bool port_wants_group(const struct switch_port *port, const struct packet *p)
{
	return endpoint_is_up(port->ep) && port->policy.link != POLICY_LINK_DOWN &&
	       vlan_has(&port->vlan, p->vlan) && vlan_fits(&port->vlan, &p->f);
}

static void out(const struct source *from, struct switch_port *port, struct packet *p)
{
	struct l2_switch *sw = from->port ? from->port->sw : from->uplink->sw;

	if (port)
		egress_port(port, p);
	else
		egress_uplink(sw->active, from->port, p);
}

/* A copy for another receiver; each may change its own. */
static void out_copy(const struct source *from, struct switch_port *port, const struct packet *p)
{
	struct l2_switch *sw = from->port ? from->port->sw : from->uplink->sw;
	struct packet copy = *p;

	copy.m = rte_pktmbuf_copy(p->m, sw->pool, 0, UINT32_MAX);
	if (copy.m)
		out(from, port, &copy);
	else if (port)
		counter_add(&port->counters.drops[PMD_DROP_NO_MEMORY], 1);
	else
		counter_add(&from->port->counters.drops[PMD_DROP_NO_MEMORY], 1);
}

/* To all who want it (unknown stations, and what other bridges drop: only those with trust promisc), and to the wire. */
static void flood(struct l2_switch *sw, const struct source *from, struct packet *p, bool all)
{
	bool wire = from->port != NULL && sw->active != NULL;
	struct switch_port *last = NULL;

	for (uint32_t i = 0; i < sw->port_end; i++) {
		struct switch_port *port = sw->ports[i];

		if (!port || port == from->port || !port_wants_group(port, p) ||
		    !(all || port->policy.trust == POLICY_TRUST_PROMISC))
			continue;
		if (last)
			out_copy(from, last, p);
		last = port;
	}
	if (last && wire)
		out_copy(from, last, p);
	if (wire)
		out(from, NULL, p);
	else if (last)
		out(from, last, p);
	else
		rte_pktmbuf_free(p->m);
}

static void forward(struct l2_switch *sw, const struct source *from, struct packet *p)
{
	uint16_t owner;

	if (frame_is_group(p->f.dst)) {
		flood(sw, from, p, !is_reserved(p->f.dst));
		return;
	}
	owner = fdb_find(sw->fdb, p->f.dst, p->vlan);
	if (owner == FDB_NOBODY) {
		flood(sw, from, p, false);
	} else if (owner == from->owner) {
		rte_pktmbuf_free(p->m); /* the station has seen it, or the wire has */
	} else if (owner != FDB_WIRE) {
		egress_port(sw->ports[owner], p);
	} else if (sw->active) {
		egress_uplink(sw->active, from->port, p);
	} else {
		port_drop(from->port, p->m, PMD_DROP_LINK_DOWN);
	}
}

enum pmd_drop port_admit(struct switch_port *port, struct packet *p)
{
	bool group;
	int r;

	if (port->policy.link == POLICY_LINK_DOWN)
		return PMD_DROP_LINK_DOWN;
	if (frame_read(p->m, &p->f) < 0 || frame_is_group(p->f.src))
		return PMD_DROP_MALFORMED;
	if (port->policy.spoofchk && !is_own_source(port, p->f.src))
		return PMD_DROP_SPOOFED;
	if (offload_read(p->m, &p->f) < 0)
		return PMD_DROP_MALFORMED;
	r = vlan_from_guest(&port->vlan, p->m, &p->f, &p->tag);
	if (r < 0)
		return r == -EPERM ? PMD_DROP_VLAN : PMD_DROP_MALFORMED;
	p->vlan = vlan_key(p->tag);
	if (offload_largest(p->m, &p->f) > port->policy.mtu)
		return PMD_DROP_OVERSIZE;
	group = frame_is_group(p->f.dst);
	if (group && is_reserved(p->f.dst) &&
	    (port->policy.trust != POLICY_TRUST_PROMISC || is_mac_control(p->f.dst)))
		return PMD_DROP_RESERVED;
	if (group && !bucket_has(&port->storm))
		return PMD_DROP_STORM;
	if (group)
		bucket_take(&port->storm, 1);
	return PMD_DROPS;
}

/* A frame that has been counted. */
static void port_frame(struct l2_switch *sw, struct switch_port *port, struct rte_mbuf *m)
{
	const struct source from = { .port = port, .owner = port->owner };
	struct packet p = { .m = m };
	enum pmd_drop reason = port_admit(port, &p);

	if (reason != PMD_DROPS) {
		port_drop(port, m, reason);
		return;
	}
	port_learn(port, &p);
	forward(sw, &from, &p);
}

/* The wire is not policed by a port's policy: only what nobody could have sent is dropped. False: it was. */
static bool uplink_admit(struct switch_uplink *uplink, struct packet *p)
{
	struct l2_switch *sw = uplink->sw;
	enum pmd_drop reason = PMD_DROPS;

	if (frame_read(p->m, &p->f) < 0 || frame_is_group(p->f.src) ||
	    vlan_from_wire(p->m, &p->f, &p->tag) < 0 || offload_read(p->m, &p->f) < 0)
		reason = PMD_DROP_MALFORMED;
	else if (is_mac_control(p->f.dst))
		reason = PMD_DROP_RESERVED;
	if (reason != PMD_DROPS) {
		counter_add(&uplink->counters.drops[reason], 1);
		rte_pktmbuf_free(p->m);
		return false;
	}
	p->vlan = vlan_key(p->tag);
	fdb_learn(sw->fdb, p->f.src, p->vlan, FDB_WIRE, sw->now_s);
	return true;
}

static uint16_t burst_receive(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t count = ep->ops->receive(ep, frames, n);

	for (uint16_t i = 0; i < count; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], void *));
	return count;
}

/*
 * How many frames to ask a guest for. One with a rate is held back, not dropped: its ring fills, and its own queueing
 * sees a slower device, as with a VF. A frame may be a whole TSO of 64 KiB.
 */
static uint16_t port_quota(struct switch_port *port)
{
	if (port->rate_from.rate == 0)
		return SWITCH_BURST;
	bucket_refill(&port->rate_from, port->sw->now);
	if (!bucket_has(&port->rate_from))
		return 0;
	return (uint16_t)RTE_MIN(1 + bucket_level(&port->rate_from) / UINT16_MAX,
				 (uint64_t)SWITCH_BURST);
}

/* The long way. */
static uint16_t port_burst(struct l2_switch *sw, struct switch_port *port, uint16_t n)
{
	struct rte_mbuf *frames[SWITCH_BURST];
	uint16_t count = burst_receive(port->ep, frames, n);

	for (uint16_t i = 0; i < count; i++) {
		uint32_t bytes = rte_pktmbuf_pkt_len(frames[i]);

		flow_add(&port->counters.from, 1, bytes);
		bucket_take(&port->rate_from, bytes);
		if (unlikely(port->mirror != NULL))
			mirror_frame(port->mirror, frames[i], MIRROR_FROM_GUEST, sw->now);
		port_frame(sw, port, frames[i]);
	}
	return count;
}

static uint32_t port_poll(struct l2_switch *sw, struct switch_port *port)
{
	struct lane_left left;
	uint16_t quota, done = 0;

	if (!endpoint_is_up(port->ep))
		return 0;
	if (port->rate_to.rate != 0)
		bucket_refill(&port->rate_to, sw->now);
	if (port->storm.rate != 0)
		bucket_refill(&port->storm, sw->now);
	left.is_more = true;
	left.count = 0;
	quota = port_quota(port);
	if (port->ep->rings != NULL && port->mirror == NULL)
		done = lane_poll(sw->lane, port, quota, &left);
	for (uint16_t i = 0; i < left.count; i++) {
		if (left.frames[i].is_for_wire)
			egress_uplink_plain(sw->active, port, left.frames[i].m);
		else
			port_frame(sw, port, left.frames[i].m);
	}
	if (left.is_more && done < quota)
		done = (uint16_t)(done + port_burst(sw, port, (uint16_t)(quota - done)));
	return done;
}

/* What the lane knows goes from buffer to buffer at once; the rest is looked at, and what is not the lane's goes on last. */
static void uplink_burst(struct switch_uplink *uplink, struct rte_mbuf **frames, uint16_t count)
{
	const struct source from = { .uplink = uplink, .owner = FDB_WIRE };
	struct packet left[SWITCH_BURST];
	struct l2_switch *sw = uplink->sw;
	uint16_t left_count = 0, done = 0;

	lane_wire_begin(sw->lane, sw);
	for (uint16_t i = 0; i < count; i++) {
		struct packet *p = &left[left_count];
		uint32_t bytes = rte_pktmbuf_pkt_len(frames[i]);

		if (likely(lane_wire_known(sw->lane, sw, frames[i]))) {
			frames[done++] = frames[i];
			continue;
		}
		*p = (struct packet){ .m = frames[i] };
		if (!uplink_admit(uplink, p))
			continue;
		if (lane_wire_route(sw->lane, sw, p, bytes))
			frames[done++] = frames[i];
		else
			left_count++;
	}
	lane_wire_end(sw->lane);
	rte_pktmbuf_free_bulk(frames, done);
	for (uint16_t i = 0; i < left_count; i++)
		forward(sw, &from, &left[i]);
}

static uint32_t uplink_poll(struct l2_switch *sw, struct switch_uplink *uplink)
{
	struct rte_mbuf *frames[SWITCH_BURST];
	uint64_t bytes = 0;
	uint16_t count;

	if (!endpoint_is_up(uplink->ep))
		return 0;
	count = burst_receive(uplink->ep, frames, SWITCH_BURST);
	if (count == 0)
		return 0;
	for (uint16_t i = 0; i < count; i++)
		bytes += rte_pktmbuf_pkt_len(frames[i]);
	flow_add(&uplink->counters.from, count, bytes);
	if (uplink == sw->active)
		uplink_burst(uplink, frames, count);
	else
		rte_pktmbuf_free_bulk(frames, count); /* the one that carries has them, too */
	return count;
}

/*
 * The first with a link. What waits for the one before is not sent later: it would be old, and was made ready for what
 * that one takes.
 */
static void active_pick(struct l2_switch *sw)
{
	struct switch_uplink *active = NULL;

	for (uint32_t i = 0; i < sw->uplink_count && !active; i++)
		if (endpoint_is_up(sw->uplinks[i]->ep))
			active = sw->uplinks[i];
	if (active == sw->active)
		return;
	/* Release: pairs with the acquire in switch_uplink_active(). */
	__atomic_store_n(&sw->active, active, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < sw->port_end; i++)
		if (sw->ports[i])
			counter_add(&sw->ports[i]->counters.drops[PMD_DROP_LINK_DOWN],
				    uplink_queue_clear(&sw->ports[i]->queue));
}

static void time_pass(struct l2_switch *sw, uint64_t now)
{
	sw->now = now;
	if (now < sw->age_next)
		return;
	sw->age_next = now + sw->hz / FDB_AGE_SLICES;
	sw->now_s = (uint32_t)(now / sw->hz);
	fdb_age(sw->fdb, sw->now_s);
}

uint32_t switch_poll(struct l2_switch *sw, uint64_t now)
{
	uint32_t received = 0;

	time_pass(sw, now);
	active_pick(sw);
	for (uint32_t i = 0; i < sw->port_end; i++)
		if (sw->ports[i])
			received += port_poll(sw, sw->ports[i]);
	for (uint32_t i = 0; i < sw->uplink_count; i++)
		received += uplink_poll(sw, sw->uplinks[i]);
	for (uint32_t i = 0; i < sw->port_end; i++)
		if (sw->ports[i])
			egress_flush(sw->ports[i]);
	if (sw->active)
		uplink_drain(sw->active);
	return received;
}

uint32_t switch_wait_ms(const struct l2_switch *sw, uint32_t most)
{
	uint64_t ms = most;

	for (uint32_t i = 0; i < sw->port_end; i++) {
		const struct switch_port *port = sw->ports[i];

		if (!port)
			continue;
		if (uplink_queue_count(&port->queue) != 0)
			return RTE_MIN(1U, most);
		if (!bucket_has(&port->rate_from))
			ms = RTE_MIN(ms, bucket_wait(&port->rate_from) * 1000 / sw->hz + 1);
	}
	return (uint32_t)ms;
}

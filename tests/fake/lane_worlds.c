// SPDX-License-Identifier: BSD-3-Clause
#include "lane_worlds.h"

#include "lane_frames.h"
#include "ring_driver.h"

#include "base/util.h"

#include <rte_mbuf.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD	  3
#define WORLDS	  2
#define IDS	  64U
#define SLOT	  KIB(72) /* memory of a buffer */
#define SEAM	  (RING_BUFFERS + 5 * SLOT + 1000) /* in the middle of one */
#define REGION	  0x8000 /* in flight */
#define RINGS_END (RING_TABLES + IDS * 16 * 16) /* of rings, region, and tables of 16 descriptors */
#define LOG	  MIB(2) /* what a guest receives in a run */
#define STEPS	  400
#define LOGS	  (2 * LANE_SENDERS) /* of each sender, for groups and for one station */
#define IN_LIST	  256U

struct side {
	struct ring_guest guest;
	struct ring_driver d;
	struct vring ring;
	uint32_t bytes[IDS];
};

struct world;

struct log {
	uint32_t len;
	uint8_t bytes[LOG];
};

struct guest {
	struct endpoint ep; /* first */
	struct side tx, rx;
	struct switch_port *port;
	const struct world *world;
	uint64_t seq;
	uint64_t long_way;
	/* Of each sender, since only the order of one's frames is promised. Its own, of one station: what came back of its ring. */
	struct log logs[LOGS];
};

struct wire {
	struct endpoint ep; /* first */
	struct switch_uplink *uplink;
	uint64_t seq;
	uint32_t in_count;
	struct rte_mbuf *in[IN_LIST];
	struct log logs[LANE_SENDERS];
};

struct world {
	struct l2_switch *sw;
	uint64_t now;
	struct guest guests[LANE_GUESTS];
	struct wire wire;
};

static struct world *worlds[WORLDS];
static bool is_hostile, is_spoilt;
static bool is_plain; /* frames are as most frames are */
static bool has_wire;
static bool is_stepwise; /* the switch has its turn after each frame */

static void need(bool fact, const char *what)
{
	if (!fact) {
		fprintf(stderr, "lane_worlds: %s\n", what);
		abort();
	}
}

/* Endpoints */

static uint16_t guest_receive(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct guest *g = (struct guest *)ep;
	uint16_t got = vring_dequeue(&g->tx.ring, ring_pool(), frames, n);

	(void)vring_wants_call(&g->tx.ring);
	g->long_way += got;
	return got;
}

static uint16_t guest_send(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct guest *g = (struct guest *)ep;
	uint16_t took = vring_enqueue(&g->rx.ring, frames, n);

	(void)vring_wants_call(&g->rx.ring);
	rte_pktmbuf_free_bulk(frames, took);
	return took;
}

static unsigned int guest_senders(struct endpoint *ep, struct vring **rings)
{
	rings[0] = &((struct guest *)ep)->tx.ring;
	return 1;
}

static struct vring *guest_receiver(struct endpoint *ep, const struct rte_mbuf *m, bool *is_only)
{
	need(m == NULL || m->data_len >= 14, "a frame shorter than its header");
	*is_only = true;
	return &((struct guest *)ep)->rx.ring;
}

static void guest_used(struct endpoint *ep, struct vring *ring)
{
	(void)vring_wants_call(ring);
}

static const struct endpoint_ops ops = { guest_receive, guest_send };

static void log_add(struct log *log, const void *bytes, uint32_t len)
{
	len = (uint32_t)u64_min(len, LOG - log->len);
	memcpy(log->bytes + log->len, bytes, len);
	log->len += len;
}

static uint16_t wire_receive(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct wire *w = (struct wire *)ep;
	uint16_t count = (uint16_t)u64_min(n, w->in_count);

	memcpy(frames, w->in, count * sizeof(frames[0]));
	w->in_count -= count;
	memmove(w->in, w->in + count, w->in_count * sizeof(w->in[0]));
	return count;
}

/* Whatever is out of the reach of a frame's head goes to nobody's log. */
static uint16_t wire_send(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct wire *w = (struct wire *)ep;

	for (uint16_t i = 0; i < n; i++) {
		const struct rte_mbuf *m = frames[i];
		struct log *log = NULL;
		uint64_t word = m->pkt_len | (m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK);

		if (m->data_len > LANE_SENDER_AT + 4)
			log = &w->logs[lane_sender_of(rte_pktmbuf_mtod(m, const uint8_t *))];
		if (log != NULL)
			log_add(log, &word, sizeof(word));
		for (; m != NULL && log != NULL; m = m->next)
			log_add(log, rte_pktmbuf_mtod(m, const void *), m->data_len);
		rte_pktmbuf_free(frames[i]);
	}
	return n;
}

static const struct endpoint_ops wire_ops = { wire_receive, wire_send };
static const struct endpoint_rings rings = { guest_senders, guest_receiver, guest_used };

/* Life */

static void side_start(struct side *s, uint64_t features, uint32_t size, bool has_region)
{
	uint32_t len = 1;
	struct vring_start start = { .base = 0x80008000, .memory = &s->guest.memory };

	if (s->guest.at == NULL)
		ring_guest_create(&s->guest, SEAM);
	memset(s->guest.at, 0, RINGS_END);
	ring_driver_init(&s->d, s->guest.at, size, features);
	start.place = ring_place(&s->d);
	start.features = s->d.features;
	if (has_region)
		start.inflight = guest_at(&s->guest.memory, REGION, &len);
	need(vring_start(&s->ring, &start, NULL) == 0, "a ring does not start");
}

static uint64_t features_of(uint8_t bits, unsigned int guest)
{
	const uint64_t offloads = BIT_ULL(VIRTIO_NET_F_CSUM) | BIT_ULL(VIRTIO_NET_F_HOST_TSO4);
	const uint64_t taken = BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO4);
	uint64_t f = 0;

	f |= (bits & LANE_PACKED) != 0 ? BIT_ULL(VIRTIO_F_RING_PACKED) : 0;
	f |= (bits & LANE_MERGED) != 0 ? BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) : 0;
	f |= (bits & LANE_EVENTS) != 0 ? BIT_ULL(VIRTIO_RING_F_EVENT_IDX) : 0;
	f |= (bits & LANE_INDIRECT) != 0 ? BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	f |= (bits & LANE_OFFLOADS) != 0 ? offloads : 0;
	if ((bits & LANE_OFFLOADS) != 0 && !((bits & LANE_FEWER) != 0 && guest == 0))
		f |= taken;
	return f;
}

static uint32_t offloads_of(uint64_t features)
{
	return ENDPOINT_SEGMENTS |
	       ((features & BIT_ULL(VIRTIO_NET_F_GUEST_CSUM)) != 0 ? ENDPOINT_CSUM | ENDPOINT_TSO4
								   : 0);
}

/* Bits: 0-1: guest 1 in a VLAN as guest 2 or not, 2: learning, 3: guest 0 has a trunk. */
static struct policy policy_of(uint8_t bits, unsigned int guest)
{
	struct policy p = { .mac_count = 1, .vlan_tpid = 0x8100, .mtu = 9000, .spoofchk = true };

	p.macs[0][0] = 2;
	p.macs[0][LANE_MAC_LAST] = (uint8_t)guest;
	if ((bits & BIT(2)) != 0)
		p.spoofchk = false;
	if ((bits & BIT(0)) != 0 && guest > 0) {
		p.vlan = POLICY_VLAN_ACCESS;
		p.vlan_count = 1;
		p.vlan_ids[0] = (bits & BIT(1)) != 0 && guest == 2 ? 8 : 7;
	} else if ((bits & BIT(3)) != 0 && guest == 0) {
		p.vlan = POLICY_VLAN_TRUNK;
		p.vlan_count = 2;
		p.vlan_ids[0] = 7;
		p.vlan_ids[1] = 8;
	}
	return p;
}

static void guest_start(struct world *w, unsigned int i, const uint8_t *data, bool has_lane)
{
	struct guest *g = &w->guests[i];
	uint64_t features = features_of(data[0], i);
	struct policy policy = policy_of(data[2], i);
	struct switch_port_config cfg = { .name = "vm/a", .ep = &g->ep, .policy = &policy };
	bool has_region = (data[0] & LANE_INFLIGHT) != 0;

	side_start(&g->tx, features, BIT(2 + data[1] % 5), has_region);
	side_start(&g->rx, features, BIT(2 + data[1] / 5 % 5), has_region);
	g->ep = (struct endpoint){ .ops = &ops,
				   .rings = has_lane ? &rings : NULL,
				   .offloads = offloads_of(features),
				   .link_up = true };
	g->world = w;
	g->seq = g->long_way = 0;
	for (unsigned int k = 0; k < LOGS; k++)
		g->logs[k].len = 0;
	need(switch_port_add(w->sw, &cfg, &g->port, NULL) == 0, "no port");
}

static void wire_start(struct world *w, bool takes_offloads)
{
	w->wire.ep = (struct endpoint){
		.ops = &wire_ops,
		.offloads = ENDPOINT_SEGMENTS |
			    (takes_offloads ? ENDPOINT_CSUM | ENDPOINT_TSO4 : 0),
		.mtu = 9000,
		.link_up = true,
	};
	w->wire.seq = 0;
	w->wire.in_count = 0;
	for (unsigned int k = 0; k < LANE_SENDERS; k++)
		w->wire.logs[k].len = 0;
	need(switch_uplink_add(w->sw, "wire", &w->wire.ep, &w->wire.uplink, NULL) == 0,
	     "no uplink");
}

static void world_start(struct world **at, const uint8_t *data, bool has_lane)
{
	struct switch_config cfg = { .name = "net", .hz = 1000000000, .pool = ring_pool() };
	struct world *w = *at;

	if (w == NULL)
		w = *at = calloc(1, sizeof(*w));
	need(w != NULL && switch_create(&cfg, &w->sw, NULL) == 0, "no switch");
	w->now = 1000000000;
	for (unsigned int i = 0; i < LANE_GUESTS; i++)
		guest_start(w, i, data, has_lane);
	if (has_wire)
		wire_start(w, (data[0] & LANE_OFFLOADS) != 0);
}

/* What guests do */

static uint64_t slot(uint16_t id)
{
	return RING_BUFFERS + (uint64_t)id * SLOT;
}

static int buffer_offer(struct side *s, uint32_t bytes, uint8_t pieces, bool is_write)
{
	uint16_t id = s->d.id_count == 0 ? 0 : s->d.free_ids[s->d.id_count - 1];
	bool is_table = (pieces & 8) != 0 &&
			(s->d.features & BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
	struct ring_piece list[4];
	uint32_t count = 1 + (pieces & 3), at = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = i + 1 == count ? bytes - at : bytes / (count + 3);

		/* A header alone, as many drivers have it. */
		if (i == 0 && count > 1 && (pieces & 4) != 0)
			len = RING_HEADER;
		list[i] = (struct ring_piece){ slot(id) + at, len };
		at += len;
	}
	if (ring_offer(&s->d, list, count, is_write, is_table ? RING_INDIRECT : RING_DIRECT) < 0)
		return -1;
	s->bytes[id] = bytes;
	return id;
}

static void guest_sends(struct guest *g, const uint8_t *what, unsigned int who)
{
	uint16_t id = g->tx.d.id_count == 0 ? 0 : g->tx.d.free_ids[g->tx.d.id_count - 1];
	uint8_t *p = g->tx.guest.at + slot(id), b[6];
	uint32_t len;

	if (g->tx.d.free_count < 4 || g->tx.d.id_count < 4)
		return;
	memcpy(b, what, sizeof(b));
	if (is_plain) {
		b[0] = (uint8_t)((who + 1 + b[0] % (has_wire ? 3 : 2)) %
					 (has_wire ? LANE_SENDERS : LANE_GUESTS)
				 << 6);
		b[3] &= 7;
		b[4] = b[4] % 3 | 0x80;
	}
	len = lane_frame_make(p + RING_HEADER, g->seq++, b, who);
	lane_header_make(p, b, len);
	(void)buffer_offer(&g->tx, RING_HEADER + len, b[5], false);
}

/* With flags as drivers have them. In pieces, if it is long. */
static void wire_sends(struct wire *w, const uint8_t *what)
{
	static uint8_t frame[LANE_FRAME_MOST + 100];
	struct rte_mbuf *m = rte_pktmbuf_alloc(ring_pool()), *last = m;
	uint32_t len, at = 0;

	if (m == NULL || w->in_count == IN_LIST) {
		rte_pktmbuf_free(m);
		return;
	}
	len = (uint32_t)u64_min(lane_frame_make(frame, w->seq++, what, LANE_WIRE), 9018);
	while (at < len) {
		uint16_t part = (uint16_t)u64_min(len - at, rte_pktmbuf_tailroom(last));
		struct rte_mbuf *next;

		memcpy(rte_pktmbuf_append(m, part), frame + at, part);
		at += part;
		next = at < len ? rte_pktmbuf_alloc(ring_pool()) : NULL;
		if (next == NULL)
			break;
		need(rte_pktmbuf_chain(m, next) == 0, "no chain");
		last = next;
	}
	m->ol_flags |= (what[4] & 3) == 1 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
	m->ol_flags |= (what[4] & 7) == 2 ? RTE_MBUF_F_RX_L4_CKSUM_NONE : 0;
	if ((what[4] & 0x1C) == 0x1C) {
		m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
		m->vlan_tci = 7 + what[5] % 3;
	}
	w->in[w->in_count++] = m;
}

static void guest_refills(struct guest *g, uint8_t layout)
{
	static const uint32_t sizes[] = { 1600, 2060, 300, 70000 };

	while (buffer_offer(&g->rx, sizes[layout & 3], layout >> 2, true) >= 0)
		;
}

/* All buffers of one frame. False: there is none. */
static bool frame_reap(struct guest *g)
{
	uint32_t len = 0, left = 1;
	struct log *log = NULL;
	uint16_t id = 0;

	for (bool is_first = true; left > 0; left--, is_first = false) {
		const uint8_t *p;

		if (!ring_reap(&g->rx.d, &id, &len)) {
			need(is_first, "a part of a frame");
			return false;
		}
		need(len <= g->rx.bytes[id], "more was written than there was room for");
		p = g->rx.guest.at + slot(id);
		if (is_first && len > RING_HEADER + LANE_SENDER_AT + 4) {
			log = &g->logs[lane_sender_of(p + RING_HEADER) +
				       ((p[RING_HEADER] & 1) != 0 ? LANE_SENDERS : 0)];
			left = (g->rx.d.features & BIT_ULL(VIRTIO_NET_F_MRG_RXBUF)) != 0
				       ? get_le16(p + 10)
				       : 1;
		}
		if (log != NULL) {
			log_add(log, &len, sizeof(len));
			log_add(log, p, len);
		}
	}
	return true;
}

static void guest_reaps(struct guest *g)
{
	uint32_t len;
	uint16_t id;

	while (ring_reap(&g->tx.d, &id, &len))
		log_add(&g->logs[g - g->world->guests], &id, sizeof(id));
	while (frame_reap(g))
		;
}

static void anything_written(struct guest *g, const uint8_t *b, size_t len)
{
	struct side *s = (b[0] & 1) != 0 ? &g->tx : &g->rx;
	uint64_t at = get_le32(b + 1) % ((b[0] & 2) != 0 ? RING_TABLES : GUEST_BYTES);

	memcpy(s->guest.at + at, b + 5, u64_min(len, GUEST_BYTES - at));
}

/* What is the same in both */

static void compare_wire(struct lane_worlds_facts *out)
{
	const struct wire *a = &worlds[0]->wire, *b = &worlds[1]->wire;
	struct switch_counters with, without;

	switch_uplink_counters(a->uplink, &with);
	switch_uplink_counters(b->uplink, &without);
	out->to_wire += with.to.packets;
	out->from_wire += with.from.packets;
	need(memcmp(&with, &without, sizeof(with)) == 0, "the uplink's counters differ");
	for (unsigned int k = 0; k < LANE_SENDERS; k++)
		need(a->logs[k].len == b->logs[k].len &&
			     memcmp(a->logs[k].bytes, b->logs[k].bytes, a->logs[k].len) == 0,
		     "the wire sees something else");
}

static void compare_guest(unsigned int i)
{
	const struct guest *a = &worlds[0]->guests[i], *b = &worlds[1]->guests[i];

	for (unsigned int k = 0; k < LOGS; k++)
		need(a->logs[k].len == b->logs[k].len &&
			     memcmp(a->logs[k].bytes, b->logs[k].bytes, a->logs[k].len) == 0,
		     "a guest sees something else");
	need(memcmp(&a->tx.ring.counters, &b->tx.ring.counters, sizeof(a->tx.ring.counters)) == 0 &&
		     memcmp(&a->rx.ring.counters, &b->rx.ring.counters,
			    sizeof(a->rx.ring.counters)) == 0,
	     "the rings' counters differ");
	need(a->tx.ring.broken == NULL && a->rx.ring.broken == NULL, "a ring broke");
}

static void compare(struct lane_worlds_facts *out)
{
	struct switch_counters with[LANE_GUESTS], without[LANE_GUESTS];

	for (unsigned int i = 0; i < LANE_GUESTS; i++) {
		switch_port_counters(worlds[0]->guests[i].port, &with[i]);
		switch_port_counters(worlds[1]->guests[i].port, &without[i]);
		out->long_way += worlds[0]->guests[i].long_way;
		out->short_way += with[i].from.packets - worlds[0]->guests[i].long_way;
		out->received += with[i].to.packets;
		out->full += with[i].drops[PMD_DROP_RX_FULL] + without[i].drops[PMD_DROP_RX_FULL];
	}
	/* Which frames are dropped depends on when the batch of the long way is handed over. */
	if (out->full != 0)
		return;
	need(memcmp(with, without, sizeof(with)) == 0, "the counters differ");
	for (unsigned int i = 0; i < LANE_GUESTS; i++)
		compare_guest(i);
	if (has_wire)
		compare_wire(out);
}

static void world_turn(struct world *w, uint8_t layout)
{
	for (unsigned int k = 0; k < LANE_GUESTS; k++)
		guest_refills(&w->guests[k], layout);
	(void)switch_poll(w->sw, w->now++);
	for (unsigned int k = 0; k < LANE_GUESTS && !is_spoilt; k++)
		guest_reaps(&w->guests[k]);
}

/* One step; how many bytes it was, 0: the input is over. */
static size_t step(const uint8_t *data, size_t left, uint8_t layout)
{
	unsigned int who;
	size_t len = 8;

	if (left < 8)
		return 0;
	who = data[0] / 8 % LANE_GUESTS;
	for (unsigned int i = 0; i < WORLDS; i++) {
		struct world *w = worlds[i];
		bool has_turn = is_stepwise;

		if (data[0] % 8 == 4 && has_wire) {
			wire_sends(&w->wire, data + 1);
		} else if (data[0] % 8 < 5) {
			guest_sends(&w->guests[who], data + 1, who);
		} else if (data[0] % 8 == 5 && is_hostile) {
			len = 8 + u64_min(data[7] % 32, left - 8);
			is_spoilt = true;
			anything_written(&w->guests[who], data + 1, len - 6);
		} else {
			has_turn = true;
		}
		if (has_turn)
			world_turn(w, (uint8_t)(layout + (is_hostile ? data[2] : 0)));
	}
	return len;
}

void lane_worlds_run(const uint8_t *data, size_t size, struct lane_worlds_facts *out)
{
	size_t at = HEAD, more = 1;

	*out = (struct lane_worlds_facts){ 0 };
	if (size < HEAD)
		return;
	is_hostile = (data[0] & LANE_HOSTILE) != 0;
	is_spoilt = false;
	is_plain = (data[2] & BIT(4)) != 0;
	has_wire = (data[2] & BIT(5)) != 0;
	is_stepwise = (data[2] & BIT(6)) != 0;
	lane_sources_are_own = has_wire && !is_stepwise && (data[2] & BIT(2)) != 0;
	for (unsigned int i = 0; i < WORLDS; i++)
		world_start(&worlds[i], data, i == 0);
	for (unsigned int i = 0; i < STEPS && more > 0 && at < size; i++, at += more)
		more = step(data + at, size - at, data[1] / 25);
	if (!is_hostile)
		compare(out);
	for (unsigned int i = 0; i < WORLDS; i++) {
		rte_pktmbuf_free_bulk(worlds[i]->wire.in, worlds[i]->wire.in_count);
		worlds[i]->wire.in_count = 0;
		switch_destroy(worlds[i]->sw);
	}
	need(rte_mempool_in_use_count(ring_pool()) == 0, "an mbuf was lost");
}

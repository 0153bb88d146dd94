// SPDX-License-Identifier: BSD-3-Clause
#include "lane_worlds.h"

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
#define SENDER_AT 28 /* part of the IPv4 source */
#define TCP_AT	  34
#define PAYLOAD	  54
#define MOST	  65000U
#define MAC_LAST  5

struct side {
	struct ring_guest guest;
	struct ring_driver d;
	struct vring ring;
	uint32_t bytes[IDS];
};

struct world;

struct guest {
	struct endpoint ep; /* first */
	struct side tx, rx;
	struct switch_port *port;
	const struct world *world;
	uint64_t seq;
	uint64_t long_way;
	/* Of each sender, since only the order of one's frames is promised. Its own: what came back of its ring. */
	struct log {
		uint32_t len;
		uint8_t bytes[LOG];
	} logs[LANE_GUESTS];
};

struct world {
	struct l2_switch *sw;
	uint64_t now;
	struct guest guests[LANE_GUESTS];
};

static struct world *worlds[WORLDS];
static bool is_hostile, is_spoilt;
static bool is_plain; /* frames are as most frames are */

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
	p.macs[0][MAC_LAST] = (uint8_t)guest;
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
	for (unsigned int k = 0; k < LANE_GUESTS; k++)
		g->logs[k].len = 0;
	need(switch_port_add(w->sw, &cfg, &g->port, NULL) == 0, "no port");
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

static void be16_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Frame `seq`: Ethernet, maybe a tag, IPv4, TCP. */
static uint32_t frame_make(uint8_t *p, uint64_t seq, const uint8_t *b, unsigned int from)
{
	static const uint8_t ip[] = { 0x45, 0, 0,  0, 0, 0, 0,	0, 64, 6,
				      0,    0, 10, 0, 0, 1, 10, 0, 0,  2 };
	uint32_t len = get_le16(b + 1) % ((b[3] & 7) == 7 ? MOST : 1700),
		 tag = (b[3] & 0x30) == 0x30 ? 4 : 0;
	uint32_t ip_len;

	ring_pattern(p, seq, PAYLOAD + 8 + len);
	len += PAYLOAD + tag;
	memset(p, (b[0] & 0xC0) == 0xC0 && (b[3] & 8) != 0 ? 0xFF : 0, 6);
	p[0] |= 2;
	p[MAC_LAST] = b[0] >> 6;
	memset(p + 6, 0, 6);
	p[6] = 2;
	p[6 + MAC_LAST] = (b[3] & 0xC0) == 0xC0 ? b[2] % 4 : (uint8_t)from;
	if (tag != 0) {
		be16_put(p + 12, 0x8100);
		be16_put(p + 14, 7 + b[1] % 3);
	}
	be16_put(p + 12 + tag, 0x0800);
	memcpy(p + 14 + tag, ip, sizeof(ip));
	p[SENDER_AT + tag] = (uint8_t)from;
	ip_len = len - 14 - tag;
	be16_put(p + 16 + tag, ip_len);
	p[TCP_AT + 12 + tag] = 0x50;
	return len;
}

static void header_make(uint8_t *p, const uint8_t *b, uint32_t len)
{
	struct virtio_net_hdr_v1 h = { 0 };

	if ((b[4] & 3) != 0) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = TCP_AT;
		h.csum_offset = 16;
	}
	if ((b[4] & 3) > 1) {
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = (uint16_t)(b[4] >> 2 == 0 ? 0 : 700 + b[4]);
		h.hdr_len = (uint16_t)u64_min(len, PAYLOAD);
	}
	if ((b[4] & 0x1F) == 0x1F)
		h.gso_type = b[1];
	memcpy(p, &h, sizeof(h));
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
		b[0] = (uint8_t)((who + 1 + b[0] % 2) % LANE_GUESTS << 6);
		b[3] &= 7;
		b[4] = b[4] % 3 | 0x80;
	}
	len = frame_make(p + RING_HEADER, g->seq++, b, who);
	header_make(p, b, len);
	(void)buffer_offer(&g->tx, RING_HEADER + len, b[5], false);
}

static void guest_refills(struct guest *g, uint8_t layout)
{
	static const uint32_t sizes[] = { 1600, 2060, 300, 70000 };

	while (buffer_offer(&g->rx, sizes[layout & 3], layout >> 2, true) >= 0)
		;
}

static void log_add(struct log *log, const void *bytes, uint32_t len)
{
	len = (uint32_t)u64_min(len, LOG - log->len);
	memcpy(log->bytes + log->len, bytes, len);
	log->len += len;
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
		if (is_first && len > RING_HEADER + SENDER_AT + 4) {
			unsigned int tag = p[RING_HEADER + 12] == 0x81 ? 4 : 0;

			log = &g->logs[p[RING_HEADER + SENDER_AT + tag] % LANE_GUESTS];
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

static void compare(struct lane_worlds_facts *out)
{
	for (unsigned int i = 0; i < LANE_GUESTS; i++) {
		const struct guest *a = &worlds[0]->guests[i], *b = &worlds[1]->guests[i];
		struct switch_counters with, without;

		switch_port_counters(a->port, &with);
		switch_port_counters(b->port, &without);
		out->long_way += a->long_way;
		out->short_way += with.from.packets - a->long_way;
		out->received += with.to.packets;
		out->full += with.drops[PMD_DROP_RX_FULL] + without.drops[PMD_DROP_RX_FULL];
	}
	/* Which frames are dropped depends on when the batch of the long way is handed over. */
	for (unsigned int i = 0; i < LANE_GUESTS && out->full == 0; i++) {
		const struct guest *a = &worlds[0]->guests[i], *b = &worlds[1]->guests[i];
		struct switch_counters with, without;

		switch_port_counters(a->port, &with);
		switch_port_counters(b->port, &without);
		need(memcmp(&with, &without, sizeof(with)) == 0, "the counters differ");
		for (unsigned int k = 0; k < LANE_GUESTS; k++)
			need(a->logs[k].len == b->logs[k].len &&
				     memcmp(a->logs[k].bytes, b->logs[k].bytes, a->logs[k].len) ==
					     0,
			     "a guest sees something else");
		need(memcmp(&a->tx.ring.counters, &b->tx.ring.counters,
			    sizeof(a->tx.ring.counters)) == 0 &&
			     memcmp(&a->rx.ring.counters, &b->rx.ring.counters,
				    sizeof(a->rx.ring.counters)) == 0,
		     "the rings' counters differ");
		need(a->tx.ring.broken == NULL && a->rx.ring.broken == NULL, "a ring broke");
	}
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

		if (data[0] % 8 < 5) {
			guest_sends(&w->guests[who], data + 1, who);
		} else if (data[0] % 8 == 5 && is_hostile) {
			len = 8 + u64_min(data[7] % 32, left - 8);
			is_spoilt = true;
			anything_written(&w->guests[who], data + 1, len - 6);
		} else {
			for (unsigned int k = 0; k < LANE_GUESTS; k++)
				guest_refills(&w->guests[k],
					      (uint8_t)(layout + (is_hostile ? data[2] : 0)));
			(void)switch_poll(w->sw, w->now++);
			for (unsigned int k = 0; k < LANE_GUESTS && !is_spoilt; k++)
				guest_reaps(&w->guests[k]);
		}
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
	for (unsigned int i = 0; i < WORLDS; i++)
		world_start(&worlds[i], data, i == 0);
	for (unsigned int i = 0; i < STEPS && more > 0 && at < size; i++, at += more)
		more = step(data + at, size - at, data[1] / 25);
	if (!is_hostile)
		compare(out);
	for (unsigned int i = 0; i < WORLDS; i++)
		switch_destroy(worlds[i]->sw);
	need(rte_mempool_in_use_count(ring_pool()) == 0, "an mbuf was lost");
}

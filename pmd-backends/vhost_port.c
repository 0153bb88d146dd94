// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_port.h"

#include "pmd-backends/vhost_session.h"

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>

#define RX(pair) ((pair)*2) /* of the guest: we fill it (virtio 1.2, 5.1.2) */
#define TX(pair) ((pair)*2 + 1)
#define RX_RINGS 0x55555555U
#define TX_RINGS 0xAAAAAAAAU

#define RARP_BYTES 60

#define RING_LOOK 1024U /* a packed ring is counted by walking it, on the lcore */

struct vhost_port {
	struct endpoint ep; /* first: the operations get this */
	struct vhost_session session;
	struct rte_mempool *pool;
	struct lcore *lcore; /* with the client's lock */

	/* The lcore's. */
	unsigned int next_pair;
	bool is_announced; /* a frame from rarp_mac is to go out */
	uint8_t rarp_mac[6];

	_Atomic uint64_t calls;
};

/* --- frames, on the lcore -------------------------------------------------------------------- */

static void ring_call(struct vhost_port *p, struct vhost_queue *q)
{
	/* Asked last: what it says it says once. */
	if (q->call < 0 || p->session.is_stuck || !vring_wants_call(&q->ring))
		return;
	atomic_fetch_add_explicit(&p->calls, 1, memory_order_relaxed);
	if (lcore_signal(p->lcore, q->call) != -EINTR)
		return;
	vhost_session_stuck(&p->session);
}

static void ring_done(struct vhost_port *p, struct vhost_queue *q)
{
	ring_call(p, q);
	if (unlikely(q->ring.broken != NULL) && vhost_device_rings_check(&p->session.device))
		vhost_client_wake(&p->session.client);
}

/* RFC 903: whoever hears it learns where the address is now. */
static uint16_t announcement_put(struct vhost_port *p, struct rte_mbuf **frame)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
	char *bytes = m == NULL ? NULL : rte_pktmbuf_append(m, RARP_BYTES);
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)bytes;
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(eth + 1);

	p->is_announced = false;
	if (bytes == NULL) {
		rte_pktmbuf_free(m);
		return 0;
	}
	memset(bytes, 0, RARP_BYTES);
	memset(&eth->dst_addr, 0xff, sizeof(eth->dst_addr));
	memcpy(&eth->src_addr, p->rarp_mac, sizeof(eth->src_addr));
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_RARP);
	arp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = sizeof(p->rarp_mac);
	arp->arp_plen = sizeof(arp->arp_data.arp_sip);
	arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REVREQUEST);
	memcpy(&arp->arp_data.arp_sha, p->rarp_mac, sizeof(p->rarp_mac));
	memcpy(&arp->arp_data.arp_tha, p->rarp_mac, sizeof(p->rarp_mac));
	*frame = m;
	return 1;
}

static uint16_t port_receive(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_port *p = (struct vhost_port *)ep;
	struct vhost_device *d = &p->session.device;
	uint16_t got = 0;

	if (unlikely(p->is_announced) && n > 0)
		got = announcement_put(p, frames);
	/* Each time another queue is first: a full one does not starve the rest. */
	for (unsigned int i = 0; got < n && i < PMD_MAX_PAIRS; i++) {
		unsigned int ring = TX((p->next_pair + i) % PMD_MAX_PAIRS);
		const struct vring_counters *c = &d->queues[ring].ring.counters;
		uint64_t dropped = c->bad_chains + c->no_memory;
		bool has_dropped;

		if ((d->live & BIT(ring)) == 0)
			continue;
		got = (uint16_t)(got + vring_dequeue(&d->queues[ring].ring, p->pool, frames + got,
						     (uint16_t)(n - got)));
		has_dropped = c->bad_chains + c->no_memory != dropped;
		ring_done(p, &d->queues[ring]);
		/* Frames that came to nothing took their time all the same: the others' turn is the next round. */
		if (has_dropped)
			break;
	}
	p->next_pair = (p->next_pair + 1) % PMD_MAX_PAIRS;
	return got;
}

/* Bytes 12 to 37 hold types and addresses of IPv4 without tags, part of IPv6: one flow stays on one queue. */
static uint32_t flow_hash(const struct rte_mbuf *m)
{
	const uint8_t *b = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t len = (uint16_t)u64_min(rte_pktmbuf_data_len(m), 38);
	uint32_t h = 2166136261U; /* FNV-1a */

	for (uint16_t i = 0; i < len; i++) {
		/* IPv4 length, identification, fragment, TTL and checksum differ within a flow */
		if (i >= 16 && i < 26 && i != 23)
			continue;
		h = (h ^ b[i]) * 16777619U;
	}
	return h;
}

static unsigned int rx_rings(const struct vhost_device *d, unsigned int rings[PMD_MAX_PAIRS])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PMD_MAX_PAIRS; i++)
		if ((d->live & BIT(RX(i))) != 0)
			rings[count++] = RX(i);
	return count;
}

static uint16_t port_send(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_port *p = (struct vhost_port *)ep;
	unsigned int rings[PMD_MAX_PAIRS], count = rx_rings(&p->session.device, rings);
	uint16_t done = 0;

	while (count > 0 && done < n) {
		uint32_t queue = count == 1 ? 0 : flow_hash(frames[done]) % count;
		uint16_t run = count == 1 ? (uint16_t)(n - done) : 1;
		struct vhost_queue *q = &p->session.device.queues[rings[queue]];
		uint16_t took;

		while (done + run < n && flow_hash(frames[done + run]) % count == queue)
			run++;
		took = vring_enqueue(&q->ring, frames + done, run);
		ring_done(p, q);
		rte_pktmbuf_free_bulk(frames + done, took);
		done = (uint16_t)(done + took);
		if (took < run)
			break;
	}
	return done;
}

static const struct endpoint_ops port_ops = { port_receive, port_send };

static unsigned int port_senders(struct endpoint *ep, struct vring **rings)
{
	struct vhost_port *p = (struct vhost_port *)ep;
	unsigned int count = 0;

	/* Its turn is before what the guest sends. */
	if (unlikely(p->is_announced))
		return 0;
	for (uint32_t left = p->session.device.live & TX_RINGS; left != 0; left &= left - 1)
		rings[count++] = &p->session.device.queues[__builtin_ctz(left)].ring;
	if (count > 1) {
		struct vring *first = rings[p->next_pair % count];

		rings[p->next_pair % count] = rings[0];
		rings[0] = first;
		p->next_pair = (p->next_pair + 1) % PMD_MAX_PAIRS;
	}
	return count;
}

static struct vring *port_receiver(struct endpoint *ep, const struct rte_mbuf *m, bool *is_only)
{
	struct vhost_port *p = (struct vhost_port *)ep;
	uint32_t live = p->session.device.live & RX_RINGS;
	unsigned int rings[PMD_MAX_PAIRS], count;

	if (live == 0)
		return NULL;
	*is_only = (live & (live - 1)) == 0;
	if (*is_only || m == NULL)
		return &p->session.device.queues[__builtin_ctz(live)].ring;
	count = rx_rings(&p->session.device, rings);
	return &p->session.device.queues[rings[flow_hash(m) % count]].ring;
}

static void port_used(struct endpoint *ep, struct vring *ring)
{
	struct vhost_port *p = (struct vhost_port *)ep;

	ring_done(p, (struct vhost_queue *)((char *)ring - offsetof(struct vhost_queue, ring)));
}

static const struct endpoint_rings port_rings = { port_senders, port_receiver, port_used };

void vhost_port_doze(struct vhost_port *p, bool on)
{
	for (unsigned int i = 0; i < PMD_MAX_PAIRS; i++)
		if ((p->session.device.live & BIT(TX(i))) != 0)
			vring_want_kicks(&p->session.device.queues[TX(i)].ring, on);
}

/* --- the device, on the lcore ---------------------------------------------------------------- */

static uint32_t offloads_of(uint64_t features)
{
	uint32_t offloads = ENDPOINT_SEGMENTS;

	if ((features & BIT_ULL(VIRTIO_NET_F_GUEST_CSUM)) == 0)
		return offloads;
	offloads |= ENDPOINT_CSUM;
	if ((features & BIT_ULL(VIRTIO_NET_F_GUEST_TSO4)) != 0)
		offloads |= ENDPOINT_TSO4;
	if ((features & BIT_ULL(VIRTIO_NET_F_GUEST_TSO6)) != 0)
		offloads |= ENDPOINT_TSO6;
	return offloads;
}

static void ring_changed(void *arg, unsigned int ring, bool is_live)
{
	struct vhost_port *p = arg;
	struct vhost_device *d = &p->session.device;
	struct vhost_queue *q = &d->queues[ring];

	if ((ring & 1) != 0 && is_live)
		lcore_watch(p->lcore, q->kick);
	else if ((ring & 1) != 0)
		lcore_unwatch(p->lcore, q->kick);
	p->ep.offloads = offloads_of(d->features);
	p->ep.mtu = d->mtu;
	p->ep.link_up = d->live != 0;
	/* The short way marks nothing. */
	p->ep.rings = vhost_device_is_marking(d) ? NULL : &port_rings;
	/* Who served the ring before may have died before it called. */
	if (is_live)
		ring_call(p, q);
}

static void announce(void *arg, const uint8_t mac[6])
{
	struct vhost_port *p = arg;

	memcpy(p->rarp_mac, mac, sizeof(p->rarp_mac));
	p->is_announced = true;
}

static void on_lcore(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	struct vhost_port *p = arg;

	lcore_call(p->lcore, fn, fn_arg);
}

static const struct vhost_device_ops device_ops = { on_lcore, ring_changed, announce };

/* --- life ------------------------------------------------------------------------------------ */

int vhost_port_create(const struct vhost_port_config *cfg, struct vhost_port **out, struct err *e)
{
	struct vhost_port *p = calloc(1, sizeof(*p));
	const struct vhost_session_config session = {
		.name = cfg->name,
		.socket = cfg->socket,
		.thread = cfg->thread,
		.launch = cfg->launch,
		.device = &device_ops,
		.arg = p,
	};

	if (p == NULL)
		return err_set(e, ENOMEM, "%s: out of memory", cfg->name);
	p->pool = cfg->pool;
	p->lcore = cfg->lcore;
	p->ep.ops = &port_ops;
	p->ep.rings = &port_rings;
	p->ep.offloads = ENDPOINT_SEGMENTS;
	vhost_session_init(&p->session, &session);
	*out = p;
	return 0;
}

int vhost_port_start(struct vhost_port *p, struct err *e)
{
	return vhost_session_start(&p->session, e);
}

void vhost_port_destroy(struct vhost_port *p)
{
	if (p == NULL)
		return;
	vhost_session_fini(&p->session);
	free(p);
}

struct endpoint *vhost_port_endpoint(struct vhost_port *p)
{
	return &p->ep;
}

struct reading {
	struct vhost_port *p;
	struct vhost_port_facts *out;
	struct vring_counters counters;
};

static void rings_read(void *arg)
{
	struct reading *a = arg;
	struct vhost_device *d = &a->p->session.device;

	vhost_device_counters(d, &a->counters);
	for (unsigned int i = 0; i < PMD_MAX_PAIRS; i++) {
		struct vhost_queue *rx = &d->queues[RX(i)], *tx = &d->queues[TX(i)];

		if ((d->live & BIT(RX(i))) == 0 || (d->live & BIT(TX(i))) == 0)
			continue;
		a->out->rings[i].rx_free = vring_available(&rx->ring, RING_LOOK);
		a->out->rings[i].tx_ready = vring_available(&tx->ring, RING_LOOK);
		a->out->ring_count = i + 1;
		a->out->pairs++;
	}
}

void vhost_port_facts(struct vhost_port *p, struct vhost_port_facts *out)
{
	struct reading a = { p, out, { 0 } };

	memset(out, 0, sizeof(*out));
	vhost_client_lock(&p->session.client);
	lcore_call(p->lcore, rings_read, &a);
	out->state = p->session.conn.sock < 0			  ? VHOST_PORT_WAITING
		     : vhost_device_live(&p->session.device) == 0 ? VHOST_PORT_CONNECTED
								  : VHOST_PORT_RUNNING;
	out->pid = p->session.conn.pid;
	out->features = p->session.device.features;
	out->is_packed = (out->features & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0;
	out->kicks = vhost_device_kicks(&p->session.device);
	strcpy(out->error, p->session.error);
	vhost_client_unlock(&p->session.client);
	out->calls = atomic_load(&p->calls);
	out->malformed = a.counters.bad_chains;
	out->no_memory = a.counters.no_memory;
	out->oversize = a.counters.unfit;
}

void vhost_port_hold(struct vhost_port *p)
{
	vhost_client_lock(&p->session.client);
}

void vhost_port_release(struct vhost_port *p)
{
	vhost_client_unlock(&p->session.client);
}

static void kicks_unwatch(void *arg)
{
	struct vhost_port *p = arg;

	for (unsigned int i = 0; i < PMD_MAX_PAIRS; i++)
		if ((p->session.device.live & BIT(TX(i))) != 0)
			lcore_unwatch(p->lcore, p->session.device.queues[TX(i)].kick);
}

static void kicks_watch(void *arg)
{
	struct vhost_port *p = arg;

	for (unsigned int i = 0; i < PMD_MAX_PAIRS; i++)
		if ((p->session.device.live & BIT(TX(i))) != 0)
			lcore_watch(p->lcore, p->session.device.queues[TX(i)].kick);
}

void vhost_port_move(struct vhost_port *p, struct lcore *to)
{
	lcore_call(p->lcore, kicks_unwatch, p);
	p->lcore = to;
	lcore_call(p->lcore, kicks_watch, p);
}

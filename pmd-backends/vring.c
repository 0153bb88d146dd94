// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vring.h"

#include "pmd-backends/vring_core.h"

#include <rte_mbuf.h>

#include <errno.h>
#include <linux/virtio_config.h>

#define TCP_SUM_AT 16 /* of the checksum in its header (RFC 9293 3.1, RFC 768) */
#define UDP_SUM_AT 6

static bool has(const struct vring *r, unsigned int feature)
{
	return (r->features & BIT_ULL(feature)) != 0;
}

/* Of the device's area: virtio 1.2, 2.8.10; 2.7, with the event index. */
#define EVENT_BYTES	4
#define DEVICE_BYTES(n) (6 + 8 * (n))

/* Life */

static uint8_t *area(const struct vring *r, uint64_t user, uint64_t len, uint64_t align)
{
	uint8_t *p = guest_at_user(r->memory, user, len);

	return p != NULL && is_aligned((uintptr_t)p, align) ? p : NULL;
}

static int areas_find(struct vring *r, const struct vring_place *at, struct err *e)
{
	uint64_t n = at->size;

	r->desc = area(r, at->desc, n * DESC_BYTES, DESC_BYTES);
	if (r->is_packed) { /* virtio 1.2, 2.8.10 */
		r->driver = area(r, at->driver, 4, 4);
		r->device = area(r, at->device, EVENT_BYTES, 4);
	} else { /* 2.7; with the event index at the end, which is there whether used or not */
		r->driver = area(r, at->driver, 6 + 2 * n, 2);
		r->device = area(r, at->device, DEVICE_BYTES(n), 4);
	}
	if (r->desc == NULL || r->driver == NULL || r->device == NULL)
		return err_set(e, EINVAL, "a ring that lies outside guest memory, or misaligned");
	return 0;
}

static int marks_set(struct vring *r, const struct vring_marks *m, struct err *e)
{
	uint64_t bytes = r->is_packed ? EVENT_BYTES : DEVICE_BYTES((uint64_t)r->size);

	if (m->log == NULL || (!m->buffers && !m->device))
		return 0;
	if (m->device && !dirty_log_covers(m->log, m->device_at, bytes))
		return err_set(e, EINVAL, "a ring whose place in the log is behind its end");
	r->is_marked = true;
	r->marks = *m;
	r->desc_at = guest_address(r->memory, r->desc);
	return 0;
}

int vring_attach(struct vring *r, const struct vring_start *s, struct err *e)
{
	struct vring made = { .memory = s->memory,
			      .features = s->features,
			      .inflight = s->inflight };
	int err;

	if (!is_pow2(s->place.size) || s->place.size > VRING_MAX_SIZE)
		return err_set(e, EINVAL, "a ring of %u descriptors", s->place.size);
	if (!has(&made, VIRTIO_F_VERSION_1))
		return err_set(e, EINVAL, "a driver older than virtio 1.0");
	if (guest_memory_is_lost(s->memory))
		return err_set(e, EINVAL, "memory of the guest has been taken away from it");
	if (!is_aligned((uintptr_t)s->inflight, 8))
		return err_set(e, EINVAL, "an in-flight region that is misaligned");
	made.size = s->place.size;
	made.is_packed = has(&made, VIRTIO_F_RING_PACKED);
	made.has_events = has(&made, VIRTIO_RING_F_EVENT_IDX);
	made.has_indirect = has(&made, VIRTIO_RING_F_INDIRECT_DESC);
	made.is_merged = has(&made, VIRTIO_NET_F_MRG_RXBUF);
	err = areas_find(&made, &s->place, e);
	if (err == 0)
		err = marks_set(&made, &s->marks, e);
	if (err < 0)
		return err;
	*r = made;
	return 0;
}

int vring_start(struct vring *r, const struct vring_start *s, struct err *e)
{
	struct vring made;
	int err = vring_attach(&made, s, e);

	if (err < 0)
		return err;
	if (made.is_packed)
		packed_start(&made, s->base);
	else
		split_start(&made);
	made.is_started = true;
	*r = made;
	vring_want_kicks(r, true);
	return 0;
}

uint32_t vring_base(const struct vring *r)
{
	uint32_t at = r->at | (uint32_t)r->wrap << 15;

	return r->is_packed ? at | at << 16 : r->at;
}

size_t vring_inflight_bytes(uint32_t size, bool packed)
{
	return align_up(packed ? packed_inflight_bytes(size) : split_inflight_bytes(size), 64);
}

bool vring_is_usable(struct vring *r)
{
	if (!r->is_started || r->broken != NULL)
		return false;
	if (guest_memory_is_lost(r->memory))
		r->broken = "memory of the guest has been taken away from it";
	return r->broken == NULL;
}

/* From the guest */

static bool bytes_take(struct vring_chain *c, void *out, uint32_t len)
{
	uint32_t at = 0;

	while (at < len) {
		uint32_t part = len - at;
		const uint8_t *p = chain_span(c, &part);

		if (p == NULL)
			return false;
		memcpy((uint8_t *)out + at, p, part);
		at += part;
	}
	/* The copy is what counts: not to be fetched again. */
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

static struct rte_mbuf *segment_add(struct rte_mbuf *head, struct rte_mbuf *tail,
				    struct rte_mempool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m == NULL)
		return NULL;
	tail->next = m;
	head->nb_segs++;
	return m;
}

static int body_take(struct vring_chain *c, struct rte_mbuf *head, struct rte_mempool *pool)
{
	struct rte_mbuf *tail = head;

	for (;;) {
		uint32_t len = VRING_MAX_FRAME + 1 - head->pkt_len;
		const uint8_t *from = chain_span(c, &len);

		if (from == NULL)
			return c->is_bad || head->pkt_len == 0 ? -EBADMSG : 0;
		if (head->pkt_len + len > VRING_MAX_FRAME)
			return -EBADMSG;
		while (len > 0) {
			uint16_t part = (uint16_t)u64_min(len, rte_pktmbuf_tailroom(tail));

			if (part == 0) {
				tail = segment_add(head, tail, pool);
				if (tail == NULL)
					return -ENOMEM;
				continue;
			}
			memcpy(rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len), from,
			       part);
			tail->data_len = (uint16_t)(tail->data_len + part);
			head->pkt_len += part;
			from += part;
			len -= part;
		}
	}
}

int frame_request_read(const struct vring *r, const struct virtio_net_hdr_v1 *header,
		       struct rte_mbuf *m)
{
	unsigned int cut = header->gso_type & ~(unsigned int)VIRTIO_NET_HDR_GSO_ECN;
	bool is_open = (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;

	if (!has(r, VIRTIO_NET_F_CSUM))
		return 0; /* nor has it anything to say */
	if (is_open)
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	if (!(cut == VIRTIO_NET_HDR_GSO_TCPV4 && has(r, VIRTIO_NET_F_HOST_TSO4)) &&
	    !(cut == VIRTIO_NET_HDR_GSO_TCPV6 && has(r, VIRTIO_NET_F_HOST_TSO6)))
		return -EBADMSG;
	if (!is_open || header->gso_size == 0)
		return -EBADMSG;
	m->ol_flags |= RTE_MBUF_F_RX_LRO;
	m->tso_segsz = header->gso_size;
	return 0;
}

struct rte_mbuf *frame_take(struct vring_chain *c, struct rte_mempool *pool)
{
	struct vring *r = c->r;
	struct virtio_net_hdr_v1 header;
	struct rte_mbuf *m = NULL;
	int err = -EBADMSG;

	if (bytes_take(c, &header, sizeof(header))) {
		m = rte_pktmbuf_alloc(pool);
		err = m == NULL ? -ENOMEM : body_take(c, m, pool);
	}
	if (err == 0)
		err = frame_request_read(r, &header, m);
	if (err == 0)
		return m;
	counter_bump(err == -ENOMEM ? &r->counters.no_memory : &r->counters.bad_chains);
	rte_pktmbuf_free(m);
	return NULL;
}

uint16_t vring_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
		       uint16_t n)
{
	uint16_t got = look_dequeue(r, pool, frames, n);

	if (got == n || !vring_is_usable(r))
		return got;
	frames += got;
	n = (uint16_t)(n - got);
	return (uint16_t)(got + (r->is_packed ? packed_dequeue(r, pool, frames, n)
					      : split_dequeue(r, pool, frames, n)));
}

/* To the guest */

bool frame_header_make(const struct vring *r, const struct rte_mbuf *m,
		       struct virtio_net_hdr_v1 *header)
{
	uint64_t sum = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	bool is_cut = (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
	bool is_ip6 = (m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0;

	*header = (struct virtio_net_hdr_v1){ .num_buffers = 1 };
	if (sum == 0 && !is_cut)
		return true;
	if (!has(r, VIRTIO_NET_F_GUEST_CSUM) || sum == RTE_MBUF_F_TX_SCTP_CKSUM)
		return false;
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = (uint16_t)(m->l2_len + m->l3_len);
	header->csum_offset = sum == RTE_MBUF_F_TX_UDP_CKSUM ? UDP_SUM_AT : TCP_SUM_AT;
	if (!is_cut)
		return true;
	header->gso_type = is_ip6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	header->gso_size = m->tso_segsz;
	header->hdr_len = (uint16_t)(m->l2_len + m->l3_len + m->l4_len);
	return has(r, is_ip6 ? VIRTIO_NET_F_GUEST_TSO6 : VIRTIO_NET_F_GUEST_TSO4);
}

bool frame_put_begin(struct frame_put *p, struct vring *r, const struct rte_mbuf *m)
{
	*p = (struct frame_put){ .ring = r, .spot = { .seg = m, .left = m->pkt_len } };
	if (m->pkt_len > 0 && m->pkt_len <= VRING_MAX_FRAME && frame_header_make(r, m, &p->header))
		return true;
	counter_bump(&r->counters.unfit);
	return false;
}

static bool header_put(struct frame_put *p, struct vring_chain *c)
{
	const uint32_t count_at = offsetof(struct virtio_net_hdr_v1, num_buffers);
	uint32_t at = 0;

	while (at < sizeof(p->header)) {
		uint32_t len = sizeof(p->header) - at;
		uint8_t *to = chain_span(c, &len);

		if (to == NULL)
			return false;
		memcpy(to, (const uint8_t *)&p->header + at, len);
		for (uint32_t i = 0; i < 2; i++) {
			if (count_at + i < at || count_at + i >= at + len)
				continue;
			p->count_at[i] = to + (count_at + i - at);
			p->count_gpa[i] = c->gpa - len + (count_at + i - at);
		}
		at += len;
	}
	return true;
}

static void body_put(struct frame_spot *spot, struct vring_chain *c)
{
	while (spot->left > 0) {
		uint32_t len = spot->seg->data_len - spot->at;
		uint8_t *to;

		if (len == 0) {
			spot->seg = spot->seg->next;
			spot->at = 0;
			continue;
		}
		to = chain_span(c, &len);
		if (to == NULL)
			return;
		memcpy(to, rte_pktmbuf_mtod_offset(spot->seg, const uint8_t *, spot->at), len);
		spot->at += len;
		spot->left -= len;
	}
}

uint32_t frame_put_chain(struct frame_put *p, struct vring_chain *c)
{
	uint32_t header = p->has_header ? 0 : sizeof(p->header);
	struct frame_spot begun = p->spot;

	if (header > 0 && !header_put(p, c))
		chain_spoil(c);
	else
		body_put(&p->spot, c);
	chain_mark(c);
	if (!c->is_bad) {
		p->has_header = true;
		return header + begun.left - p->spot.left;
	}
	/* What it may have taken goes into the next. */
	p->spot = begun;
	counter_bump(&c->r->counters.bad_chains);
	return 0;
}

void frame_put_count(const struct frame_put *p, uint32_t chains)
{
	if (chains == 1)
		return;
	*p->count_at[0] = (uint8_t)chains;
	*p->count_at[1] = (uint8_t)(chains >> 8);
	for (uint32_t i = 0; p->ring->marks.buffers && i < 2; i++)
		dirty_log_mark(p->ring->marks.log, p->count_gpa[i], 1);
}

uint16_t vring_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t done = look_enqueue(r, frames, n);

	if (done == n || !vring_is_usable(r))
		return done;
	frames += done;
	n = (uint16_t)(n - done);
	return (uint16_t)(done + (r->is_packed ? packed_enqueue(r, frames, n)
					       : split_enqueue(r, frames, n)));
}

/* Notifications */

bool vring_wants_call(struct vring *r)
{
	bool is_first = !r->was_asked, wants;

	if (!vring_is_usable(r) || (r->fresh == 0 && !is_first))
		return false;
	/* What was published must be seen before the driver's word is read: it says its word, then looks for what was
	 * published. Only a full fence keeps a load behind a store. */
	atomic_thread_fence(memory_order_seq_cst);
	wants = r->fresh > 0 && (r->is_packed ? packed_wants_call(r) : split_wants_call(r));
	r->was_asked = true;
	r->fresh = 0;
	return wants || is_first;
}

void vring_want_kicks(struct vring *r, bool on)
{
	if (!vring_is_usable(r))
		return;
	r->is_hushed = !on;
	if (r->is_packed)
		packed_want_kicks(r);
	else
		split_want_kicks(r);
	/* Pairs with the driver's, between what it makes available and its look at our word. */
	atomic_thread_fence(memory_order_seq_cst);
}

uint32_t vring_available(struct vring *r, uint32_t cap)
{
	if (!vring_is_usable(r))
		return 0;
	return r->is_packed ? packed_available(r, cap) : split_available(r, cap);
}

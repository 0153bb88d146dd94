// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vring_look.h"

#include "pmd-backends/vring_core.h"

#include <rte_mbuf.h>

/* Bytes of a head: of a plain frame Ethernet and tags are read, of others IP and transport, too. */
#define HEAD_OPEN 256U

bool vring_look_begin(struct vring_look *l, struct vring *r, bool is_sender)
{
	l->ring = r;
	l->want = is_sender ? 0 : DESC_WRITE;
	l->is_odd = l->is_short = false;
	l->count = l->filled = l->joined = l->part_count = 0;
	l->steps = 0;
	/* What is written here nobody marks. */
	return !r->is_marked && vring_is_usable(r);
}

bool vring_look_waits(const struct vring_look *l)
{
	return l->ring->is_packed ? packed_waits(l->ring) : split_waits(l->ring);
}

void vring_look_ahead(const struct vring_look *l)
{
	if (l->ring->is_packed)
		packed_ahead(l->ring);
	else
		split_ahead(l->ring);
}

uint16_t vring_look_on(struct vring_look *l, uint16_t n)
{
	if (l->is_odd || l->is_short)
		return 0;
	if (n > LOOK_CHAINS - l->count) {
		n = (uint16_t)(LOOK_CHAINS - l->count);
		l->is_short = n == 0;
	}
	return l->ring->is_packed ? packed_look(l, n) : split_look(l, n);
}

static void look_use(struct vring_look *l)
{
	if (l->filled == 0)
		return;
	if (l->ring->is_packed)
		packed_use(l);
	else
		split_use(l);
	l->count = l->filled = 0;
}

void vring_look_use(struct vring_look *sender, struct vring_look *const *receivers,
		    unsigned int count)
{
	if (sender != NULL)
		look_use(sender);
	for (unsigned int i = 0; i < count; i++)
		look_use(receivers[i]);
}

static bool part_add(struct vring_look *l, uint8_t *at, uint32_t len)
{
	if (l->part_count == LOOK_PARTS)
		return false;
	l->parts[l->part_count++] = (struct vring_part){ at, len };
	return true;
}

bool look_gather(struct vring_look *l, struct vring_chain *c, struct vring_looked *out)
{
	uint16_t begin = l->part_count;

	for (;;) {
		uint32_t len = UINT32_MAX;
		uint8_t *p = chain_span(c, &len);

		if (p == NULL)
			break;
		if (!part_add(l, p, len)) {
			l->is_short = begin > 0;
			chain_spoil(c);
		}
	}
	if (!c->is_bad && l->part_count > begin) {
		out->len = 0;
		out->part = begin;
		out->part_count = (uint16_t)(l->part_count - begin);
		return true;
	}
	l->part_count = begin;
	l->is_odd = !l->is_short;
	return false;
}

/* Most heads are of this length: four registers. */
static inline void bytes_copy(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len == PLAIN_HEAD)
		memcpy(to, from, PLAIN_HEAD);
	else
		memcpy(to, from, len);
}

/* Walks along the parts of a chain. */
static uint32_t parts_take(const struct vring_part *part, uint32_t at, uint8_t *out, uint32_t len)
{
	uint32_t got = 0;

	for (; at >= part->len; part++)
		at -= part->len;
	for (; got < len; part++, at = 0) {
		uint32_t n = (uint32_t)u64_min(len - got, part->len - at);

		memcpy(out + got, part->at + at, n);
		got += n;
	}
	return got;
}

static uint32_t parts_bytes(const struct vring_look *l, const struct vring_looked *c)
{
	uint64_t bytes = l->parts[c->part].len;

	for (uint16_t i = 1; i < c->part_count; i++)
		bytes += l->parts[c->part + i].len;
	return (uint32_t)u64_min(bytes, UINT32_MAX);
}

uint64_t vring_look_bytes(const struct vring_look *l)
{
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < l->filled; i++)
		bytes += l->want == 0 ? parts_bytes(l, &l->chains[i]) : l->chains[i].len;
	return bytes - (uint64_t)VRING_HEADER * (l->filled - l->joined);
}

bool vring_head_take(const struct vring_look *l, uint16_t chain, struct rte_mbuf *m,
		     struct vring_rest *rest)
{
	const struct vring_looked *c = &l->chains[chain];
	const struct vring_part *part = &l->parts[c->part];
	uint32_t bytes = parts_bytes(l, c), len;
	struct virtio_net_hdr_v1 header;

	if (bytes <= sizeof(header) || bytes - sizeof(header) > VRING_MAX_FRAME)
		return false;
	if (part->len >= sizeof(header))
		memcpy(&header, part->at, sizeof(header));
	else
		parts_take(part, 0, (uint8_t *)&header, sizeof(header));
	/* The copy is what counts: not to be fetched again. */
	atomic_signal_fence(memory_order_seq_cst);
	if ((header.flags | header.gso_type) != 0 && frame_request_read(l->ring, &header, m) < 0)
		return false;
	m->pkt_len = bytes - (uint32_t)sizeof(header);
	len = (uint32_t)u64_min(m->pkt_len, m->ol_flags == 0 ? PLAIN_HEAD : HEAD_OPEN);
	if (part->len < sizeof(header) + len)
		parts_take(part, sizeof(header), rte_pktmbuf_mtod(m, uint8_t *), len);
	else
		bytes_copy(rte_pktmbuf_mtod(m, uint8_t *), part->at + sizeof(header), len);
	atomic_signal_fence(memory_order_seq_cst);
	m->data_len = (uint16_t)len;
	*rest = (struct vring_rest){ part, (uint32_t)sizeof(header) + len, m->pkt_len - len };
	for (; rest->len > 0 && rest->at >= rest->parts->len; rest->parts++)
		rest->at -= rest->parts->len;
	return true;
}

/* Where the next byte goes. */
struct spot {
	struct vring_look *to;
	uint16_t chain, part;
	uint32_t at; /* bytes in the part */
	uint32_t written; /* in the chain */
	uint8_t *count_at[2]; /* where num_buffers lies */
};

/* Bytes that lie together from here on, in the next chain if need be; NULL: there are no more. */
static uint8_t *spot_span(struct spot *s, uint32_t *len)
{
	struct vring_look *to = s->to;
	const struct vring_looked *c = &to->chains[s->chain];
	const struct vring_part *part;

	if (s->part < c->part_count && s->at == to->parts[c->part + s->part].len) {
		s->part++;
		s->at = 0;
	}
	if (s->part == c->part_count) {
		if (!to->ring->is_merged ||
		    (s->chain + 1U == to->count && vring_look_on(to, 1) == 0))
			return NULL;
		to->chains[s->chain++].len = s->written;
		c = &to->chains[s->chain];
		s->part = 0;
		s->at = s->written = 0;
	}
	part = &to->parts[c->part + s->part];
	*len = (uint32_t)u64_min(*len, part->len - s->at);
	return part->at + s->at;
}

static bool spot_write(struct spot *s, const uint8_t *from, uint32_t len)
{
	while (len > 0) {
		uint32_t n = len;
		uint8_t *p = spot_span(s, &n);

		if (p == NULL)
			return false;
		memcpy(p, from, n);
		s->at += n;
		s->written += n;
		from += n;
		len -= n;
	}
	return true;
}

static bool header_write(struct spot *s, const struct virtio_net_hdr_v1 *header)
{
	const uint32_t count_at = offsetof(struct virtio_net_hdr_v1, num_buffers);

	if (!spot_write(s, (const uint8_t *)header, count_at))
		return false;
	for (uint32_t i = 0; i < 2; i++) {
		if (!spot_write(s, (const uint8_t *)header + count_at + i, 1))
			return false;
		s->count_at[i] =
			s->to->parts[s->to->chains[s->chain].part + s->part].at + s->at - 1;
	}
	return true;
}

static bool rest_write(struct spot *s, const struct vring_rest *rest)
{
	const struct vring_part *part = rest->parts;
	uint32_t at = rest->at, left = rest->len;

	for (; left > 0; part++) {
		uint32_t len = (uint32_t)u64_min(left, part->len - at);

		if (!spot_write(s, part->at + at, len))
			return false;
		left -= len;
		at = 0;
	}
	return true;
}

/* Why there is no further chain. */
static enum vring_put look_end(const struct vring_look *to)
{
	if (to->is_short)
		return VRING_PUT_SHORT;
	return to->is_odd ? VRING_PUT_ODD : VRING_PUT_FULL;
}

/* Into several buffers, or from several. */
static enum vring_put put_scattered(struct vring_look *to, const struct virtio_net_hdr_v1 *header,
				    const struct rte_mbuf *m, const struct vring_rest *rest)
{
	struct spot s = { .to = to, .chain = to->filled };
	uint32_t chains;

	if (!header_write(&s, header) || s.chain != to->filled)
		return VRING_PUT_ODD;
	if (!spot_write(&s, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len) ||
	    !rest_write(&s, rest))
		return to->ring->is_merged ? look_end(to) : VRING_PUT_ODD;
	chains = s.chain - to->filled + 1U;
	to->chains[s.chain].len = s.written;
	*s.count_at[0] = (uint8_t)chains;
	*s.count_at[1] = (uint8_t)(chains >> 8);
	to->joined = (uint16_t)(to->joined + chains - 1);
	to->filled = (uint16_t)(s.chain + 1);
	return VRING_PUT_DONE;
}

enum vring_put vring_put(struct vring_look *to, const struct rte_mbuf *m,
			 const struct vring_rest *rest)
{
	uint32_t bytes = sizeof(struct virtio_net_hdr_v1) + m->pkt_len;
	struct virtio_net_hdr_v1 header = { .num_buffers = 1 };
	const struct vring_part *part, *from = rest->parts;
	struct vring_looked *c;

	if (m->ol_flags != 0 && !frame_header_make(to->ring, m, &header))
		return VRING_PUT_ODD;
	if (to->filled == to->count && vring_look_on(to, 1) == 0)
		return look_end(to);
	c = &to->chains[to->filled];
	part = &to->parts[c->part];
	if (c->part_count != 1 || part->len < bytes ||
	    (rest->len > 0 && from->len < rest->at + rest->len))
		return put_scattered(to, &header, m, rest);
	memcpy(part->at, &header, sizeof(header));
	bytes_copy(part->at + sizeof(header), rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	if (rest->len > 0)
		memcpy(part->at + sizeof(header) + m->data_len, from->at + rest->at, rest->len);
	c->len = bytes;
	to->filled++;
	return VRING_PUT_DONE;
}

/* The usual sort of frames, by mbufs. What stops here is for others to judge. */

bool vring_frame_take(const struct vring_look *l, uint16_t chain, struct rte_mbuf *m)
{
	const struct vring_looked *c = &l->chains[chain];
	const struct vring_part *part = &l->parts[c->part];
	uint32_t bytes = parts_bytes(l, c);
	struct virtio_net_hdr_v1 header;

	if (bytes <= sizeof(header) || bytes - sizeof(header) > rte_pktmbuf_tailroom(m))
		return false;
	parts_take(part, 0, (uint8_t *)&header, sizeof(header));
	/* The copy is what counts: not to be fetched again. */
	atomic_signal_fence(memory_order_seq_cst);
	if (frame_request_read(l->ring, &header, m) < 0)
		return false;
	bytes -= (uint32_t)sizeof(header);
	parts_take(part, sizeof(header), rte_pktmbuf_mtod(m, uint8_t *), bytes);
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	return true;
}

uint16_t look_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
		      uint16_t n)
{
	struct vring_look l;
	uint16_t count, taken;

	if (!vring_look_begin(&l, r, true) || !vring_look_waits(&l))
		return 0;
	count = vring_look_on(&l, (uint16_t)u64_min(n, VRING_BURST));
	if (count == 0 || rte_pktmbuf_alloc_bulk(pool, frames, count) != 0)
		return 0;
	while (l.filled < count && vring_frame_take(&l, l.filled, frames[l.filled]))
		l.filled++;
	taken = l.filled;
	rte_pktmbuf_free_bulk(frames + taken, (unsigned int)count - taken);
	/* Before anybody sees a frame: what is sent on is never sent again. */
	vring_look_use(&l, NULL, 0);
	return taken;
}

uint16_t look_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n)
{
	const struct vring_rest none = { 0 };
	struct vring_look l;
	uint16_t done = 0;

	if (!vring_look_begin(&l, r, false))
		return 0;
	n = (uint16_t)u64_min(n, VRING_BURST);
	(void)vring_look_on(&l, n);
	while (done < n && frames[done]->next == NULL && frames[done]->data_len > 0 &&
	       vring_put(&l, frames[done], &none) == VRING_PUT_DONE)
		done++;
	vring_look_use(&l, NULL, 0);
	return done;
}

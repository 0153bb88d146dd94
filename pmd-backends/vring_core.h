/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of a ring share: vring.c (life, frames and their header), vring_chain.c (a chain's buffers),
 * vring_look.c (chains read ahead, one copy), vring_split.c, vring_packed.c (what is available, what is used); and of
 * rings whose chains are used in another order than they came: vring_async.c, block_request.c. Nobody else includes this.
 *
 * All that is read from memory that the guest shares is read once, into a local, and that is what is checked and used.
 */
#ifndef VIADUCT_PMD_BACKENDS_VRING_CORE_H
#define VIADUCT_PMD_BACKENDS_VRING_CORE_H

#include "pmd-backends/vring_look.h"

#include <assert.h>
#include <linux/virtio_net.h>
#include <stdatomic.h>

#define DESC_BYTES    16
#define DESC_NEXT     BIT(0)
#define DESC_WRITE    BIT(1)
#define DESC_INDIRECT BIT(2)
#define DESC_AVAIL    BIT(7) /* packed */
#define DESC_USED     BIT(15)

#define VRING_BURST 32 /* frames of one call */
#define VRING_STEPS 8192U /* descriptors of one call, after which no other frame is begun */
#define VRING_MAX_MERGE \
	512U /* chains of one frame; a guest needs 44 for 64 KiB in buffers of 1500 bytes */

static_assert(sizeof(struct virtio_net_hdr_v1) == 12,
	      "with num_buffers, always (virtio 1.2, 5.1.6)");

static inline uint16_t shared_u16(const void *p)
{
	return atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_relaxed);
}

static inline uint32_t shared_u32(const void *p)
{
	return atomic_load_explicit((const _Atomic uint32_t *)p, memory_order_relaxed);
}

static inline uint64_t shared_u64(const void *p)
{
	return atomic_load_explicit((const _Atomic uint64_t *)p, memory_order_relaxed);
}

static inline void shared_put_u16(void *p, uint16_t v)
{
	atomic_store_explicit((_Atomic uint16_t *)p, v, memory_order_relaxed);
}

static inline void shared_put_u32(void *p, uint32_t v)
{
	atomic_store_explicit((_Atomic uint32_t *)p, v, memory_order_relaxed);
}

/* What was stored before is seen by who sees this. */
static inline void shared_publish_u64(void *p, uint64_t v)
{
	atomic_store_explicit((_Atomic uint64_t *)p, v, memory_order_release);
}

static inline void counter_bump(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* virtio 1.2, 2.7.10: has `event` been passed on the way from `old` to `now`? */
static inline bool event_is_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* Walks along the buffers of one chain. */
struct vring_chain {
	struct vring *r;
	uint64_t gpa; /* the rest of the buffer at hand */
	uint32_t left;
	uint32_t steps; /* descriptors read, tables included */
	uint32_t ring_steps; /* packed: of these, in the ring */
	uint32_t entries; /* of the indirect table that it is in; 0: in the ring */
	uint64_t table;
	uint64_t written_at; /* bytes that were given out to be written, and are not marked yet */
	uint32_t written;
	uint16_t head, next; /* descriptors, in the ring; in ring or table */
	uint16_t want; /* DESC_WRITE or 0: what its buffers must be for */
	bool turns; /* buffers to read may be followed by such to write; `want` is what the one at hand is for */
	uint16_t id; /* packed: of the last descriptor in the ring */
	bool more, ring_more; /* another descriptor follows, in the ring */
	bool is_bad; /* it makes no sense */
};

/* `head`: a descriptor of the ring. */
static inline struct vring_chain chain_at(struct vring *r, uint16_t head, uint16_t want)
{
	return (struct vring_chain){
		.r = r, .head = head, .next = head, .want = want, .more = true, .ring_more = true
	};
}

/* What the last chain_span() gave has been written, if the chain is one to write to. */
static inline void chain_mark(struct vring_chain *c)
{
	if (c->written != 0)
		dirty_log_mark(c->r->marks.log, c->written_at, c->written);
	c->written = 0;
}

/* Bytes of the device's area have been written. */
static inline void device_mark(const struct vring *r, uint64_t offset, uint64_t len)
{
	if (r->is_marked && r->marks.device)
		dirty_log_mark(r->marks.log, r->marks.device_at + offset, len);
}

/* Marks it as bad: it has no further buffer. */
void chain_spoil(struct vring_chain *c);

/* On to the next buffer with a byte in it. False: the chain ends or is bad. */
bool chain_buffer_next(struct vring_chain *c);

/* The next bytes that lie together, at most *len; NULL: the chain ends or is bad. Those before have been written. */
static inline uint8_t *chain_span(struct vring_chain *c, uint32_t *len)
{
	uint8_t *p;

	chain_mark(c);
	if (c->left == 0 && !chain_buffer_next(c))
		return NULL;
	*len = (uint32_t)u64_min(*len, c->left);
	p = guest_at(c->r->memory, c->gpa, len);
	if (p == NULL) {
		chain_spoil(c);
		return NULL;
	}
	if (c->r->is_marked && c->r->marks.buffers && c->want == DESC_WRITE) {
		c->written_at = c->gpa;
		c->written = *len;
	}
	c->gpa += *len;
	c->left -= *len;
	return p;
}

/* Fetches ahead what a chain's first descriptor names now. Only a hint: it is read and checked when its turn comes. */
static inline void chain_prefetch(const struct vring *r, uint32_t head)
{
	uint32_t len = 1;

	__builtin_prefetch(
		guest_at(r->memory, shared_u64(r->desc + (size_t)head * DESC_BYTES), &len));
}

/* Packed: reads on to the end of the chain in the ring, so that ring_steps and id are known. False: there is none. */
bool chain_end_find(struct vring_chain *c);

/* vring_start() as far as where it lies: not started, and it stands nowhere yet. */
int vring_attach(struct vring *r, const struct vring_start *s, struct err *e);

/* Started, and nothing wrong with it or its memory. */
bool vring_is_usable(struct vring *r);

/* virtio 1.2, 5.1.6.2: what is left to be done to the frame, as flags of m. -EBADMSG: what the driver may not ask for. */
int frame_request_read(const struct vring *r, const struct virtio_net_hdr_v1 *header,
		       struct rte_mbuf *m);

/* 5.1.6.4. False: the guest did not say that it takes this. */
bool frame_header_make(const struct vring *r, const struct rte_mbuf *m,
		       struct virtio_net_hdr_v1 *header);

/* The frame in a chain of the guest's; NULL: dropped and counted. */
struct rte_mbuf *frame_take(struct vring_chain *c, struct rte_mempool *pool);

/* A frame on its way into one or several chains. */
struct frame_put {
	struct vring *ring;
	struct frame_spot {
		const struct rte_mbuf *seg;
		uint32_t at; /* byte of it that is next */
		uint32_t left; /* bytes of the frame */
	} spot;
	bool has_header; /* is written */
	struct virtio_net_hdr_v1 header;
	uint8_t *count_at[2]; /* where num_buffers lies: two bytes, maybe in two buffers */
	uint64_t count_gpa[2];
};

/* False: not for this guest; counted. */
bool frame_put_begin(struct frame_put *p, struct vring *r, const struct rte_mbuf *m);

/* Writes what fits, returns how many bytes, header included. 0: the chain is bad, and counted. */
uint32_t frame_put_chain(struct frame_put *p, struct vring_chain *c);

void frame_put_count(const struct frame_put *p, uint32_t chains);

/*
 * Fetches a cache line to write it. __builtin_prefetch() fetches it to read where the compiler may not assume PREFETCHW, and
 * then the store waits for the other core once more; processors without it take it for no operation.
 */
static inline void prefetch_write(const void *p)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const uint8_t *)p));
}

static inline void part_prefetch(const uint8_t *p, uint16_t want)
{
	if (want == 0) {
		__builtin_prefetch(p);
		__builtin_prefetch(p + 64);
	} else {
		prefetch_write(p);
		prefetch_write(p + 64);
	}
}

/* A chain's buffers, if it is whole and there is room for them. */
bool look_gather(struct vring_look *l, struct vring_chain *c, struct vring_looked *out);

/* The region of memory that the last buffer was in, at hand. */
struct look_region {
	uint64_t gpa, size;
	uint8_t *at;
};

static inline struct look_region look_region(const struct vring *r)
{
	const struct guest_region *first = &r->memory->regions[0];

	return (struct look_region){ first->gpa, first->size, first->at };
}

/* NULL: they do not lie together. */
static inline uint8_t *look_at(const struct vring *r, struct look_region *region, uint64_t gpa,
			       uint32_t len)
{
	uint64_t off = gpa - region->gpa;

	if (off < region->size && len <= region->size - off)
		return region->at + off;
	for (unsigned int i = 0; i < r->memory->count; i++) {
		const struct guest_region *other = &r->memory->regions[i];

		off = gpa - other->gpa;
		if (off >= other->size || len > other->size - off)
			continue;
		*region = (struct look_region){ other->gpa, other->size, other->at };
		return other->at + off;
	}
	return NULL;
}

/*
 * The plain case, a chain of one buffer that lies together. False: it is something else. The descriptor's words are what
 * was read of it once; its buffer is fetched ahead.
 */
static inline bool look_plain(struct vring_look *l, struct look_region *region, uint64_t addr,
			      uint64_t rest)
{
	uint16_t flags = (uint16_t)(l->ring->is_packed ? rest >> 48 : rest >> 32);
	struct vring_looked *out = &l->chains[l->count];
	uint32_t len = (uint32_t)rest;
	uint8_t *p;

	if ((flags & (DESC_NEXT | DESC_WRITE | DESC_INDIRECT)) != l->want || len == 0 ||
	    l->part_count == LOOK_PARTS)
		return false;
	p = look_at(l->ring, region, addr, len);
	if (p == NULL)
		return false;
	part_prefetch(p, l->want);
	out->part = l->part_count;
	out->part_count = 1;
	l->parts[l->part_count++] = (struct vring_part){ p, len };
	return true;
}

/* One kind of ring. Each call is made only while the ring is not broken. */
void split_start(struct vring *r);
uint16_t split_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
		       uint16_t n);
uint16_t split_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n);
bool split_wants_call(const struct vring *r);
void split_want_kicks(struct vring *r);
uint32_t split_available(struct vring *r, uint32_t cap);

void packed_start(struct vring *r, uint32_t base);
uint16_t packed_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
			uint16_t n);
uint16_t packed_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n);
bool packed_wants_call(const struct vring *r);
void packed_want_kicks(struct vring *r);
uint32_t packed_available(struct vring *r, uint32_t cap);
size_t packed_inflight_bytes(uint32_t size);
size_t split_inflight_bytes(uint32_t size);

/* As vring_dequeue() and vring_enqueue(), as far as frames are of the usual sort: one mbuf, nothing wrong. */
uint16_t look_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
		      uint16_t n);
uint16_t look_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n);

bool split_waits(const struct vring *r);
void split_ahead(const struct vring *r);
uint16_t split_look(struct vring_look *l, uint16_t n);
void split_use(struct vring_look *l);
bool packed_waits(const struct vring *r);
void packed_ahead(const struct vring *r);
uint16_t packed_look(struct vring_look *l, uint16_t n);
void packed_use(struct vring_look *l);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From ring to ring with one copy: chains that wait in a ring are looked at (read and checked, once) without being used,
 * what they hold is put into chains of another ring that were looked at likewise, then both are used.
 *
 * A kill between any two instructions leaves each ring as vring.h says, and no frame is sent twice. Nothing that was looked at may be touched when the ring has been started
 * anew. Whatever is out of the ordinary is `is_odd`, and left to vring_dequeue() and vring_enqueue(), which alone decide
 * what is dropped for a fault in a ring.
 */
#ifndef VIADUCT_PMD_BACKENDS_VRING_LOOK_H
#define VIADUCT_PMD_BACKENDS_VRING_LOOK_H

#include "pmd-backends/vring.h"

#include <rte_common.h>

#include <stdatomic.h>

#define LOOK_CHAINS  64
#define VRING_HEADER 12U /* bytes before a frame (virtio 1.2, 5.1.6.1) */
#define LOOK_PARTS   192 /* buffers of all of them */

/* Bytes that lie together in memory of the guest's. */
struct vring_part {
	uint8_t *at;
	uint32_t len;
};

struct vring_looked {
	uint16_t id; /* split: head; packed: buffer id */
	uint16_t steps; /* packed: descriptors in the ring */
	uint16_t part, part_count; /* in `parts` */
	uint32_t len; /* bytes written, for the driver */
};

struct vring_look {
	struct vring *ring;
	uint16_t want; /* DESC_WRITE: the guest receives; 0: it sends */
	bool is_odd; /* the next chain, if there is one, is not for this way */
	bool is_short; /* there may be more, which a new look finds */
	uint16_t count; /* chains */
	uint16_t filled; /* of these, from the first on, hold frames (or are done with) */
	uint16_t joined; /* of these, such as hold the rest of a frame */
	uint16_t part_count;
	uint32_t steps; /* packed: descriptors in the ring, of all chains */
	struct vring_looked chains[LOOK_CHAINS];
	struct vring_part parts[LOOK_PARTS];
};

/* False: the ring has nothing, or has marks to make. `is_sender`: the guest's frames are in it, else room for frames. */
bool vring_look_begin(struct vring_look *l, struct vring *r, bool is_sender);

/* Is anything there? Cheap, and may be wrong where vring_look_on() then finds nothing. */
bool vring_look_waits(const struct vring_look *l);

/* What the next look will read, and the next use write, is fetched ahead. */
void vring_look_ahead(const struct vring_look *l);

/* Looks at up to n more chains; what they name is fetched ahead. Returns how many, 0 at the end or where `is_odd`. */
uint16_t vring_look_on(struct vring_look *l, uint16_t n);

/* Bytes of the frames in the first `filled` chains. */
uint64_t vring_look_bytes(const struct vring_look *l);

/*
 * The first `filled` chains are used (published), and the looks are over: the sender's first (NULL: it has no ring), so that a
 * frame that a receiver has is never sent again, whenever the process is killed.
 */
void vring_look_use(struct vring_look *sender, struct vring_look *const *receivers,
		    unsigned int count);

/* What of a sender's frame is still in the guest's memory. */
struct vring_rest {
	const struct vring_part *parts;
	uint32_t at; /* bytes passed, from the first part on */
	uint32_t len; /* bytes */
};

/*
 * The frame of a sender's chain: its first bytes are copied into m (empty, one segment, of the caller's own), which gets the length
 * of the whole and flags as endpoint.h says; the others are `rest`. False: a frame that makes no sense.
 */
bool vring_head_take(const struct vring_look *l, uint16_t chain, struct rte_mbuf *m,
		     struct vring_rest *rest);

/* A sender's frame, whole, into m (empty, one segment). False: it makes no sense, or is too long for it. */
bool vring_frame_take(const struct vring_look *l, uint16_t chain, struct rte_mbuf *m);

#define PLAIN_HEAD 64U /* bytes */
#define PLAIN_LEAST \
	48U /* what is read twice of a frame shorter than its head is behind what is checked */

/* Half a head, in a register or two. */
typedef uint64_t vring_word __attribute__((vector_size(32), aligned(1), may_alias));

/* A header without requests, of one buffer (virtio 1.2, 5.1.6.1), and four bytes of the frame, which come next. */
typedef uint32_t vring_quad __attribute__((vector_size(16), aligned(1), may_alias));

/* A frame with nothing left to be done to it whose bytes lie together, and its first bytes, copied. */
struct vring_plain {
	const uint8_t *at;
	uint32_t len; /* bytes of the frame; at least PLAIN_LEAST */
	vring_word a, b; /* of a frame shorter than PLAIN_HEAD, b is its last 32 bytes */
};

static __rte_always_inline uint32_t vring_plain_second(uint32_t len)
{
	return len < PLAIN_HEAD ? len - 32 : 32;
}

/*
 * Of len bytes, at least PLAIN_LEAST. The head stays in registers, and few stores write it: the copy waits for them, since each
 * line of the receiver's buffer comes from its guest's core, and the store queue holds what is behind.
 */
static __rte_always_inline void vring_plain_read(struct vring_plain *out, const uint8_t *at,
						 uint32_t len)
{
	out->at = at;
	out->len = len;
	out->a = *(const vring_word *)at;
	out->b = *(const vring_word *)(at + vring_plain_second(len));
	/* The copies are what counts: not to be fetched again. */
	atomic_signal_fence(memory_order_seq_cst);
}

static __rte_always_inline void vring_plain_write(const struct vring_plain *f, uint8_t *at)
{
	*(vring_word *)at = f->a;
	*(vring_word *)(at + vring_plain_second(f->len)) = f->b;
	if (f->len > PLAIN_HEAD)
		memcpy(at + PLAIN_HEAD, f->at + PLAIN_HEAD, f->len - PLAIN_HEAD);
}

/* False: the frame of that chain is not plain. */
static __rte_always_inline bool vring_plain_take(const struct vring_look *l, uint16_t chain,
						 struct vring_plain *out)
{
	const struct vring_looked *c = &l->chains[chain];
	const struct vring_part *part = &l->parts[c->part];
	uint16_t asks; /* flags and gso_type of its header (virtio 1.2, 5.1.6) */

	if (c->part_count != 1 || part->len < VRING_HEADER + PLAIN_LEAST ||
	    part->len > VRING_HEADER + VRING_MAX_FRAME)
		return false;
	memcpy(&asks, part->at, sizeof(asks));
	vring_plain_read(out, part->at + VRING_HEADER, part->len - VRING_HEADER);
	return asks == 0;
}

/* False: it takes more than one buffer that has been looked at already. */
static __rte_always_inline bool vring_plain_put(struct vring_look *to, const struct vring_plain *f)
{
	struct vring_looked *c = &to->chains[to->filled];
	const struct vring_part *part = &to->parts[c->part];

	if (to->filled == to->count || c->part_count != 1 || part->len < VRING_HEADER + f->len)
		return false;
	/* num_buffers is behind two bytes of zeros. */
	*(vring_quad *)part->at = (vring_quad){ 0, 0, 1U << 16, 0 };
	vring_plain_write(f, part->at + VRING_HEADER);
	c->len = VRING_HEADER + f->len;
	to->filled++;
	return true;
}

enum vring_put {
	VRING_PUT_DONE,
	VRING_PUT_FULL, /* the driver has no room for it */
	VRING_PUT_SHORT, /* not in this look, maybe in a new one */
	VRING_PUT_ODD,
};

/* The frame (m as for vring_enqueue(), but for what is in `rest`) into the receiver's next chains: all of it or nothing. */
enum vring_put vring_put(struct vring_look *to, const struct rte_mbuf *m,
			 const struct vring_rest *rest);

#endif

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

/* False: the ring has nothing. `is_sender`: the guest's frames are in it, else room for frames. */
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
 * The first `filled` chains are used (published), and the looks are over: the sender's first, so that a frame that a receiver
 * has is never sent again, whenever the process is killed.
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

#define PLAIN_HEAD 64U /* bytes */
#define PLAIN_LEAST \
	48U /* what is read twice of a frame shorter than its head is behind what is checked */

/* Sixteen bytes in a register. */
typedef uint64_t vring_word __attribute__((vector_size(16), aligned(1), may_alias));

/* The buffer of a frame with nothing left to be done to it, and the frame's first bytes, copied. */
struct vring_plain {
	const uint8_t *at; /* behind the header */
	uint32_t len; /* bytes of the frame; at least PLAIN_LEAST */
	vring_word a, b, c, d; /* of a frame shorter than PLAIN_HEAD, c and d are its last 32 */
};

static inline uint32_t vring_plain_third(uint32_t len)
{
	return len < PLAIN_HEAD ? len - 32 : 32;
}

/*
 * False: the frame of that chain is not plain. The head stays in registers: the copy waits for stores, since each line of the
 * receiver's buffer comes from its guest's core, and the store queue holds what is behind.
 */
static inline bool vring_plain_take(const struct vring_look *l, uint16_t chain,
				    struct vring_plain *out)
{
	const struct vring_looked *c = &l->chains[chain];
	const struct vring_part *part = &l->parts[c->part];
	const uint8_t *third;
	uint16_t asks; /* flags and gso_type of its header (virtio 1.2, 5.1.6) */

	if (c->part_count != 1 || part->len < VRING_HEADER + PLAIN_LEAST ||
	    part->len > VRING_HEADER + VRING_MAX_FRAME)
		return false;
	memcpy(&asks, part->at, sizeof(asks));
	out->at = part->at + VRING_HEADER;
	out->len = part->len - VRING_HEADER;
	out->a = *(const vring_word *)out->at;
	out->b = *(const vring_word *)(out->at + 16);
	third = out->at + vring_plain_third(out->len);
	out->c = *(const vring_word *)third;
	out->d = *(const vring_word *)(third + 16);
	/* The copies are what counts: not to be fetched again. */
	__asm__ volatile("" : "+r"(asks), "+x"(out->a), "+x"(out->b), "+x"(out->c), "+x"(out->d));
	return asks == 0;
}

/* False: it takes more than one buffer that has been looked at already. */
static inline bool vring_plain_put(struct vring_look *to, const struct vring_plain *f)
{
	struct vring_looked *c = &to->chains[to->filled];
	const struct vring_part *part = &to->parts[c->part];
	uint8_t *at = part->at + VRING_HEADER;
	uint64_t zero = 0;
	uint32_t count = 1U << 16; /* num_buffers, behind two bytes of zeros */

	if (to->filled == to->count || c->part_count != 1 || part->len < VRING_HEADER + f->len)
		return false;
	memcpy(part->at, &zero, sizeof(zero));
	memcpy(part->at + 8, &count, sizeof(count));
	*(vring_word *)at = f->a;
	*(vring_word *)(at + 16) = f->b;
	*(vring_word *)(at + vring_plain_third(f->len)) = f->c;
	*(vring_word *)(at + vring_plain_third(f->len) + 16) = f->d;
	if (f->len > PLAIN_HEAD)
		memcpy(at + PLAIN_HEAD, f->at + PLAIN_HEAD, f->len - PLAIN_HEAD);
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

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtqueue, split or packed, as the VMM itself serves it (virtio 1.2, 2.7 and 2.8): control queues, never the path of a packet.
 * All of it lies in guest RAM and is hostile: each field is read once, through gmem_*, and checked; every
 * walk is bounded by the queue's size. Not thread-safe.
 */
#ifndef VIADUCT_VMM_VIRTQUEUE_H
#define VIADUCT_VMM_VIRTQUEUE_H

#include "vmm/gmem.h"

#define VIRTQ_SIZE_MAX	 32768 /* virtio 1.2, 2.7 */
#define VIRTQ_PIECES_MAX 64 /* of one chain, more than any control command has */

#define VIRTQ_DESC_BYTES	16U
#define VIRTQ_AVAIL_BYTES(size) (6U + 2U * (size)) /* with used_event */
#define VIRTQ_USED_BYTES(size)	(6U + 8U * (size)) /* with avail_event */
#define VIRTQ_PACKED_START	0x80008000U /* as virtqueue_packed_find() has it */
#define VIRTQ_EVENT_BYTES	4U /* of a packed ring: each of the two areas beside its descriptors */

struct virtqueue {
	const struct gmem *gmem;
	uint16_t size; /* a power of two, at most VIRTQ_SIZE_MAX */
	uint64_t desc, avail,
		used; /* guest-physical; of a packed ring: descriptors, driver's and device's area */
	bool is_packed, has_event_idx, has_indirect; /* what was negotiated */
	uint16_t avail_at; /* the next entry to take */
	uint16_t used_at;
	bool avail_is_odd, used_is_odd; /* laps of a packed ring: then its wrap counter is 0 */
};

struct virtq_piece {
	uint64_t gpa;
	uint32_t len;
};

/* What the guest put into the queue: first what the device reads, then what it writes. */
struct virtq_chain {
	uint16_t head; /* or a packed ring's buffer id */
	uint16_t count; /* of entries that it takes in a packed ring */
	unsigned int read_count, write_count;
	struct virtq_piece read[VIRTQ_PIECES_MAX], write[VIRTQ_PIECES_MAX];
};

/* True if rings of this size at these addresses are aligned and lie in guest RAM. */
bool virtqueue_fits(const struct virtqueue *vq);

/* 1: a chain; 0: there is none. -EBADMSG or -EFAULT: what the guest put there breaks the rules, and the device needs
 * a reset. Of an empty queue the guest is told to ring again. */
int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *chain);

/* Gives the chain back; `written` bytes are the guest's to read. 1: the guest wants an interrupt, 0: it does not. */
int virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t written);

/* Where a packed ring stands that somebody else has served and that nobody serves now: descriptors before the place
 * are used, none after it, as SET_VRING_BASE has it (available and used alike: bits 0-14 where, 15 the wrap counter, then
 * the same again). Known by the flags alone if each buffer was one descriptor and used in its turn; else false. */
bool virtqueue_packed_find(const struct virtqueue *vq, uint32_t *place);

/* Copies from the readable pieces, from `off` on; how many bytes there were, at most len. -EFAULT: not RAM. */
int64_t virtq_chain_read(const struct virtqueue *vq, const struct virtq_chain *chain, uint64_t off,
			 void *buf, uint64_t len);

/* Writes into the first writable pieces. -EBADMSG: there is no room for len bytes. */
int virtq_chain_write(const struct virtqueue *vq, const struct virtq_chain *chain, const void *buf,
		      uint64_t len);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the two layouts of a virtqueue share (virtio 1.2, 2.7 and 2.8): their descriptors, and how a chain is put
 * together. Private to virtqueue.c and virtqueue_packed.c.
 */
#ifndef VIADUCT_VMM_VIRTQUEUE_PARTS_H
#define VIADUCT_VMM_VIRTQUEUE_PARTS_H

#include "vmm/virtqueue.h"

/* Flags of a descriptor (2.7.5, 2.8.1) */
#define DESC_NEXT     0x1
#define DESC_WRITE    0x2
#define DESC_INDIRECT 0x4

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t words[2]; /* split: flags, next; packed: id, flags */
};

/* One access to guest RAM each; -EFAULT: not RAM. */
int virtq_u16_read(const struct virtqueue *vq, uint64_t gpa, uint16_t *out);
int virtq_u16_write(const struct virtqueue *vq, uint64_t gpa, uint16_t value);

/* The i-th of a table. */
int virtq_desc_read(const struct virtqueue *vq, uint64_t table, uint32_t i, struct virtq_desc *out);

/* Adds one buffer to the chain. -EBADMSG, -EFAULT: it breaks the rules. */
int virtq_piece_add(const struct virtqueue *vq, struct virtq_chain *chain,
		    const struct virtq_desc *d, uint16_t flags);

/* How many entries an indirect table has; -EBADMSG: no number that may be. */
int64_t virtq_indirect_count(const struct virtqueue *vq, const struct virtq_desc *d);

/* virtqueue_pop() and virtqueue_push() of a packed ring. */
int virtqueue_packed_pop(struct virtqueue *vq, struct virtq_chain *chain);
int virtqueue_packed_push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t written);

#endif

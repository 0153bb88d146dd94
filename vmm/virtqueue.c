// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/virtqueue_parts.h"

#include <errno.h>
#include <stdatomic.h>

#define DESC_FLAGS (DESC_NEXT | DESC_WRITE | DESC_INDIRECT)

#define AVAIL_NO_INTERRUPT 0x1

#define RING_IDX     2U
#define RING_ENTRIES 4U

#define DESC_ALIGN  16U
#define AVAIL_ALIGN 2U
#define USED_ALIGN  4U
#define EVENT_ALIGN 4U /* both of a packed ring */

bool virtqueue_fits(const struct virtqueue *vq)
{
	uint32_t avail = vq->is_packed ? VIRTQ_EVENT_BYTES : VIRTQ_AVAIL_BYTES(vq->size);
	uint32_t used = vq->is_packed ? VIRTQ_EVENT_BYTES : VIRTQ_USED_BYTES(vq->size);

	return is_pow2(vq->size) && vq->size <= VIRTQ_SIZE_MAX &&
	       is_aligned(vq->desc, DESC_ALIGN) &&
	       is_aligned(vq->avail, vq->is_packed ? EVENT_ALIGN : AVAIL_ALIGN) &&
	       is_aligned(vq->used, USED_ALIGN) &&
	       gmem_host(vq->gmem, vq->desc, VIRTQ_DESC_BYTES * vq->size) != NULL &&
	       gmem_host(vq->gmem, vq->avail, avail) != NULL &&
	       gmem_host(vq->gmem, vq->used, used) != NULL;
}

int virtq_u16_read(const struct virtqueue *vq, uint64_t gpa, uint16_t *out)
{
	uint8_t bytes[2];
	int r = gmem_read(vq->gmem, gpa, bytes, sizeof(bytes));

	if (r == 0)
		*out = get_le16(bytes);
	return r;
}

int virtq_u16_write(const struct virtqueue *vq, uint64_t gpa, uint16_t value)
{
	uint8_t bytes[2];

	put_le16(bytes, value);
	return gmem_write(vq->gmem, gpa, bytes, sizeof(bytes));
}

int virtq_desc_read(const struct virtqueue *vq, uint64_t table, uint32_t i, struct virtq_desc *out)
{
	uint8_t bytes[VIRTQ_DESC_BYTES];
	int r = gmem_read(vq->gmem, table + (uint64_t)VIRTQ_DESC_BYTES * i, bytes, sizeof(bytes));

	if (r == 0)
		*out = (struct virtq_desc){ get_le64(bytes),
					    get_le32(bytes + 8),
					    { get_le16(bytes + 12), get_le16(bytes + 14) } };
	return r;
}

int virtq_piece_add(const struct virtqueue *vq, struct virtq_chain *chain,
		    const struct virtq_desc *d, uint16_t flags)
{
	struct virtq_piece *list = chain->read;
	unsigned int *count = &chain->read_count;

	if ((flags & DESC_WRITE) != 0) {
		list = chain->write;
		count = &chain->write_count;
	} else if (chain->write_count != 0) {
		return -EBADMSG; /* 2.7.4.2: what the device reads comes first */
	}
	if (d->len == 0 || *count == VIRTQ_PIECES_MAX)
		return -EBADMSG;
	if (gmem_host(vq->gmem, d->addr, d->len) == NULL)
		return -EFAULT;
	list[(*count)++] = (struct virtq_piece){ d->addr, d->len };
	return 0;
}

int64_t virtq_indirect_count(const struct virtqueue *vq, const struct virtq_desc *d)
{
	uint32_t count = d->len / VIRTQ_DESC_BYTES;

	if (d->len % VIRTQ_DESC_BYTES != 0 || count == 0 || count > vq->size)
		return -EBADMSG;
	return count;
}

/* A table of descriptors: the queue's own, or an indirect one. */
struct table {
	uint64_t gpa;
	uint32_t count;
	bool is_indirect;
};

/* Walks one chain of a table; a descriptor that leads to an indirect table is left in *indirect. */
static int table_walk(const struct virtqueue *vq, const struct table *t, uint16_t at,
		      struct virtq_chain *chain, struct virtq_desc *indirect)
{
	for (uint32_t steps = 0; steps < t->count; steps++) {
		struct virtq_desc d;
		int r = at < t->count ? virtq_desc_read(vq, t->gpa, at, &d) : -EBADMSG;
		uint16_t flags;

		if (r < 0)
			return r;
		flags = d.words[0];
		if ((flags & ~DESC_FLAGS) != 0)
			return -EBADMSG;
		if ((flags & DESC_INDIRECT) != 0) {
			/* 2.7.5.3.1: never in an indirect table, never with NEXT */
			if (t->is_indirect || !vq->has_indirect || (flags & DESC_NEXT) != 0)
				return -EBADMSG;
			*indirect = d;
			return 0;
		}
		r = virtq_piece_add(vq, chain, &d, flags);
		if (r < 0)
			return r;
		if ((flags & DESC_NEXT) == 0)
			return 0;
		at = d.words[1];
	}
	return -EBADMSG; /* a loop */
}

static int chain_walk(const struct virtqueue *vq, uint16_t head, struct virtq_chain *chain)
{
	const struct table own = { vq->desc, vq->size, false };
	struct virtq_desc d = { 0 };
	int64_t count;
	int r;

	*chain = (struct virtq_chain){ .head = head };
	r = table_walk(vq, &own, head, chain, &d);
	if (r < 0 || d.words[0] == 0)
		return r;
	count = virtq_indirect_count(vq, &d);
	if (count < 0)
		return (int)count;
	return table_walk(vq, &(struct table){ d.addr, (uint32_t)count, true }, 0, chain, &d);
}

/* How many entries wait; with none, the guest is asked to ring for the next one. */
static int waiting(const struct virtqueue *vq, uint16_t *out)
{
	uint16_t idx = 0;
	int r = 0;

	for (int looks = 0; looks < 2; looks++) {
		r = virtq_u16_read(vq, vq->avail + RING_IDX, &idx);
		if (r < 0)
			return r;
		*out = (uint16_t)(idx - vq->avail_at);
		if (*out != 0 || !vq->has_event_idx)
			break;
		r = virtq_u16_write(vq, vq->used + RING_ENTRIES + 8U * vq->size, vq->avail_at);
		if (r < 0)
			return r;
		/* seq_cst: pairs with the guest's barrier between its index and its look at avail_event */
		atomic_thread_fence(memory_order_seq_cst);
	}
	return *out > vq->size ? -EBADMSG : 0;
}

int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *chain)
{
	uint16_t count = 0, head = 0;
	int r;

	if (vq->is_packed)
		return virtqueue_packed_pop(vq, chain);
	r = waiting(vq, &count);
	if (r < 0 || count == 0)
		return r;
	/* acquire: pairs with the guest's barrier before it moves its index */
	atomic_thread_fence(memory_order_acquire);
	r = virtq_u16_read(vq, vq->avail + RING_ENTRIES + 2U * (vq->avail_at % vq->size), &head);
	if (r == 0)
		r = chain_walk(vq, head, chain);
	if (r < 0)
		return r;
	vq->avail_at++;
	return 1;
}

int virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t written)
{
	uint8_t entry[8];
	uint16_t flags = 0;
	int r;

	if (vq->is_packed)
		return virtqueue_packed_push(vq, chain, written);
	put_le32(entry, chain->head);
	put_le32(entry + 4, written);
	r = gmem_write(vq->gmem, vq->used + RING_ENTRIES + 8U * (vq->used_at % vq->size), entry,
		       sizeof(entry));
	if (r < 0)
		return r;
	/* release: pairs with the guest's barrier after it has read the index */
	atomic_thread_fence(memory_order_release);
	r = virtq_u16_write(vq, vq->used + RING_IDX, ++vq->used_at);
	if (r < 0)
		return r;
	/* seq_cst: the index is there before the guest's wish is read */
	atomic_thread_fence(memory_order_seq_cst);
	if (vq->has_event_idx) {
		r = virtq_u16_read(vq, vq->avail + RING_ENTRIES + 2U * vq->size, &flags);
		return r < 0 ? r : (uint16_t)(vq->used_at - 1) == flags;
	}
	r = virtq_u16_read(vq, vq->avail, &flags);
	return r < 0 ? r : (flags & AVAIL_NO_INTERRUPT) == 0;
}

int64_t virtq_chain_read(const struct virtqueue *vq, const struct virtq_chain *chain, uint64_t off,
			 void *buf, uint64_t len)
{
	uint64_t done = 0;

	for (unsigned int i = 0; i < chain->read_count && done < len; i++) {
		const struct virtq_piece *p = &chain->read[i];
		uint64_t n;

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		n = u64_min(len - done, p->len - off);
		if (gmem_read(vq->gmem, p->gpa + off, (uint8_t *)buf + done, n) < 0)
			return -EFAULT;
		done += n;
		off = 0;
	}
	return (int64_t)done;
}

int virtq_chain_write(const struct virtqueue *vq, const struct virtq_chain *chain, const void *buf,
		      uint64_t len)
{
	uint64_t done = 0;

	for (unsigned int i = 0; i < chain->write_count && done < len; i++) {
		const struct virtq_piece *p = &chain->write[i];
		uint64_t n = u64_min(len - done, p->len);

		if (gmem_write(vq->gmem, p->gpa, (const uint8_t *)buf + done, n) < 0)
			return -EFAULT;
		done += n;
	}
	return done == len ? 0 : -EBADMSG;
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * The packed ring (virtio 1.2, 2.8): one table whose entries are available or used by two of their flags, read against a
 * wrap counter that turns with each lap.
 */
#include "vmm/virtqueue_parts.h"

#include <errno.h>
#include <stdatomic.h>

#define DESC_AVAIL 0x0080U
#define DESC_USED  0x8000U

#define DESC_LEN   8U
#define DESC_FLAGS 14U

/* Event suppression (2.8.10): a place with its wrap counter, then what is wished. */
#define EVENT_FLAGS   2U
#define EVENT_ENABLE  0
#define EVENT_DISABLE 1
#define EVENT_DESC    2

static uint64_t desc_at(const struct virtqueue *vq, uint16_t at)
{
	return vq->desc + (uint64_t)VIRTQ_DESC_BYTES * at;
}

static bool is_available(uint16_t flags, bool wrap)
{
	return ((flags & DESC_AVAIL) != 0) == wrap && ((flags & DESC_USED) != 0) != wrap;
}

/* Moves a place on by `count`, at most one lap. */
static void place_move(const struct virtqueue *vq, uint16_t *at, bool *is_odd_lap, uint16_t count)
{
	uint32_t to = (uint32_t)*at + count;

	if (to >= vq->size) {
		to -= vq->size;
		*is_odd_lap = !*is_odd_lap;
	}
	*at = (uint16_t)to;
}

/* 1: there is a chain at the place; 0: not yet, and the guest is asked to ring for it. */
static int waiting(const struct virtqueue *vq)
{
	bool wrap = !vq->avail_is_odd;
	uint16_t flags = 0;
	int r = 0;

	for (int looks = 0; looks < 2; looks++) {
		r = virtq_u16_read(vq, desc_at(vq, vq->avail_at) + DESC_FLAGS, &flags);
		if (r < 0 || is_available(flags, wrap))
			return r < 0 ? r : 1;
		if (!vq->has_event_idx)
			break; /* the flags say ENABLE since the ring was made: they are never changed */
		r = virtq_u16_write(vq, vq->used, (uint16_t)(vq->avail_at | wrap << 15));
		if (r == 0)
			r = virtq_u16_write(vq, vq->used + EVENT_FLAGS, EVENT_DESC);
		if (r < 0)
			break;
		/* seq_cst: pairs with the guest's barrier between its flags and its look at the event */
		atomic_thread_fence(memory_order_seq_cst);
	}
	return r;
}

/* Of the entries of an indirect table only WRITE counts, and none leads on (2.8.7, 2.8.8). */
static int indirect_walk(const struct virtqueue *vq, const struct virtq_desc *at,
			 struct virtq_chain *chain)
{
	int64_t count = virtq_indirect_count(vq, at);
	int r = count < 0 ? (int)count : 0;

	for (int64_t i = 0; r == 0 && i < count; i++) {
		struct virtq_desc d;

		r = virtq_desc_read(vq, at->addr, (uint32_t)i, &d);
		if (r == 0 && (d.words[1] & (DESC_NEXT | DESC_INDIRECT)) != 0)
			r = -EBADMSG;
		if (r == 0)
			r = virtq_piece_add(vq, chain, &d, d.words[1]);
	}
	return r;
}

/* A chain lies in a row; its last descriptor has its id. */
static int chain_walk(const struct virtqueue *vq, struct virtq_chain *chain)
{
	uint16_t at = vq->avail_at;
	bool is_odd = vq->avail_is_odd;

	*chain = (struct virtq_chain){ .count = 0 };
	while (chain->count < vq->size) {
		struct virtq_desc d;
		int r = virtq_desc_read(vq, vq->desc, at, &d);
		uint16_t flags;

		if (r < 0)
			return r;
		flags = d.words[1];
		chain->count++;
		chain->head = d.words[0];
		if ((flags & DESC_INDIRECT) != 0) {
			/* 2.8.8: a chain of its own */
			if (!vq->has_indirect || (flags & DESC_NEXT) != 0 || chain->count != 1)
				return -EBADMSG;
			return indirect_walk(vq, &d, chain);
		}
		r = virtq_piece_add(vq, chain, &d, flags);
		if (r < 0 || (flags & DESC_NEXT) == 0)
			return r;
		place_move(vq, &at, &is_odd, 1);
	}
	return -EBADMSG; /* longer than the ring */
}

int virtqueue_packed_pop(struct virtqueue *vq, struct virtq_chain *chain)
{
	int r = waiting(vq);

	if (r <= 0)
		return r;
	/* acquire: pairs with the guest's barrier before it sets the first flags of a chain */
	atomic_thread_fence(memory_order_acquire);
	r = chain_walk(vq, chain);
	if (r < 0)
		return r;
	place_move(vq, &vq->avail_at, &vq->avail_is_odd, chain->count);
	return 1;
}

/* True if the guest wants to hear of something between the place before and the one now. */
static int interrupt_is_wanted(const struct virtqueue *vq, uint16_t count)
{
	uint16_t place = 0, flags = 0;
	int r = virtq_u16_read(vq, vq->avail + EVENT_FLAGS, &flags);
	uint16_t at;

	if (r < 0)
		return r;
	flags &= 3;
	if (flags != EVENT_DESC || !vq->has_event_idx)
		return flags != EVENT_DISABLE;
	r = virtq_u16_read(vq, vq->avail, &place);
	if (r < 0)
		return r;
	at = place & 0x7FFF;
	if ((place >> 15 != 0) == vq->used_is_odd)
		at = (uint16_t)(at - vq->size);
	return (uint16_t)(vq->used_at - at - 1) < count;
}

int virtqueue_packed_push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t written)
{
	uint64_t gpa = desc_at(vq, vq->used_at);
	uint16_t flags = (uint16_t)(vq->used_is_odd ? 0 : DESC_AVAIL | DESC_USED);
	uint8_t len_and_id[6];
	int r;

	put_le32(len_and_id, written);
	put_le16(len_and_id + 4, chain->head);
	r = gmem_write(vq->gmem, gpa + DESC_LEN, len_and_id, sizeof(len_and_id));
	if (r < 0)
		return r;
	/* release: pairs with the guest's barrier after it has read the flags */
	atomic_thread_fence(memory_order_release);
	r = virtq_u16_write(vq, gpa + DESC_FLAGS,
			    (uint16_t)(flags | (written != 0 ? DESC_WRITE : 0)));
	if (r < 0)
		return r;
	place_move(vq, &vq->used_at, &vq->used_is_odd, chain->count);
	/* seq_cst: the flags are there before the guest's wish is read */
	atomic_thread_fence(memory_order_seq_cst);
	return interrupt_is_wanted(vq, chain->count);
}

bool virtqueue_packed_find(const struct virtqueue *vq, uint32_t *place)
{
	bool first = false, last = false;
	uint16_t at = 0;

	for (uint16_t i = 0; i < vq->size; i++) {
		uint16_t flags = 0;
		bool is_used;

		if (virtq_u16_read(vq, desc_at(vq, i) + DESC_FLAGS, &flags) < 0)
			return false;
		is_used = (flags & DESC_USED) != 0;
		if (i == 0)
			first = is_used;
		else if (is_used != last && at != 0)
			return false;
		else if (is_used != last)
			at = i;
		last = is_used;
	}
	/* What was used in this lap has the lap's wrap counter; none of it at the start of a lap. */
	*place = at | (uint32_t)(at != 0 ? first : !first) << 15;
	*place |= *place << 16;
	return true;
}

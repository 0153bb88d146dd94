// SPDX-License-Identifier: BSD-3-Clause
/*
 * The order in which the region and the ring are written is what a successor relies on:
 *
 *  take:     counter of the chain, then its `inflight`.
 *  publish:  the list of used chains; the chains of this burst linked through `next` from last_batch_head; then the used
 *            index, one store; then each `inflight` 0; then used_idx of the region.
 *
 * Where a successor finds that index of the region behind the ring's, the driver has seen as many chains more as the
 * indexes are apart: they are those linked last, and their marks are wiped. What is marked then is taken again.
 */
#include "pmd-backends/vring_async.h"

#include "pmd-backends/vring_split.h"

#include <errno.h>
#include <stdlib.h>

static void mark_put(struct split_region *region, uint16_t head, uint8_t value)
{
	atomic_store_explicit((_Atomic uint8_t *)&region->desc[head].inflight, value,
			      memory_order_release);
}

static bool is_marked(const struct split_region *region, uint32_t head)
{
	return atomic_load_explicit((const _Atomic uint8_t *)&region->desc[head].inflight,
				    memory_order_relaxed) != 0;
}

static uint16_t used_index(const struct vring *r)
{
	return shared_u16(r->device + INDEX_AT);
}

static void region_make(struct vring_async *a)
{
	struct split_region *region = a->ring.inflight;

	for (uint32_t i = 0; i < a->ring.size; i++)
		mark_put(region, (uint16_t)i, 0);
	region->desc_num = (uint16_t)a->ring.size;
	region->last_batch_head = 0;
	region->used_idx = a->ring.at;
	/* release: whoever finds a version finds all of it */
	atomic_store_explicit((_Atomic uint16_t *)&region->version, 1, memory_order_release);
}

/* What the driver saw as used, and the predecessor had no time to note. */
static void region_catch_up(struct vring_async *a)
{
	struct split_region *region = a->ring.inflight;
	uint16_t behind = (uint16_t)(a->ring.at - shared_u16(&region->used_idx));
	uint16_t head = shared_u16(&region->last_batch_head);

	for (uint16_t i = 0; i < behind && i < a->ring.size && head < a->ring.size; i++) {
		mark_put(region, head, 0);
		head = shared_u16(&region->desc[head].next);
	}
	shared_put_u16(&region->used_idx, a->ring.at);
}

struct marked {
	uint64_t order;
	uint16_t head;
};

static int marked_compare(const void *a, const void *b)
{
	const struct marked *l = a, *r = b;

	return l->order < r->order ? -1 : l->order > r->order;
}

static int again_find(struct vring_async *a)
{
	struct split_region *region = a->ring.inflight;
	struct marked *list = calloc(a->ring.size, sizeof(*list));
	uint32_t count = 0;

	a->again = calloc(a->ring.size, sizeof(*a->again));
	if (list == NULL || a->again == NULL) {
		free(list);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < a->ring.size; i++)
		if (is_marked(region, i))
			list[count++] = (struct marked){ shared_u64(&region->desc[i].counter),
							 (uint16_t)i };
	qsort(list, count, sizeof(*list), marked_compare);
	for (uint32_t i = 0; i < count; i++)
		a->again[i] = list[i].head;
	a->order = count == 0 ? 0 : list[count - 1].order + 1;
	a->again_count = count;
	free(list);
	return 0;
}

static int resume(struct vring_async *a, uint32_t base)
{
	struct split_region *region = a->ring.inflight;
	int r;

	a->ring.at = used_index(&a->ring);
	a->next = a->ring.at;
	if (region == NULL) {
		a->next = (uint16_t)base;
		return 0;
	}
	if (shared_u16(&region->version) == 0 || shared_u16(&region->desc_num) != a->ring.size) {
		region_make(a);
		return 0;
	}
	region_catch_up(a);
	r = again_find(a);
	a->next = (uint16_t)(a->ring.at + a->again_count);
	return r;
}

int vring_async_start(struct vring_async *r, const struct vring_start *s, struct err *e)
{
	struct vring_async made = { 0 };
	int err = vring_attach(&made.ring, s, e);

	if (err < 0)
		return err;
	if (made.ring.is_packed)
		return err_set(e, EINVAL, "a packed ring");
	err = resume(&made, s->base);
	if (err < 0) {
		free(made.again);
		return err_set(e, err, "no memory");
	}
	made.ring.is_started = true;
	*r = made;
	vring_async_want_kicks(r, true);
	return 0;
}

uint32_t vring_async_stop(struct vring_async *r)
{
	uint32_t base = r->next;

	/* What was not taken again is found by its mark. */
	free(r->again);
	memset(r, 0, sizeof(*r));
	return base;
}

/* Chains that wait. More than there can be: nothing that such a driver says can be relied on. */
static uint16_t chains_ready(struct vring_async *r)
{
	/* acquire: pairs with the driver's barrier before it stores the index */
	uint16_t index = atomic_load_explicit((const _Atomic uint16_t *)(r->ring.driver + INDEX_AT),
					      memory_order_acquire);
	uint16_t count = (uint16_t)(index - r->next);

	if (count <= r->ring.size)
		return count;
	r->ring.broken = "the driver made more available than the ring holds";
	return 0;
}

static bool head_next(struct vring_async *r, uint16_t *head)
{
	if (r->again_at < r->again_count) {
		*head = r->again[r->again_at++];
		return true;
	}
	if (chains_ready(r) == 0)
		return false;
	*head = shared_u16(r->ring.driver + LIST_AT + 2 * (size_t)(r->next & (r->ring.size - 1)));
	if (*head >= r->ring.size) {
		r->ring.broken = "the driver made a descriptor available that there is not";
		return false;
	}
	if (r->taken == r->ring.size) {
		r->ring.broken = "the driver made more available than the ring holds";
		return false;
	}
	r->next++;
	return true;
}

bool vring_async_take(struct vring_async *r, struct vring_chain *chain, uint16_t *head)
{
	struct split_region *region = r->ring.inflight;

	if (!vring_is_usable(&r->ring) || !head_next(r, head))
		return false;
	r->taken++;
	if (region != NULL) {
		region->desc[*head].counter = r->order++;
		mark_put(region, *head, 1);
	}
	*chain = chain_at(&r->ring, *head, 0);
	chain->turns = true;
	return true;
}

void vring_async_put(struct vring_async *r, uint16_t head, uint32_t len)
{
	struct split_region *region = r->ring.inflight;

	used_put(&r->ring, (uint16_t)(r->ring.at + r->pending), head, len);
	if (region != NULL) {
		region->desc[head].next = region->last_batch_head;
		shared_put_u16(&region->last_batch_head, head);
	}
	r->pending++;
	r->taken--;
}

void vring_async_publish(struct vring_async *r)
{
	struct split_region *region = r->ring.inflight;
	uint16_t first = r->ring.at;

	if (r->pending == 0)
		return;
	r->ring.at = (uint16_t)(r->ring.at + r->pending);
	r->ring.fresh += r->pending;
	/* release: the driver sees buffers and list, a successor the links, before the index */
	atomic_store_explicit((_Atomic uint16_t *)(r->ring.device + INDEX_AT), r->ring.at,
			      memory_order_release);
	for (uint16_t i = 0; region != NULL && i < r->pending; i++) {
		uint32_t head = shared_u32(used_at(&r->ring, (uint16_t)(first + i)));

		/* The driver may write there, too. */
		if (head < r->ring.size)
			mark_put(region, (uint16_t)head, 0);
	}
	if (region != NULL)
		atomic_store_explicit((_Atomic uint16_t *)&region->used_idx, r->ring.at,
				      memory_order_release);
	r->pending = 0;
	if (r->ring.is_hushed && r->ring.has_events) {
		uint16_t ahead = (uint16_t)(shared_u16(avail_event(&r->ring)) - r->next);

		if (ahead < TOO_NEAR || ahead > FAR_AWAY)
			shared_put_u16(avail_event(&r->ring), (uint16_t)(r->next + FAR_AWAY));
	}
}

bool vring_async_wants_call(struct vring_async *r)
{
	return vring_wants_call(&r->ring);
}

void vring_async_want_kicks(struct vring_async *r, bool on)
{
	struct vring *ring = &r->ring;

	if (!vring_is_usable(ring))
		return;
	ring->is_hushed = !on;
	/* 2.7.10.1: with events the flags are 0, always. */
	shared_put_u16(ring->device + FLAGS_AT, !on && !ring->has_events ? USED_NO_NOTIFY : 0);
	if (ring->has_events)
		shared_put_u16(avail_event(ring), (uint16_t)(on ? r->next : r->next + FAR_AWAY));
	/* Pairs with the driver's, between what it makes available and its look at our word. */
	atomic_thread_fence(memory_order_seq_cst);
}

bool vring_async_waits(struct vring_async *r)
{
	return vring_is_usable(&r->ring) && (r->again_at < r->again_count || chains_ready(r) != 0);
}

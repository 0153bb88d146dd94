// SPDX-License-Identifier: BSD-3-Clause
/*
 * Split rings (virtio 1.2, 2.7). What is used is told by one store of the used index, after everything else of a burst:
 * a successor begins at that index, and what was taken behind it is taken again as if nobody had.
 */
#include "pmd-backends/vring_split.h"

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#define USED_OF_LINE 8U /* entries in a line of the cache */

size_t split_inflight_bytes(uint32_t size)
{
	return sizeof(struct split_region) + 16 * (size_t)size;
}

void split_start(struct vring *r)
{
	struct split_region *region = r->inflight;

	r->at = shared_u16(r->device + INDEX_AT);
	if (region == NULL)
		return;
	/* Nothing is ever in flight between two calls, and the used index says it all. */
	for (uint32_t i = 0; i < r->size; i++)
		region->desc[i].inflight = 0;
	region->desc_num = (uint16_t)r->size;
	region->used_idx = r->at;
	region->version = 1;
}

/* Chains that wait. More than there can be: nothing that such a driver says can be relied on. */
static uint32_t chains_ready(struct vring *r)
{
	/* acquire: pairs with the driver's barrier before it stores the index */
	uint16_t index = atomic_load_explicit((const _Atomic uint16_t *)(r->driver + INDEX_AT),
					      memory_order_acquire);
	uint16_t count = (uint16_t)(index - r->at);

	if (count <= r->size)
		return count;
	r->broken = "the driver made more available than the ring holds";
	return 0;
}

static bool head_read(struct vring *r, uint16_t index, uint16_t *head)
{
	*head = shared_u16(r->driver + LIST_AT + 2 * (size_t)(index & (r->size - 1)));
	if (*head < r->size)
		return true;
	r->broken = "the driver made a descriptor available that there is not";
	return false;
}

static void kicks_keep_away(struct vring *r)
{
	uint16_t ahead = (uint16_t)(shared_u16(avail_event(r)) - r->at);

	if (ahead >= TOO_NEAR && ahead <= FAR_AWAY)
		return;
	shared_put_u16(avail_event(r), (uint16_t)(r->at + FAR_AWAY));
	device_mark(r, (uint64_t)(avail_event(r) - r->device), 2);
}

static void used_publish(struct vring *r, uint32_t chains)
{
	if (chains == 0)
		return;
	r->at = (uint16_t)(r->at + chains);
	r->fresh += chains;
	/* release: the driver sees buffers and list before the index */
	atomic_store_explicit((_Atomic uint16_t *)(r->device + INDEX_AT), r->at,
			      memory_order_release);
	device_mark(r, INDEX_AT, 2);
	if (r->is_hushed && r->has_events)
		kicks_keep_away(r);
}

uint16_t split_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
		       uint16_t n)
{
	uint32_t ready = chains_ready(r), count = 0, done = 0, steps = 0;
	uint16_t heads[VRING_BURST], got = 0;

	while (count < ready && count < n && count < VRING_BURST &&
	       head_read(r, (uint16_t)(r->at + count), &heads[count])) {
		rte_prefetch0(r->desc + (size_t)heads[count] * DESC_BYTES);
		count++;
	}
	for (uint32_t i = 0; i < count; i++)
		chain_prefetch(r, heads[i]);
	for (; done < count && steps < VRING_STEPS; done++) {
		struct vring_chain c = chain_at(r, heads[done], 0);

		frames[got] = frame_take(&c, pool);
		if (frames[got] != NULL)
			got++;
		used_put(r, (uint16_t)(r->at + done), heads[done], 0);
		steps += c.steps;
	}
	/* Before anybody sees a frame: what is sent on is never sent again. */
	used_publish(r, done);
	return got;
}

/* Of the buffers that are next; what is wrong with them shows when they are read. */
static void chains_prefetch(const struct vring *r, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint16_t index = (uint16_t)(r->at + i);
		uint16_t head =
			shared_u16(r->driver + LIST_AT + 2 * (size_t)(index & (r->size - 1)));

		if (head < r->size)
			chain_prefetch(r, head);
	}
}

/* Chains of a burst: ready, filled, and descriptors read for them. */
struct burst {
	uint32_t ready, filled, steps;
};

/* One more chain of a frame, or of nothing if it is bad. False: there is none. */
static bool chain_fill(struct vring *r, struct burst *b, struct frame_put *p, uint32_t *chains)
{
	uint16_t index = (uint16_t)(r->at + b->filled + *chains), head;
	struct vring_chain c;
	uint32_t len;

	if (b->filled + *chains == b->ready || !head_read(r, index, &head))
		return false;
	c = chain_at(r, head, DESC_WRITE);
	len = frame_put_chain(p, &c);
	/* Without merging, what does not fit is dropped, and the driver gets its buffer back. */
	if (p->spot.left > 0 && !r->is_merged)
		len = 0;
	used_put(r, index, head, len);
	b->steps += c.steps;
	/* A bad one before the frame stands alone; between its parts it is a part of no bytes. */
	if (c.is_bad && *chains == 0)
		b->filled++;
	else
		(*chains)++;
	return true;
}

/* False: there is no room for it, and the chains that it needed are as they were. */
static bool frame_enqueue(struct vring *r, struct burst *b, const struct rte_mbuf *m)
{
	uint32_t chains = 0, most = (uint32_t)u64_min(r->size, VRING_MAX_MERGE);
	uint32_t steps_end = b->steps + VRING_STEPS;
	struct frame_put p;

	if (!frame_put_begin(&p, r, m))
		return true;
	while (p.spot.left > 0) {
		if (chains == most || b->steps > steps_end || (chains == 1 && !r->is_merged)) {
			/* Not even all that a guest may have are enough. */
			counter_bump(&r->counters.unfit);
			b->filled += r->is_merged ? 0 : chains;
			return true;
		}
		if (!chain_fill(r, b, &p, &chains))
			return false;
	}
	frame_put_count(&p, chains);
	b->filled += chains;
	return true;
}

uint16_t split_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n)
{
	struct burst b = { .ready = chains_ready(r) };
	uint16_t done = 0;

	chains_prefetch(r, (uint32_t)u64_min(u64_min(n, b.ready), VRING_BURST));
	while (done < n && b.steps < VRING_STEPS && frame_enqueue(r, &b, frames[done]))
		done++;
	used_publish(r, b.filled);
	return done;
}

/* What vring_look.h says */

bool split_waits(const struct vring *r)
{
	return shared_u16(r->driver + INDEX_AT) != r->at;
}

/* Of a driver that uses its descriptors in turn, which most do, the first comes next. */
void split_ahead(const struct vring *r)
{
	uint8_t *heads = r->driver + LIST_AT + 2 * (size_t)(r->at & (r->size - 1));
	uint16_t head = shared_u16(heads);

	__builtin_prefetch(r->driver + INDEX_AT);
	if (head < r->size)
		__builtin_prefetch(r->desc + (size_t)head * DESC_BYTES);
}

/* The list of what is used, to be written. */
static void used_prefetch(const struct vring *r, uint16_t index, uint16_t count)
{
	for (uint16_t i = 0; i < count; i += USED_OF_LINE)
		prefetch_write(used_at(r, (uint16_t)(index + i)));
	prefetch_write(used_at(r, (uint16_t)(index + count)));
	prefetch_write(r->device + INDEX_AT);
}

/* A chain that is not plain. The descriptor is read again, and that is what counts. */
static bool chain_look(struct vring_look *l, uint16_t head, uint32_t *steps)
{
	struct vring_chain c = chain_at(l->ring, head, l->want);
	bool is_whole = look_gather(l, &c, &l->chains[l->count]);

	*steps += c.steps;
	return is_whole;
}

uint16_t split_look(struct vring_look *l, uint16_t n)
{
	struct vring *r = l->ring;
	const uint8_t *ring = r->desc;
	struct look_region region = look_region(r);
	uint32_t ready = chains_ready(r), steps = 0;
	uint16_t heads[LOOK_CHAINS], count = 0, begun = l->count;

	while (count < n && l->count + count < ready &&
	       head_read(r, (uint16_t)(r->at + l->count + count), &heads[count])) {
		rte_prefetch0(ring + (size_t)heads[count] * DESC_BYTES);
		count++;
	}
	used_prefetch(r, (uint16_t)(r->at + l->count), count);
	for (uint16_t i = 0; i < count && steps < VRING_STEPS; i++) {
		const uint8_t *desc = ring + (size_t)heads[i] * DESC_BYTES;

		if (!look_plain(l, &region, shared_u64(desc), shared_u64(desc + 8)) &&
		    !chain_look(l, heads[i], &steps))
			break;
		l->chains[l->count].id = heads[i];
		l->chains[l->count].len = 0;
		l->count++;
	}
	return (uint16_t)(l->count - begun);
}

void split_use(struct vring_look *l)
{
	for (uint16_t i = 0; i < l->filled; i++)
		used_put(l->ring, (uint16_t)(l->ring->at + i), l->chains[i].id, l->chains[i].len);
	used_publish(l->ring, l->filled);
}

bool split_wants_call(const struct vring *r)
{
	if (!r->has_events)
		return (shared_u16(r->driver + FLAGS_AT) & AVAIL_NO_INTERRUPT) == 0;
	if (r->fresh > UINT16_MAX)
		return true;
	return event_is_passed(shared_u16(r->driver + LIST_AT + 2 * (size_t)r->size), r->at,
			       (uint16_t)(r->at - r->fresh));
}

void split_want_kicks(struct vring *r)
{
	/* 2.7.10.1: with events the flags are 0, always. */
	shared_put_u16(r->device + FLAGS_AT, r->is_hushed && !r->has_events ? USED_NO_NOTIFY : 0);
	device_mark(r, FLAGS_AT, 2);
	if (!r->has_events)
		return;
	shared_put_u16(avail_event(r), (uint16_t)(r->is_hushed ? r->at + FAR_AWAY : r->at));
	device_mark(r, (uint64_t)(avail_event(r) - r->device), 2);
}

uint32_t split_available(struct vring *r, uint32_t cap)
{
	return (uint32_t)u64_min(chains_ready(r), cap);
}

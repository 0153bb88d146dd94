// SPDX-License-Identifier: BSD-3-Clause
/*
 * Packed rings (virtio 1.2, 2.8). A chain is used by one store of 64 bits over the second half of its first descriptor, so
 * a ring alone does not say where its device stands: the in-flight region does (Vhost-user protocol, "Inflight I/O
 * tracking"), with one store of where it is going before, and one of where it is after.
 *
 * A frame in several chains becomes visible with its first, which is stored last. What the others' stores overwrite is in
 * the region first, so that a successor which finds the first not stored can put them back.
 */
#include "pmd-backends/vring_core.h"

#include <rte_mbuf.h>

#define WRAP	      BIT(15) /* of a base and of an event's descriptor, above the index */
#define EVENT_ENABLE  0U /* 2.8.10: flags of an event suppression structure, its upper half */
#define EVENT_DISABLE 1U
#define EVENT_DESC    2U

#define DESCS_OF_LINE 4U /* of the cache */

struct packed_region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	/* As one, so that none is ever seen without the others: struct region_state. */
	uint64_t state;
	uint64_t padding;
	struct region_desc {
		uint8_t inflight;
		uint8_t padding;
		uint16_t next, last, num;
		uint64_t counter;
		uint16_t id, flags;
		uint32_t len;
		uint64_t addr;
	} desc[];
};

struct region_state {
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[2];
};

static_assert(sizeof(struct region_state) == 8, "one store");
static_assert(offsetof(struct packed_region, state) == 16, "shared with the VMM");
static_assert(sizeof(struct packed_region) == 32, "shared with the VMM");
static_assert(sizeof(struct region_desc) == 32, "shared with the VMM");

/* A place in the ring: virtio 1.2, 2.8.1. */
struct place {
	uint16_t at;
	bool wrap;
};

/* A chain that is to be used. */
struct used {
	struct place place;
	uint16_t id;
	uint32_t len;
};

size_t packed_inflight_bytes(uint32_t size)
{
	return sizeof(struct packed_region) + sizeof(struct region_desc) * (size_t)size;
}

static struct place place_behind(const struct vring *r, struct place p, uint32_t descriptors)
{
	uint32_t at = p.at + descriptors;

	if (at < r->size)
		return (struct place){ (uint16_t)at, p.wrap };
	return (struct place){ (uint16_t)(at - r->size), !p.wrap };
}

static bool place_equal(struct place a, struct place b)
{
	return a.at == b.at && a.wrap == b.wrap;
}

/* The half of a descriptor that changes hands: length, id, flags. */
static uint8_t *half(const struct vring *r, uint16_t at)
{
	return r->desc + (size_t)at * DESC_BYTES + 8;
}

/* Descriptors are the ring's, not the device's area; whoever wishes any marks gets these. */
static void half_mark(const struct vring *r, uint16_t at)
{
	if (r->is_marked)
		dirty_log_mark(r->marks.log, r->desc_at + (uint64_t)at * DESC_BYTES + 8, 8);
}

static bool is_available(const struct vring *r, struct place p)
{
	/* acquire: pairs with the driver's barrier before it stores the flags */
	uint16_t flags = atomic_load_explicit((const _Atomic uint16_t *)(half(r, p.at) + 6),
					      memory_order_acquire);

	return ((flags & DESC_AVAIL) != 0) == p.wrap && ((flags & DESC_USED) != 0) != p.wrap;
}

/* The in-flight region */

static void state_put(struct packed_region *region, struct place to, struct place from)
{
	struct region_state s = { .used_idx = to.at,
				  .old_used_idx = from.at,
				  .used_wrap = to.wrap,
				  .old_used_wrap = from.wrap };
	uint64_t word;

	memcpy(&word, &s, sizeof(word));
	shared_publish_u64(&region->state, word);
}

static void region_save(struct vring *r, uint16_t at)
{
	struct packed_region *region = r->inflight;
	struct region_desc *d = &region->desc[at];
	uint64_t was = shared_u64(half(r, at));

	d->len = (uint32_t)was;
	d->id = (uint16_t)(was >> 32);
	d->flags = (uint16_t)(was >> 48);
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint8_t *)&d->inflight = 1;
}

static void region_restore(struct vring *r, uint16_t at)
{
	const struct packed_region *region = r->inflight;
	const struct region_desc *d = &region->desc[at];
	uint64_t was = d->len | (uint64_t)d->id << 32 | (uint64_t)d->flags << 48;

	shared_publish_u64(half(r, at), was);
	half_mark(r, at);
}

static void region_forget(struct vring *r, uint16_t at)
{
	struct packed_region *region = r->inflight;

	*(volatile uint8_t *)&region->desc[at].inflight = 0;
}

static void region_make(struct vring *r)
{
	struct packed_region *region = r->inflight;
	struct place here = { r->at, r->wrap };

	for (uint32_t i = 0; i < r->size; i++)
		region->desc[i] = (struct region_desc){ .next = (uint16_t)(i + 1) };
	region->desc_num = (uint16_t)r->size;
	region->free_head = region->old_free_head = 0;
	state_put(region, here, here);
	/* release: whoever finds a version finds all of it */
	atomic_store_explicit((_Atomic uint16_t *)&region->version, 1, memory_order_release);
}

/* Where a predecessor stood. False: the region knows nothing of this ring. */
static bool region_resume(struct vring *r)
{
	struct packed_region *region = r->inflight;
	uint64_t word = shared_u64(&region->state);
	struct region_state s;
	struct place to, from;

	memcpy(&s, &word, sizeof(s));
	to = (struct place){ s.used_idx, s.used_wrap != 0 };
	from = (struct place){ s.old_used_idx, s.old_used_wrap != 0 };
	if (shared_u16(&region->version) == 0 || shared_u16(&region->desc_num) != r->size ||
	    to.at >= r->size || from.at >= r->size)
		return false;
	/* As long as the driver could not see it, nothing happened. (It may long have made it available anew.) */
	if (!place_equal(to, from) && is_available(r, from)) {
		for (uint32_t i = 0; i < r->size; i++)
			if (region->desc[i].inflight != 0)
				region_restore(r, (uint16_t)i);
		to = from;
	}
	state_put(region, to, to);
	for (uint32_t i = 0; i < r->size; i++)
		region_forget(r, (uint16_t)i);
	r->at = to.at;
	r->wrap = to.wrap;
	return true;
}

void packed_start(struct vring *r, uint32_t base)
{
	/* What is available (lower half) and not used is taken again. Some VMMs leave the upper half out. */
	uint16_t place = base >> 16 != 0 ? (uint16_t)(base >> 16) : (uint16_t)base;

	if (r->inflight != NULL && region_resume(r))
		return;
	r->at = (uint16_t)(place & (r->size - 1));
	r->wrap = (place & WRAP) != 0;
	if (r->inflight != NULL)
		region_make(r);
}

/* What is used */

static void used_put(struct vring *r, const struct used *u, uint16_t flags)
{
	if (u->place.wrap)
		flags |= DESC_AVAIL | DESC_USED;
	shared_publish_u64(half(r, u->place.at),
			   u->len | (uint64_t)u->id << 32 | (uint64_t)flags << 48);
	half_mark(r, u->place.at);
}

/* The chains of one frame, or one that has none; `to`: behind them. */
static void used_publish(struct vring *r, const struct used *list, uint32_t count, struct place to,
			 uint16_t flags)
{
	struct place here = { r->at, r->wrap };
	uint32_t passed = (to.at > here.at ? 0 : r->size) + to.at - here.at;

	if (r->inflight != NULL) {
		for (uint32_t i = 1; i < count; i++)
			region_save(r, list[i].place.at);
		state_put(r->inflight, to, here);
	}
	for (uint32_t i = count; i > 0; i--)
		used_put(r, &list[i - 1], flags);
	if (r->inflight != NULL) {
		state_put(r->inflight, to, to);
		atomic_signal_fence(memory_order_seq_cst);
		for (uint32_t i = 1; i < count; i++)
			region_forget(r, list[i].place.at);
	}
	r->at = to.at;
	r->wrap = to.wrap;
	r->fresh = (uint32_t)u64_min((uint64_t)r->fresh + passed, UINT32_MAX);
}

/* False: it has no end, and nobody can say where the next begins. */
static bool chain_end(struct vring *r, struct vring_chain *c)
{
	if (chain_end_find(c))
		return true;
	r->broken = "the driver made a chain available that is longer than the ring";
	return false;
}

/* Of the buffers that may be next, if there is any; what is wrong with them shows when they are read. */
static void chains_prefetch(const struct vring *r, uint16_t n)
{
	uint32_t count = (uint32_t)u64_min(u64_min(n, VRING_BURST), r->size);

	if (!is_available(r, (struct place){ r->at, r->wrap }))
		return;
	for (uint32_t i = 0; i < count; i++)
		chain_prefetch(r, (r->at + i) & (r->size - 1));
}

uint16_t packed_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
			uint16_t n)
{
	uint16_t got = 0;

	chains_prefetch(r, n);
	for (uint32_t i = 0, steps = 0; i < n && i < VRING_BURST && steps < VRING_STEPS; i++) {
		struct used u = { .place = { r->at, r->wrap } };
		struct vring_chain c = chain_at(r, r->at, 0);

		if (!is_available(r, u.place))
			break;
		frames[got] = frame_take(&c, pool);
		if (!chain_end(r, &c)) {
			rte_pktmbuf_free(frames[got]);
			break;
		}
		u.id = c.id;
		/* Before anybody sees the frame: what is sent on is never sent again. */
		used_publish(r, &u, 1, place_behind(r, u.place, c.ring_steps), 0);
		if (frames[got] != NULL)
			got++;
		steps += c.steps;
	}
	return got;
}

/* Chains of one frame, as they are filled. */
struct filling {
	struct used list[VRING_MAX_MERGE];
	uint32_t count;
	struct place to; /* behind them */
	uint32_t passed, steps; /* descriptors in the ring, and all */
};

/* One more chain of a frame, or of nothing if it is bad. False: there is none. */
static bool chain_fill(struct vring *r, struct filling *f, struct frame_put *p)
{
	struct used *u = &f->list[f->count];
	struct vring_chain c = chain_at(r, f->to.at, DESC_WRITE);

	if (f->passed >= r->size || !is_available(r, f->to))
		return false;
	u->place = f->to;
	u->len = frame_put_chain(p, &c);
	if (!chain_end(r, &c))
		return false;
	if (f->passed + c.ring_steps > r->size) {
		r->broken = "the driver made chains available that overlap";
		return false;
	}
	/* Without merging, what does not fit is dropped, and the driver gets its buffer back. */
	if (p->spot.left > 0 && !r->is_merged)
		u->len = 0;
	u->id = c.id;
	f->to = place_behind(r, f->to, c.ring_steps);
	f->passed += c.ring_steps;
	f->steps += c.steps;
	f->count++;
	/* A bad one before the frame stands alone; between its parts it is a part of no bytes. */
	if (c.is_bad && f->count == 1) {
		used_publish(r, f->list, 1, f->to, DESC_WRITE);
		f->count = 0;
		f->passed = 0;
	}
	return true;
}

/* False: there is no room for it, and the chains that it needed are as they were. */
static bool frame_enqueue(struct vring *r, struct filling *f, const struct rte_mbuf *m)
{
	uint32_t steps_end = f->steps + VRING_STEPS;
	struct frame_put p;

	f->count = 0;
	f->passed = 0;
	f->to = (struct place){ r->at, r->wrap };
	if (!frame_put_begin(&p, r, m))
		return true;
	while (p.spot.left > 0) {
		if (f->count == VRING_MAX_MERGE || f->passed == r->size || f->steps > steps_end ||
		    (f->count == 1 && !r->is_merged)) {
			/* Not even all that a guest may have are enough. */
			counter_bump(&r->counters.unfit);
			if (f->count == 1 && !r->is_merged)
				used_publish(r, f->list, 1, f->to, DESC_WRITE);
			return true;
		}
		if (!chain_fill(r, f, &p))
			return false;
	}
	frame_put_count(&p, f->count);
	used_publish(r, f->list, f->count, f->to, DESC_WRITE);
	return true;
}

uint16_t packed_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n)
{
	struct filling f;
	uint16_t done = 0;

	chains_prefetch(r, n);
	f.steps = 0;
	while (done < n && f.steps < VRING_STEPS && frame_enqueue(r, &f, frames[done]))
		done++;
	return done;
}

/* What vring_look.h says */

bool packed_waits(const struct vring *r)
{
	return is_available(r, (struct place){ r->at, r->wrap });
}

void packed_ahead(const struct vring *r)
{
	for (uint32_t i = 0; i < VRING_BURST; i += DESCS_OF_LINE)
		prefetch_write(r->desc + (size_t)((r->at + i) & (r->size - 1)) * DESC_BYTES);
}

/* A chain that is not plain. The descriptor is read again, and that is what counts. */
static bool chain_look(struct vring_look *l, struct place p, uint32_t *steps)
{
	struct vring_looked *out = &l->chains[l->count];
	struct vring_chain c = chain_at(l->ring, p.at, l->want);
	bool is_whole = look_gather(l, &c, out);

	if (is_whole && !chain_end_find(&c)) {
		l->is_odd = true;
		is_whole = false;
	}
	*steps += c.steps;
	out->id = c.id;
	out->steps = (uint16_t)c.ring_steps;
	return is_whole;
}

uint16_t packed_look(struct vring_look *l, uint16_t n)
{
	struct vring *r = l->ring;
	struct place p = place_behind(r, (struct place){ r->at, r->wrap }, l->steps);
	struct look_region region = look_region(r);
	uint32_t steps = 0;
	uint16_t begun = l->count;

	if (l->steps >= r->size || !is_available(r, p))
		return 0;
	for (uint32_t i = DESCS_OF_LINE; i < n; i += DESCS_OF_LINE)
		prefetch_write(r->desc + (size_t)((p.at + i) & (r->size - 1)) * DESC_BYTES);
	while (l->count - begun < n && steps < VRING_STEPS && l->steps < r->size &&
	       is_available(r, p)) {
		uint64_t addr = shared_u64(half(r, p.at) - 8), rest = shared_u64(half(r, p.at));
		struct vring_looked *c = &l->chains[l->count];

		c->id = (uint16_t)(rest >> 32);
		c->steps = 1;
		c->len = 0;
		if (!look_plain(l, &region, addr, rest) && !chain_look(l, p, &steps))
			break;
		/* Chains that overlap. */
		if (l->steps + c->steps > r->size) {
			l->is_odd = true;
			break;
		}
		p = place_behind(r, p, c->steps);
		l->steps += c->steps;
		l->count++;
	}
	return (uint16_t)(l->count - begun);
}

void packed_use(struct vring_look *l)
{
	struct vring *r = l->ring;
	struct place p = { r->at, r->wrap };
	struct used list[LOOK_CHAINS];

	for (uint16_t i = 0; i < l->filled; i++) {
		list[i] = (struct used){ p, l->chains[i].id, l->chains[i].len };
		p = place_behind(r, p, l->chains[i].steps);
	}
	used_publish(r, list, l->filled, p, l->want);
}

/* Notifications */

bool packed_wants_call(const struct vring *r)
{
	uint32_t event = shared_u32(r->driver);
	uint32_t flags = event >> 16 & 3;
	uint16_t at = event & (WRAP - 1U);

	if (flags != EVENT_DESC || !r->has_events)
		return flags != EVENT_DISABLE;
	if (r->fresh >= r->size)
		return true;
	if (((event & WRAP) != 0) != r->wrap)
		at = (uint16_t)(at - r->size);
	return event_is_passed(at, r->at, (uint16_t)(r->at - r->fresh));
}

void packed_want_kicks(struct vring *r)
{
	uint32_t here = r->at | (r->wrap ? WRAP : 0U);
	uint32_t word = EVENT_ENABLE << 16;

	if (r->is_hushed)
		word = EVENT_DISABLE << 16;
	else if (r->has_events)
		word = here | EVENT_DESC << 16;
	shared_put_u32(r->device, word);
	device_mark(r, 0, 4);
}

uint32_t packed_available(struct vring *r, uint32_t cap)
{
	struct place p = { r->at, r->wrap };
	uint32_t count = 0, passed = 0;

	while (count < cap && passed < r->size && is_available(r, p)) {
		struct vring_chain c = chain_at(r, p.at, 0);

		if (!chain_end_find(&c))
			break;
		p = place_behind(r, p, c.ring_steps);
		passed += c.ring_steps;
		count++;
	}
	return count;
}

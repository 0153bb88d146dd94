// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/impair.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_spinlock.h>

#include <errno.h>
#include <stdlib.h>

#define LINE	     2048 /* frames on their way; a power of two */
#define HELD	     32 /* frames waiting for a later one of their flow */
#define HELD_MS	     10 /* if none comes */
#define FLOW_AT	     26 /* IPv4 addresses and UDP ports */
#define FLOW_BYTES   12
#define CORRUPT_FROM 14

/* A frame, when it was heard and when it may go. */
struct travel {
	struct rte_mbuf *m;
	uint64_t heard, due;
};

struct impair {
	rte_spinlock_t lock;
	struct impair_wish wish;
	struct rte_mempool *pool;
	uint64_t random, delay; /* cycles */
	uint64_t held_for;
	uint32_t head, tail; /* of line: next to come, next to go */
	struct travel line[LINE];
	uint32_t held_count;
	struct travel held[HELD];
	struct impair_counts counts;
	struct hist kept;
};

int impair_create(const struct impair_wish *wish, struct rte_mempool *pool, struct impair **out,
		  struct err *e)
{
	struct impair *w = calloc(1, sizeof(*w));

	if (w == NULL || pool == NULL) {
		free(w);
		return err_set(e, ENOMEM, "no memory for a wire");
	}
	rte_spinlock_init(&w->lock);
	hist_init(&w->kept);
	w->wish = *wish;
	w->pool = pool;
	w->random = (wish->seed + 1) * 0x9e3779b97f4a7c15ULL;
	w->delay = (uint64_t)((double)wish->delay_us * wish->hz / 1e6);
	w->held_for = rte_get_tsc_hz() / 1000 * HELD_MS;
	*out = w;
	return 0;
}

void impair_destroy(struct impair *w)
{
	if (w == NULL)
		return;
	for (; w->tail != w->head; w->tail++)
		rte_pktmbuf_free(w->line[w->tail % LINE].m);
	for (uint32_t i = 0; i < w->held_count; i++)
		rte_pktmbuf_free(w->held[i].m);
	free(w);
}

/* xorshift64* (Vigna, 2016) */
static uint64_t draw(struct impair *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * 0x2545f4914f6cdd1dULL;
}

static bool happens(struct impair *w, double share)
{
	return share > 0 && (double)(draw(w) >> 11) / 9007199254740992.0 < share;
}

static uint32_t room(const struct impair *w)
{
	return LINE - (w->head - w->tail);
}

static void line_put(struct impair *w, const struct travel *t)
{
	w->line[w->head++ % LINE] = *t;
}

static bool same_flow(const struct rte_mbuf *a, const struct rte_mbuf *b)
{
	return a->data_len >= FLOW_AT + FLOW_BYTES && b->data_len >= FLOW_AT + FLOW_BYTES &&
	       memcmp(rte_pktmbuf_mtod_offset(a, void *, FLOW_AT),
		      rte_pktmbuf_mtod_offset(b, void *, FLOW_AT), FLOW_BYTES) == 0;
}

/* Those that waited for a frame of this flow go now, or all that have waited for long enough. */
static void held_release(struct impair *w, const struct rte_mbuf *passed, uint64_t now)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < w->held_count; i++) {
		struct travel *t = &w->held[i];
		bool overtaken = passed != NULL && same_flow(t->m, passed);

		if (room(w) == 0 || (!overtaken && now - t->heard < w->held_for)) {
			w->held[left++] = *t;
			continue;
		}
		w->counts.reordered += overtaken;
		line_put(w, t);
	}
	w->held_count = left;
}

static bool corrupt(struct impair *w, struct rte_mbuf *m)
{
	uint64_t lot = draw(w);
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

	if (m->data_len <= CORRUPT_FROM)
		return false;
	data[CORRUPT_FROM + (uint32_t)(lot >> 16) % (m->data_len - CORRUPT_FROM)] ^=
		(uint8_t)(1 << (lot & 7));
	w->counts.corrupted++;
	return true;
}

static void copy_put(struct impair *w, const struct rte_mbuf *m, uint64_t now)
{
	struct travel t = { rte_pktmbuf_copy(m, w->pool, 0, UINT32_MAX), now, now + w->delay };
	bool is_changed;

	if (t.m == NULL) {
		w->counts.no_memory++;
		return;
	}
	is_changed = happens(w, w->wish.corrupt) && corrupt(w, t.m);
	if (w->held_count < HELD && happens(w, w->wish.reorder)) {
		w->held[w->held_count++] = t;
		return;
	}
	line_put(w, &t);
	held_release(w, t.m, now);
	if (!happens(w, w->wish.duplicate) || room(w) == 0)
		return;
	t.m = rte_pktmbuf_copy(t.m, w->pool, 0, UINT32_MAX);
	if (t.m == NULL)
		return;
	line_put(w, &t);
	w->counts.duplicated++;
	w->counts.corrupted += is_changed;
}

uint16_t impair_send(struct impair *w, struct rte_mbuf **frames, uint16_t n)
{
	uint64_t now = rte_rdtsc();
	uint16_t taken = 0;

	rte_spinlock_lock(&w->lock);
	/* Room for the copy, its double and all that are held. */
	for (; taken < n && room(w) > HELD + 2; taken++) {
		w->counts.heard++;
		if (happens(w, w->wish.loss))
			w->counts.lost++;
		else
			copy_put(w, frames[taken], now);
	}
	rte_spinlock_unlock(&w->lock);
	rte_pktmbuf_free_bulk(frames, taken);
	return taken;
}

uint16_t impair_receive(struct impair *w, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t count = 0;
	uint64_t now;

	rte_spinlock_lock(&w->lock);
	now = rte_rdtsc();
	if (w->held_count > 0)
		held_release(w, NULL, now);
	while (count < n && w->tail != w->head) {
		const struct travel *t = &w->line[w->tail % LINE];

		if (now < t->due)
			break;
		hist_add(&w->kept, now - t->heard, 1);
		frames[count++] = t->m;
		w->tail++;
	}
	w->counts.returned += count;
	rte_spinlock_unlock(&w->lock);
	return count;
}

void impair_counts(struct impair *w, struct impair_counts *out, struct hist *delay)
{
	rte_spinlock_lock(&w->lock);
	*out = w->counts;
	*delay = w->kept;
	rte_spinlock_unlock(&w->lock);
}

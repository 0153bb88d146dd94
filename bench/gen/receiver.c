// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/receiver.h"

#include <rte_cycles.h>
#include <rte_prefetch.h>

#include <errno.h>
#include <stdlib.h>

#define PREFETCH	4
#define WINDOW_BITS_ALL (1U << 22) /* of all flows together */
#define WINDOW_BITS_MIN 256U
#define STAMP_MASK	(((uint64_t)1 << PROBE_STAMP_BITS) - 1)

int receiver_init(struct receiver *r, const struct probe_plan *plan, const struct port *port,
		  struct trial_shared *shared)
{
	uint32_t bits = WINDOW_BITS_ALL;

	memset(r, 0, sizeof(*r));
	while (bits > WINDOW_BITS_MIN && (uint64_t)bits * plan->flows > WINDOW_BITS_ALL)
		bits /= 2;
	r->plan = plan;
	r->port = port;
	r->shared = shared;
	r->windows = calloc(plan->flows, sizeof(r->windows[0]));
	r->window_bits = calloc(plan->flows, bits / 8);
	if (r->windows == NULL || r->window_bits == NULL) {
		receiver_fini(r);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < plan->flows; i++)
		r->windows[i] = (struct window){
			.bits = r->window_bits + (size_t)i * (bits / 64),
			.size = bits,
		};
	hist_init(&r->latency);
	hist_init(&r->gap);
	r->looked = rte_rdtsc();
	return 0;
}

void receiver_fini(struct receiver *r)
{
	free(r->windows);
	free(r->window_bits);
	r->windows = NULL;
	r->window_bits = NULL;
}

static void latency_add(struct receiver *r, const struct probe_seen *seen, uint64_t now)
{
	uint64_t took = (now - seen->stamp) & STAMP_MASK;

	/* The clocks of two lcores may differ by some cycles: what took less than nothing took none. */
	if (took > STAMP_MASK / 2)
		took = 0;
	if (r->latency.count > 0)
		r->jitter_sum += took > r->last_latency ? (double)(took - r->last_latency)
							: (double)(r->last_latency - took);
	r->last_latency = took;
	hist_add(&r->latency, took, 1);
}

/* Was a frame of this number sent? One below the count of numbers that the sender gave, in turns of flows. */
static bool was_sent(const struct receiver *r, const struct probe_seen *seen)
{
	/* acquire: pairs with release in sender_step() */
	uint64_t numbered = atomic_load_explicit(&r->shared->numbered, memory_order_acquire);

	return (uint64_t)seen->seq * r->plan->flows + seen->flow < numbered;
}

/* Whoever has the number of a frame that was sent has seen what the sender had given up before, since was_sent() acquires. */
static void back_count(struct receiver *r, const struct probe_seen *seen)
{
	uint64_t below = atomic_load_explicit(&r->shared->below, memory_order_relaxed);

	if (r->below != below)
		r->back = 0;
	r->below = below;
	r->back += (uint64_t)seen->seq * r->plan->flows + seen->flow >= below;
}

static void ours_take(struct receiver *r, const struct probe_seen *seen, bool good, uint64_t now)
{
	enum window_word word = window_take(&r->windows[seen->flow], seen->seq);

	r->bad += !good;
	if (word == WINDOW_TWICE || word == WINDOW_TOO_OLD) {
		r->duplicated += word == WINDOW_TWICE;
		r->too_old += word == WINDOW_TOO_OLD;
		return;
	}
	r->here++;
	back_count(r, seen);
	r->reordered += word == WINDOW_LATE;
	if (!good)
		return;
	r->received++;
	latency_add(r, seen, now);
}

static void frame_take(struct receiver *r, const struct rte_mbuf *m, uint64_t now)
{
	enum probe_verdict verdict = PROBE_STRAY;
	struct probe_seen seen;
	const uint8_t *data;

	if (m->pkt_len <= sizeof(r->scratch)) {
		data = rte_pktmbuf_read(m, 0, m->pkt_len, r->scratch);
		if (data != NULL)
			verdict = probe_read(r->plan, data, m->pkt_len, &seen);
	}
	switch (verdict) {
	case PROBE_STRAY:
		r->stray++;
		return;
	case PROBE_BROKEN:
		r->bad++;
		return;
	case PROBE_GOOD:
	case PROBE_BAD:
		if (was_sent(r, &seen))
			ours_take(r, &seen, verdict == PROBE_GOOD, now);
		else
			r->bad++;
		return;
	}
}

static uint16_t look(struct receiver *r)
{
	struct rte_mbuf *got[DEVICE_BURST];
	uint64_t begin = rte_rdtsc(), now;
	uint16_t n = port_receive(r->port, got, DEVICE_BURST);

	if (n > 0) {
		now = rte_rdtsc();
		hist_add(&r->gap, now - r->looked, n);
		for (uint16_t i = 0; i < n && i < PREFETCH; i++)
			rte_prefetch0(rte_pktmbuf_mtod(got[i], void *));
		for (uint16_t i = 0; i < n; i++) {
			if (i + PREFETCH < n)
				rte_prefetch0(rte_pktmbuf_mtod(got[i + PREFETCH], void *));
			frame_take(r, got[i], now);
		}
		rte_pktmbuf_free_bulk(got, n);
		atomic_store_explicit(&r->shared->good, r->received, memory_order_relaxed);
		atomic_store_explicit(&r->shared->here, r->here, memory_order_relaxed);
		atomic_store_explicit(&r->shared->back, r->back, memory_order_relaxed);
		/* release: pairs with acquire in in_flight(), which takes no count of what was given up */
		atomic_store_explicit(&r->shared->back_below, r->below, memory_order_release);
		atomic_store_explicit(&r->shared->last_tsc, now, memory_order_relaxed);
	}
	/* A full burst may have left frames behind, which have lain there since. */
	if (n < DEVICE_BURST)
		r->looked = begin;
	return n;
}

void receiver_step(struct receiver *r)
{
	/* Once more after a full burst, mostly to see that there is nothing left. */
	if (look(r) == DEVICE_BURST)
		(void)look(r);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/sender.h"

#include <rte_cycles.h>

/* What may be made good at once after the sender was kept from its work: what lies further back is not sent, since a burst
 * without end is another load than the one asked for. */
#define DEBT_FRAMES 256
#define DEBT_MS	    1

void sender_init(struct sender *s, const struct trial_spec *spec, uint64_t now, double hz)
{
	s->per_cycle = (double)spec->rate_pps / hz;
	s->window = spec->window;
	s->frames = spec->frames;
	s->patience = (uint64_t)((double)spec->drain_ms * hz / 1000);
	s->below = s->given_up = s->numbered = s->sent = s->starved = 0;
	s->id = (struct probe_id){ 0 };
	s->first = s->count = 0;
	s->begin = now;
	s->end = now + (uint64_t)((double)spec->ms * hz / 1000);
	hist_init(&s->gap);
}

static uint64_t due_by_rate(struct sender *s, uint64_t now)
{
	double most = (double)(rte_get_tsc_hz() / 1000 * DEBT_MS) * s->per_cycle, due;

	now = u64_max(u64_min(now, s->end), s->begin);
	/* The first at once. */
	due = (double)(now - s->begin) * s->per_cycle + 1 - (double)s->numbered;
	if (most < DEBT_FRAMES)
		most = DEBT_FRAMES;
	if (due > most) {
		s->begin += (uint64_t)((due - most) / s->per_cycle);
		due = most;
	}
	return due < 0 ? 0 : (uint64_t)due;
}

/* Of what is waited for. */
static uint64_t in_flight(const struct sender *s)
{
	uint64_t all = s->numbered - s->below, back;

	/* acquire: pairs with release in look() */
	if (atomic_load_explicit(&s->shared->back_below, memory_order_acquire) != s->below)
		return all;
	back = atomic_load_explicit(&s->shared->back, memory_order_relaxed);
	return all - u64_min(back, all);
}

static uint64_t due_by_window(struct sender *s, uint64_t now)
{
	uint64_t last = atomic_load_explicit(&s->shared->last_tsc, memory_order_relaxed);
	uint64_t flying = in_flight(s);

	if (flying < s->window)
		return s->window - flying;
	/* What was lost would stop it for good. */
	if (now > last && now - last > s->patience) {
		s->given_up += flying;
		s->below = s->numbered;
		/* relaxed: frames_make() releases it with the next number */
		atomic_store_explicit(&s->shared->below, s->below, memory_order_relaxed);
		atomic_store_explicit(&s->shared->last_tsc, now, memory_order_relaxed);
	}
	return 0;
}

static uint32_t due(struct sender *s, uint64_t now)
{
	uint64_t n = DEVICE_BURST;

	if (s->per_cycle > 0)
		n = u64_min(n, due_by_rate(s, now));
	if (s->window > 0)
		n = u64_min(n, due_by_window(s, now));
	if (s->frames > 0)
		n = u64_min(n, s->frames - s->numbered);
	/* Numbers of a flow have 32 bits. */
	return s->id.seq == UINT32_MAX ? 0 : (uint32_t)n;
}

static void frames_make(struct sender *s, uint32_t n)
{
	s->first = s->count = 0;
	for (; s->count < n; s->count++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);

		if (m == NULL) {
			s->starved++;
			break;
		}
		m->data_len = (uint16_t)probe_bytes(s->plan, &s->id);
		m->pkt_len = m->data_len;
		s->waiting[s->count] = m;
		s->ids[s->count] = s->id;
		probe_next(s->plan, &s->id);
	}
	s->numbered += s->count;
	/* release: pairs with acquire in was_sent() */
	atomic_store_explicit(&s->shared->numbered, s->numbered, memory_order_release);
}

void sender_step(struct sender *s)
{
	uint64_t first;
	uint16_t n;

	if (s->first == s->count) {
		uint32_t n_due = due(s, rte_rdtsc());

		if (n_due == 0)
			return;
		frames_make(s, n_due);
	}
	if (s->first == s->count)
		return;
	first = rte_rdtsc();
	for (uint32_t i = s->first; i < s->count; i++)
		probe_write(s->plan, rte_pktmbuf_mtod(s->waiting[i], uint8_t *), &s->ids[i],
			    rte_rdtsc());
	n = port_send(s->port, s->waiting + s->first, (uint16_t)(s->count - s->first));
	if (n == 0)
		return;
	hist_add(&s->gap, rte_rdtsc() - first, n);
	s->first += n;
	s->sent += n;
}

bool sender_is_done(const struct sender *s)
{
	return s->frames > 0 && s->sent >= s->frames;
}

void sender_end(struct sender *s)
{
	rte_pktmbuf_free_bulk(s->waiting + s->first, s->count - s->first);
	s->first = s->count = 0;
}

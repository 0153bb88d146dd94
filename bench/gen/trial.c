// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/trial.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <errno.h>
#include <stdlib.h>

#define LOOKS_PER_SECOND 1000 /* for a signal */
#define REST_LOOK_US	 50
#define REST_QUIET_MS	 2 /* when all are here: doubles come, too */
#define REST_MAX_SECONDS 10 /* beside drain_ms: whatever comes without end is not waited for */
#define RATE_REACHED	 0.99

struct trial {
	const struct trial_spec *spec;
	const struct trial_ground *ground;
	struct trial_shared shared;
	struct sender sender;
	struct receiver receiver;
	bool interrupted;
	uint64_t begin, sent_all; /* TSC */
	uint64_t good_in_time;
};

static int receive_until_over(void *arg)
{
	struct trial *t = arg;

	while (!atomic_load_explicit(&t->shared.is_over, memory_order_relaxed))
		receiver_step(&t->receiver);
	return 0;
}

static bool is_alone(const struct trial *t)
{
	return t->ground->worker == CLOCK_ALONE;
}

/* Whoever has one lcore receives between two steps of its own. */
static void other_step(struct trial *t)
{
	if (is_alone(t))
		receiver_step(&t->receiver);
}

static void send_all(struct trial *t)
{
	uint64_t hz = rte_get_tsc_hz(), every = hz / LOOKS_PER_SECOND, now = rte_rdtsc();
	uint64_t look = now + every;

	t->begin = now;
	sender_init(&t->sender, t->spec, now, t->ground->clock.hz);
	while (now < t->sender.end && !sender_is_done(&t->sender) && !t->interrupted) {
		other_step(t);
		sender_step(&t->sender);
		now = rte_rdtsc();
		if (now < look)
			continue;
		look = now + every;
		t->interrupted = t->ground->is_interrupted(t->ground->ctx);
	}
	t->sent_all = now;
	/* relaxed: a count for people, some frames old */
	t->good_in_time = atomic_load_explicit(&t->shared.good, memory_order_relaxed);
	sender_end(&t->sender);
}

/* Until all have come and nothing more, or nothing has come for drain_ms. */
static void rest_receive(struct trial *t)
{
	uint64_t ms = rte_get_tsc_hz() / 1000, drain = t->spec->drain_ms * ms;
	uint64_t end = t->sent_all + drain + REST_MAX_SECONDS * 1000 * ms, now = t->sent_all;
	uint64_t look = now;

	while (now < end && !t->interrupted) {
		uint64_t last, here;

		if (is_alone(t))
			receiver_step(&t->receiver);
		else
			rte_delay_us_sleep(REST_LOOK_US);
		now = rte_rdtsc();
		last = atomic_load_explicit(&t->shared.last_tsc, memory_order_relaxed);
		here = atomic_load_explicit(&t->shared.here, memory_order_relaxed);
		last = u64_max(last, t->sent_all);
		if (now < last)
			continue;
		if (now - last > drain ||
		    (here >= t->sender.sent && now - last > REST_QUIET_MS * ms))
			return;
		if (now < look)
			continue;
		look = now + rte_get_tsc_hz() / LOOKS_PER_SECOND;
		t->interrupted = t->ground->is_interrupted(t->ground->ctx);
	}
}

static void traffic_run(struct trial *t)
{
	bool launched = !is_alone(t) &&
			rte_eal_remote_launch(receive_until_over, t, t->ground->worker) == 0;

	if (is_alone(t) || launched) {
		send_all(t);
		rest_receive(t);
	}
	atomic_store_explicit(&t->shared.is_over, true, memory_order_relaxed);
	if (launched)
		rte_eal_wait_lcore(t->ground->worker);
}

static bool rate_reached(const struct trial *t)
{
	double cycles = (double)(u64_min(t->sent_all, t->sender.end) - t->begin);

	return t->sender.per_cycle <= 0 ||
	       (double)t->sender.sent + 1 >= RATE_REACHED * t->sender.per_cycle * cycles;
}

static void result_make(const struct trial *t, struct trial_result *out)
{
	const struct receiver *r = &t->receiver;

	*out = (struct trial_result){
		.interrupted = t->interrupted,
		.sent = t->sender.sent,
		.received = r->received,
		.lost = t->sender.sent - u64_min(t->sender.sent, r->here),
		.duplicated = r->duplicated,
		.reordered = r->reordered,
		.bad = r->bad,
		.stray = r->stray,
		.too_old = r->too_old,
		.given_up = t->sender.given_up,
		.ns = (uint64_t)((double)(t->sent_all - t->begin) * 1e9 / t->ground->clock.hz),
		.received_in_time = t->good_in_time,
		.rate_reached = rate_reached(t),
		.starved = t->sender.starved,
		.jitter = r->latency.count > 1 ? r->jitter_sum / (double)(r->latency.count - 1) : 0,
		.clock = t->ground->clock,
		.latency = r->latency,
		.tx_gap = t->sender.gap,
		.rx_gap = r->gap,
	};
}

static void misses(const struct port *tx, const struct port *rx, uint64_t *unsent, uint64_t *missed)
{
	uint64_t other;

	*unsent = *missed = 0;
	if (tx->impair == NULL)
		device_misses(&tx->device, unsent, &other);
	if (rx->impair == NULL)
		device_misses(&rx->device, &other, missed);
}

int trial_run(const struct trial_spec *spec, const struct probe_plan *plan,
	      const struct port *ports[2], const struct trial_ground *ground,
	      struct trial_result *out)
{
	struct trial *t = aligned_alloc(128, (sizeof(*t) + 127) / 128 * 128);
	uint64_t unsent, unreceived;

	if (t == NULL)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	t->spec = spec;
	t->ground = ground;
	t->sender.plan = plan;
	t->sender.port = ports[0];
	t->sender.pool = ground->pool;
	t->sender.shared = &t->shared;
	if (receiver_init(&t->receiver, plan, ports[1], &t->shared) < 0) {
		free(t);
		return -ENOMEM;
	}
	port_drain(ports[1]);
	misses(ports[0], ports[1], &unsent, &unreceived);
	atomic_store_explicit(&t->shared.last_tsc, rte_rdtsc(), memory_order_relaxed);
	traffic_run(t);
	result_make(t, out);
	misses(ports[0], ports[1], &out->unsent, &out->unreceived);
	out->link_up = port_has_link(ports[0]) && port_has_link(ports[1]);
	out->unsent -= u64_min(out->unsent, unsent);
	out->unreceived -= u64_min(out->unreceived, unreceived);
	receiver_fini(&t->receiver);
	free(t);
	return 0;
}

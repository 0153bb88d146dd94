// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/clock.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define READS	1001
#define NS	1000000000ULL
#define LOOKS	64 /* of which the quickest is taken */
#define BASE_MS 200
#define ROUNDS	2000
#define GOOD_US 5 /* a round that is so quick was not interrupted */
#define WAIT_MS 1000 /* for one such; both may be on one CPU */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t read_cost(void)
{
	uint64_t all[READS], last = rte_rdtsc();

	for (unsigned int i = 0; i < READS; i++) {
		uint64_t now = rte_rdtsc();

		all[i] = now - last;
		last = now;
	}
	qsort(all, READS, sizeof(all[0]), compare);
	return all[READS / 2];
}

/* Each on a line of its own, or the answer waits for the question's. */
struct talk {
	_Atomic uint32_t question __attribute__((aligned(128)));
	_Atomic uint64_t answer __attribute__((aligned(128)));
	_Atomic uint32_t answered;
	_Atomic bool over;
};

static int talk_answer(void *arg)
{
	struct talk *t = arg;
	uint32_t seen = 0;

	while (!atomic_load_explicit(&t->over, memory_order_relaxed)) {
		uint32_t q = atomic_load_explicit(&t->question, memory_order_acquire);

		if (q == seen)
			continue;
		seen = q;
		atomic_store_explicit(&t->answer, rte_rdtsc(), memory_order_relaxed);
		/* release: pairs with acquire in talk_ask() */
		atomic_store_explicit(&t->answered, q, memory_order_release);
	}
	return 0;
}

/* The answer was read between `begin` and now: as far as it lies from the middle, the clocks may differ. False: no answer. */
static bool talk_ask(struct talk *t, uint32_t q, uint64_t end, uint64_t *apart, uint64_t *took)
{
	uint64_t begin = rte_rdtsc(), now, middle, answer;

	atomic_store_explicit(&t->question, q, memory_order_release);
	while (atomic_load_explicit(&t->answered, memory_order_acquire) != q)
		if (rte_rdtsc() > end)
			return false;
	now = rte_rdtsc();
	answer = atomic_load_explicit(&t->answer, memory_order_relaxed);
	*took = now - begin;
	middle = begin + *took / 2;
	*apart = answer > middle ? answer - middle : middle - answer;
	return true;
}

static uint64_t between(uint32_t worker)
{
	uint64_t hz = rte_get_tsc_hz(), wait = hz / 1000 * WAIT_MS, end = rte_rdtsc() + wait;
	uint64_t good = hz / 1000000 * GOOD_US, best = UINT64_MAX, error = wait, apart, took;
	static struct talk t;

	t = (struct talk){ 0 };
	if (rte_eal_remote_launch(talk_answer, &t, worker) < 0)
		return error;
	for (uint32_t q = 1; (q <= ROUNDS || best > good) && talk_ask(&t, q, end, &apart, &took);
	     q++) {
		if (took >= best)
			continue;
		best = took;
		error = apart + took / 2;
	}
	atomic_store_explicit(&t.over, true, memory_order_relaxed);
	rte_eal_wait_lcore(worker);
	return error;
}

struct clock_moment clock_now(void)
{
	struct clock_moment best = { 0 };
	uint64_t quickest = UINT64_MAX;

	for (unsigned int i = 0; i < LOOKS; i++) {
		uint64_t begin = rte_rdtsc(), took;
		struct timespec t;

		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		took = rte_rdtsc() - begin;
		if (took >= quickest)
			continue;
		quickest = took;
		best.tsc = begin + took / 2;
		best.ns = (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
	}
	return best;
}

double clock_hz(const struct clock_moment *from)
{
	struct clock_moment now = clock_now();

	while (now.ns - from->ns < BASE_MS * (NS / 1000)) {
		rte_delay_us_sleep(BASE_MS * 1000);
		now = clock_now();
	}
	return (double)(now.tsc - from->tsc) * (double)NS / (double)(now.ns - from->ns);
}

struct clock_error clock_measure(uint32_t worker)
{
	return (struct clock_error){
		.read = read_cost(),
		.between = worker == CLOCK_ALONE ? 0 : between(worker),
	};
}

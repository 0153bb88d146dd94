/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes of one trial: every frame read, compared and counted. One thread calls receiver_step(), on an lcore of its own
 * or between two steps of the sender; what others may look at meanwhile is atomic.
 */
#ifndef VIADUCT_BENCH_GEN_RECEIVER_H
#define VIADUCT_BENCH_GEN_RECEIVER_H

#include "bench/gen/hist.h"
#include "bench/gen/port.h"
#include "bench/gen/window.h"

#include <stdatomic.h>

/* Between the two threads of a trial. */
struct trial_shared {
	_Atomic uint64_t numbered __attribute__((
		aligned(128))); /* frames with a number, of which all but some were sent */
	_Atomic uint64_t
		below; /* numbers that are not waited for any more; stored before more are given */
	_Atomic bool is_over;
	_Atomic uint64_t here
		__attribute__((aligned(128))); /* different frames that have come, good or not */
	_Atomic uint64_t good; /* of these */
	_Atomic uint64_t back; /* of those that have come, what is not below back_below */
	_Atomic uint64_t back_below;
	_Atomic uint64_t last_tsc; /* when anything came */
};

struct receiver {
	const struct probe_plan *plan;
	const struct port *port;
	struct trial_shared *shared;
	struct window *windows; /* by flow */
	uint64_t *window_bits;
	uint64_t received, duplicated, reordered, too_old, bad, stray;
	uint64_t here;
	uint64_t back, below; /* as the sender's last word of it was */
	uint64_t looked; /* the last poll that left nothing began then: what comes now came after it */
	uint64_t last_latency;
	double jitter_sum;
	struct hist latency, gap; /* cycles; how long frames may have lain there unseen */
	uint8_t scratch[PROBE_MAX];
};

/* 0 or -ENOMEM. */
int receiver_init(struct receiver *r, const struct probe_plan *plan, const struct port *port,
		  struct trial_shared *shared);
void receiver_fini(struct receiver *r);

void receiver_step(struct receiver *r);

#endif

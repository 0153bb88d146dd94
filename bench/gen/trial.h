/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One trial: sender and receiver, on two lcores or in turn on one, until the time is over and what was on its way has come
 * or is lost. What it measured, as the members of an answer (docs/bench-gen.md).
 */
#ifndef VIADUCT_BENCH_GEN_TRIAL_H
#define VIADUCT_BENCH_GEN_TRIAL_H

#include "bench/gen/clock.h"
#include "bench/gen/sender.h"

struct trial_ground {
	uint32_t worker; /* the receiver's lcore, or CLOCK_ALONE */
	struct clock_error clock;
	struct rte_mempool *pool; /* of what is sent */
	bool (*is_interrupted)(void *ctx); /* asked some thousand times a second at most */
	void *ctx;
};

struct trial_result {
	bool interrupted;
	uint64_t sent, received, lost, duplicated, reordered, bad, stray, too_old;
	uint64_t given_up; /* that were not waited for any more, by the window */
	uint64_t ns; /* of sending */
	uint64_t received_in_time; /* good ones until then */
	uint64_t unsent, unreceived; /* as the devices say */
	uint64_t starved; /* times that the sender had no buffer: not the load that was asked for */
	bool rate_reached;
	bool link_up; /* of both ports, at the end */
	double jitter; /* cycles, as all times below */
	struct clock_error clock;
	struct hist latency;
	struct hist tx_gap, rx_gap; /* by which stamps are early, and late */
};

/* The ports are not used by others. 0 or negative errno. */
int trial_run(const struct trial_spec *spec, const struct probe_plan *plan,
	      const struct port *ports[2], const struct trial_ground *ground,
	      struct trial_result *out);

/* 0 or -ENOMEM. */
int trial_result_write(const struct trial_result *t, json_t *reply);

#endif

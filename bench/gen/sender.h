/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is sent in one trial: frames of all flows in turn, at a rate, as fast as the port takes them, or so many in flight. A
 * stamp is written when its frame is handed to the port, again if the port did not take it.
 */
#ifndef VIADUCT_BENCH_GEN_SENDER_H
#define VIADUCT_BENCH_GEN_SENDER_H

#include "bench/gen/receiver.h"

struct sender {
	const struct probe_plan *plan;
	const struct port *port;
	struct trial_shared *shared;
	struct rte_mempool *pool; /* filled by probe_fill() */
	double per_cycle; /* frames; 0: no rate */
	uint64_t window, frames; /* of trial_spec */
	uint64_t patience; /* cycles, after which what is in flight is given up */
	uint64_t below; /* numbers that are not waited for any more, whether they come or not */
	uint64_t given_up; /* frames that had not come then */
	uint64_t begin; /* where the rate counts from; later if it could not be kept */
	uint64_t end; /* nothing is due that was not due then, whenever the sender gets to it */
	struct probe_id id;
	uint64_t numbered, sent;
	uint64_t starved; /* times that there was no buffer */
	uint32_t first, count; /* of waiting */
	struct rte_mbuf *waiting[DEVICE_BURST];
	struct probe_id ids[DEVICE_BURST];
	struct hist gap; /* cycles from the first stamp of a burst until the port had it */
};

/* `hz`: cycles a second. */
void sender_init(struct sender *s, const struct trial_spec *spec, uint64_t now, double hz);

void sender_step(struct sender *s);

/* Have as many been sent as were asked for? Never where time is the end. */
bool sender_is_done(const struct sender *s);

/* What the port did not take was never sent. */
void sender_end(struct sender *s);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One slice of traffic: flows between ports of one backend, sent and checked by this one thread, until the time is over and
 * what was on its way has come or is lost.
 */
#ifndef VIADUCT_BENCH_POLLED_SLICE_H
#define VIADUCT_BENCH_POLLED_SLICE_H

#include "bench/polled/port.h"

#define FLOWS_MAX     8
#define LATENCIES_MAX 4000000U

struct flow {
	struct port *from, *to; /* to NULL: where they go they are not seen */
	unsigned int addresses; /* of the receiver, taken by turns */
};

struct slice {
	struct flow flows[FLOWS_MAX];
	unsigned int flow_count;
	struct port *
		ports[PORTS_MAX]; /* all of the backend: what comes where it should not is seen, too */
	unsigned int port_count;
	bool dirty;
	bool whole; /* each packet is compared whole; with dirty alone */
	uint64_t ns;
};

struct slice_result {
	uint64_t sent, received; /* received: and checked */
	uint64_t lost; /* gaps in the sequence, at its end too */
	uint64_t bad; /* changed, out of order, twice */
	uint64_t stray; /* where it should not be, or not ours */
	uint64_t ns; /* until sending ended */
	uint64_t received_in_time; /* until then, of all that are not stray */
};

struct latency_result {
	uint64_t count, lost, bad;
	double p50, p99, p999; /* ns */
};

/* 0 or -ENOMEM. */
int slice_run(const struct slice *s, struct port_pools *pools, struct slice_result *out);

/* One packet of the first flow in flight at a time. 0 or -ENOMEM. */
int slice_latency(const struct slice *s, struct port_pools *pools, struct latency_result *out);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reflector at work, on DPDK's second lcore: frames of `from` go back, on to `to`, or nowhere. While it polls a port of
 * DPDK's own driver it makes no system call and writes no register but the rings' tails: what leaves the guest then is not
 * its doing.
 */
#ifndef VIADUCT_BENCH_REFLECT_LOOP_H
#define VIADUCT_BENCH_REFLECT_LOOP_H

#include "bench/reflect/port.h"

#include <stdatomic.h>

/* Written by the worker alone; read, each by itself, at any time. */
struct loop_counts {
	_Atomic uint64_t received, sent, dropped; /* frames */
	_Atomic uint64_t
		ignored; /* of those received: not to one address from another, so that nothing goes round for ever */
	_Atomic uint64_t polls, bursts; /* bursts: polls that found something */
	_Atomic uint64_t
		cycles; /* of the TSC, from the start of such a poll to the end of its sending */
	_Atomic uint64_t sleeps;
};

#define LOOP_LOOKS 512

/* One poll that found something. */
struct loop_look {
	_Atomic uint32_t frames, cycles; /* cycles: UINT32_MAX if they were more */
};

struct loop {
	const struct port *from, *to; /* the same unless it forwards */
	enum reflect_mode mode;
	uint8_t dst_mac[6];
	bool has_dst_mac, interrupt;
	unsigned int lcore;
	bool running;
	atomic_bool stop;
	struct loop_counts counts;
	struct loop_look
		looks[LOOP_LOOKS]; /* the last ones; number n of counts.bursts is at n % LOOP_LOOKS */
	atomic_int
		perf; /* counts the worker's instructions, -1: cannot be counted here, or not yet */
	atomic_int trouble; /* errno of a port that went down or away meanwhile, 0: none did */
};

/* Starts the worker with counts of zero; what has come to its port until then is thrown away. */
int loop_start(struct loop *l, struct err *e);

/* Waits for its end; nothing if it does not run. The counts stay. */
void loop_stop(struct loop *l);

/* Instructions of the worker, kernel's for it included; false: the processor or the kernel does not say. */
bool loop_instructions(const struct loop *l, uint64_t *out);

/* Counts a poll that began at `start` (TSC) and found `frames`. */
void loop_note(struct loop *l, uint64_t start, unsigned int frames);

/* The worker of AF_PACKET ports (loop_socket.c), and what one of them holds thrown away. */
void loop_socket_run(struct loop *l);
void loop_socket_drop(const struct port *p);

/*
 * A frame's addresses as `mode` wants them; false: it is too short, or not from one station to another. A network that sends
 * a multicast back to its sender would else have it for ever.
 */
static inline bool loop_address(const struct loop *l, uint8_t *frame, uint32_t bytes)
{
	uint8_t mac[6];

	if (bytes < 14 || (frame[0] & 1) != 0 || (frame[6] & 1) != 0 ||
	    memcmp(frame + 6, l->from->mac, 6) == 0)
		return false;
	if (l->mode == REFLECT_REFLECT) {
		memcpy(mac, frame, 6);
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, mac, 6);
	} else if (l->has_dst_mac) {
		memcpy(frame, l->dst_mac, 6);
		memcpy(frame + 6, l->to->mac, 6);
	}
	return true;
}

static inline void loop_count(_Atomic uint64_t *count, uint64_t n)
{
	/* Relaxed: one writer, and nobody concludes from one count to another. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline bool loop_goes_on(struct loop *l)
{
	/* Relaxed: nothing is handed over by it. */
	return !atomic_load_explicit(&l->stop, memory_order_relaxed);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A switch between ends made of lists: what a test puts in is received, what is sent is kept for it to look at.
 * Time is in nanoseconds and stands still until the test moves it.
 */
#ifndef VIADUCT_TESTS_FAKE_SWITCH_WIRE_H
#define VIADUCT_TESTS_FAKE_SWITCH_WIRE_H

#include "pmd-backends/switch.h"

#define WIRE_LIST 4096
#define WIRE_ALL  (ENDPOINT_CSUM | ENDPOINT_TSO4 | ENDPOINT_TSO6 | ENDPOINT_SEGMENTS)

struct wire_end {
	struct endpoint ep; /* first */
	struct rte_mbuf *in[WIRE_LIST];
	uint32_t in_at, in_count;
	struct rte_mbuf *out[WIRE_LIST];
	uint32_t out_count;
	uint32_t room; /* frames that it still takes */
};

struct wire {
	struct rte_mempool *pool;
	struct l2_switch *sw;
	uint64_t now;
};

/* EAL without privileges, once in a process. */
void wire_eal_start(void);

void wire_create(struct wire *w);

/* Returns the number of mbufs that are not back in the pool. */
unsigned int wire_destroy(struct wire *w);

/* An end with a link and room for all, and offloads ENDPOINT_SEGMENTS. */
void wire_end_init(struct wire_end *end);

/* Frees what is in its lists. */
void wire_end_clear(struct wire_end *end);

/* A frame of these bytes, to be received at the end; the mbuf, so that flags can be set. */
struct rte_mbuf *wire_put(struct wire *w, struct wire_end *end, const void *bytes, size_t len);

/* Polls until nobody has anything to say. */
void wire_run(struct wire *w);

/* The bytes of the n-th frame that came out, copied; returns their number. */
size_t wire_bytes(const struct wire_end *end, uint32_t n, uint8_t *out, size_t cap);

#endif

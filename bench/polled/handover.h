/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From one guest's transmit ring to another's receive ring with next to nothing done: a buffer of the one is given back, a
 * buffer of the other is said to hold the frame, and only what the sink tells frames by is copied. Trusts both guests, and
 * takes each buffer for one descriptor: for polled-gen alone.
 */
#ifndef VIADUCT_BENCH_POLLED_HANDOVER_H
#define VIADUCT_BENCH_POLLED_HANDOVER_H

#include <rte_vhost.h>

#include <stdbool.h>
#include <stdint.h>

struct ring {
	struct rte_vhost_vring v;
	struct rte_vhost_memory *memory;
	bool packed;
	uint16_t next; /* split: count of all so far; packed: place in the ring */
	bool wrap; /* packed: of `next` */
};

/* The ring as its guest left it. 0 or -1. */
int ring_open(struct ring *r, int vid, uint16_t queue, struct rte_vhost_memory *memory);

/* Frames that went over; bounded. */
unsigned int handover(struct ring *from, struct ring *to);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames of one port on their way to the uplink. They wait here only while the uplink is full; then each port has its
 * turn (deficit round robin, so that large frames gain nothing), after those to whom min_rate promises a share. Order
 * is kept. Bounded in frames and in bytes: what comes on top is dropped.
 */
#ifndef VIADUCT_PMD_BACKENDS_UPLINK_QUEUE_H
#define VIADUCT_PMD_BACKENDS_UPLINK_QUEUE_H

#include "base/util.h"

#define UPLINK_QUEUE_FRAMES 512 /* power of 2 */
#define UPLINK_QUEUE_BYTES  (512U << 10)

struct rte_mbuf;

struct uplink_queue {
	uint32_t head; /* counts taken; place modulo UPLINK_QUEUE_FRAMES */
	uint32_t tail; /* counts put */
	uint32_t bytes;
	uint32_t deficit; /* bytes that it may still send in this turn */
	bool in_turn; /* a full uplink cut its turn short: it goes on there */
	struct rte_mbuf *frames[UPLINK_QUEUE_FRAMES];
};

static inline uint32_t uplink_queue_count(const struct uplink_queue *q)
{
	return q->tail - q->head;
}

static inline bool uplink_queue_has_room(const struct uplink_queue *q)
{
	return uplink_queue_count(q) < UPLINK_QUEUE_FRAMES && q->bytes < UPLINK_QUEUE_BYTES;
}

static inline struct rte_mbuf *uplink_queue_at(const struct uplink_queue *q, uint32_t i)
{
	return q->frames[(q->head + i) % UPLINK_QUEUE_FRAMES];
}

/* The queue has room. */
void uplink_queue_put(struct uplink_queue *q, struct rte_mbuf *m);

/* Frees all; returns how many. */
uint32_t uplink_queue_clear(struct uplink_queue *q);

#endif

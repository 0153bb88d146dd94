/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One split virtqueue from the device's side, of a device that uses its chains in any order (virtio 1.2, 2.7), in memory of
 * a hostile driver. Which chains are taken and not used yet stands in the in-flight region (Vhost-user protocol,
 * "Inflight I/O tracking"), so that whoever serves the ring after this process was killed, at any instruction, takes
 * exactly these again, in the order in which they were taken first. Belongs to one thread.
 */
#ifndef VIADUCT_PMD_BACKENDS_VRING_ASYNC_H
#define VIADUCT_PMD_BACKENDS_VRING_ASYNC_H

#include "pmd-backends/vring.h"

struct vring_chain;

/* All zero: not started. */
struct vring_async {
	struct vring ring; /* `at`: the used index; `broken` and `counters` as there */
	uint16_t next; /* the available index that is taken next */
	uint16_t pending; /* chains put and not published yet */
	uint32_t taken; /* and not put */
	uint64_t order; /* of the next chain that is taken */
	uint16_t *again; /* heads that a predecessor had taken, in their order; owned */
	uint32_t again_count, again_at;
};

/* As vring_start(). Without a region it goes on at `base`. -EINVAL also: a packed ring. -ENOMEM. */
int vring_async_start(struct vring_async *r, const struct vring_start *s, struct err *e);

/* Nothing is taken. Returns the base to go on with; the ring is as before its start. */
uint32_t vring_async_stop(struct vring_async *r);

/* The next chain, to be read with chain_span(); *head names it. False: there is none. */
bool vring_async_take(struct vring_async *r, struct vring_chain *chain, uint16_t *head);

/* The chain is done, `len` bytes written to it. The driver sees it with the next vring_async_publish(). */
void vring_async_put(struct vring_async *r, uint16_t head, uint32_t len);
void vring_async_publish(struct vring_async *r);

/* As those of vring.h. */
bool vring_async_wants_call(struct vring_async *r);
void vring_async_want_kicks(struct vring_async *r, bool on);
bool vring_async_waits(struct vring_async *r);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One virtqueue of a virtio-net device, from the device's side, in memory of a hostile driver (virtio 1.2: 2.7 split, 2.8
 * packed, 5.1.6 device operation). Belongs to one lcore; others call while it is held.
 *
 * Chains are used in the order in which they were made available, and each call leaves nothing half done: the process may
 * be killed between any two instructions, and the next one goes on where the ring (and the in-flight region) says. Then
 * no buffer is used twice or forgotten; frames that were taken and not yet sent on are lost.
 */
#ifndef VIADUCT_PMD_BACKENDS_VRING_H
#define VIADUCT_PMD_BACKENDS_VRING_H

#include "pmd-backends/dirty_log.h"

/* virtio 1.2, 6: <linux/virtio_ring.h>, which has them too, cannot be included (its struct vring is another). */
#define VIRTIO_RING_F_INDIRECT_DESC 28
#define VIRTIO_RING_F_EVENT_IDX	    29

#define VRING_MAX_SIZE 32768
#define VRING_MAX_FRAME \
	(14U + 2 * 4 + 40 + 65535) /* bytes: Ethernet, two tags, and the largest IPv6 packet */

struct rte_mbuf;
struct rte_mempool;

struct vring_place {
	uint32_t size; /* descriptors, a power of two up to VRING_MAX_SIZE */
	uint64_t desc, driver,
		device; /* areas, as addresses of the VMM (SET_VRING_ADDR: desc, avail, used) */
};

/* What became of buffers and frames otherwise than they should, added up since vring_start(). Read by any thread. */
struct vring_counters {
	uint64_t bad_chains; /* descriptors or header make no sense: used, nothing in it */
	uint64_t no_memory; /* frames from the guest that found no mbuf: dropped */
	uint64_t unfit; /* frames to the guest that no buffer of its holds, or asking for what it did not negotiate: dropped */
};

/* What of a ring's writes is marked in a log, for a migration. All zero: nothing. */
struct vring_marks {
	const struct dirty_log *log; /* outlives the use of the ring */
	bool buffers; /* what the guest receives */
	bool device; /* what is used, and words to the driver */
	uint64_t device_at; /* where the device's area is for the log; elsewhere than in memory, if the VMM wishes */
};

/* All zero: not started, and every call finds nothing to do. Members down to the next comment may be read. */
struct vring {
	const char *
		broken; /* NULL, or why nothing is done with it any more until it is started again */
	struct vring_counters counters;
	bool is_started;

	/* vring_core.h */
	bool is_packed, has_events, has_indirect, is_merged, is_marked;
	uint8_t *desc, *driver, *device;
	void *inflight;
	const struct guest_memory *memory;
	uint64_t features;
	uint32_t size;
	uint16_t at; /* split: avail and used index; packed: the next descriptor */
	bool wrap; /* packed: wrap counter of `at` */
	bool was_asked; /* vring_wants_call(), at least once */
	bool is_hushed; /* no kicks wanted */
	uint32_t fresh; /* descriptors (packed) or chains (split) published since vring_wants_call() */
	struct vring_marks marks; /* where is_marked */
	uint64_t desc_at; /* packed: guest address of the descriptors */
};

struct vring_start {
	struct vring_place place;
	uint64_t features; /* negotiated (VERSION_1 is a must; RING_PACKED, RING_EVENT_IDX, RING_INDIRECT_DESC, NET_F_*) */
	uint32_t base; /* of SET_VRING_BASE */
	/* This queue's part of the in-flight region, aligned to 8, vring_inflight_bytes() long, or NULL. */
	void *inflight;
	const struct guest_memory *memory; /* outlives the use of the ring */
	struct vring_marks
		marks; /* a ring that has any goes slower (vring_look.h finds nothing there) */
};

/* A split ring resumes at its used index, a packed one where the in-flight region says, if it knows the ring, else at
 * `base`. Kicks are wanted. -EINVAL: areas outside memory (or the log), misaligned, a size that cannot be. */
int vring_start(struct vring *r, const struct vring_start *s, struct err *e);

/* For GET_VRING_BASE; the ring is as it was. (To stop: zero it.) */
uint32_t vring_base(const struct vring *r);

/* A multiple of 64. */
size_t vring_inflight_bytes(uint32_t size, bool packed);

/* The guest sends: up to n frames copied into mbufs of ours, flags as endpoint.h says; their chains are used (published)
 * before it returns. */
uint16_t vring_dequeue(struct vring *r, struct rte_mempool *pool, struct rte_mbuf **frames,
		       uint16_t n);

/* The guest receives: the first frames, as many as there is room for, copied (or dropped and counted, see `unfit`); they
 * stay the caller's. Flags as endpoint.h says, sums in the data stay as they are. Published before it returns. */
uint16_t vring_enqueue(struct vring *r, struct rte_mbuf **frames, uint16_t n);

/* After a burst: does the driver want an interrupt for what was published since it was last asked? The first time after
 * a start always, since a predecessor may have died before it called. */
bool vring_wants_call(struct vring *r);

/* The driver shall kick, or not. After `true` look for work once more (fence inside). */
void vring_want_kicks(struct vring *r, bool on);

/* Buffers that the driver has made available and we have not used, at most `cap`. */
uint32_t vring_available(struct vring *r, uint32_t cap);

#endif

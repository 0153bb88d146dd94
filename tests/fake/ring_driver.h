/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other side of a virtqueue: a guest's memory, and a driver that puts buffers into a split or packed ring and takes
 * them back (virtio 1.2, 2.7 and 2.8). Aborts when the device gives back what it was not given.
 */
#ifndef VIADUCT_TESTS_FAKE_RING_DRIVER_H
#define VIADUCT_TESTS_FAKE_RING_DRIVER_H

#include "pmd-backends/vring.h"

#define RING_MAX    256 /* descriptors */
#define RING_HEADER 12 /* bytes before a frame */
#define GUEST_BYTES MIB(8)
#define GUEST_USER  0x7000000000ULL /* where the VMM has it */

/* The rings' areas, and memory for buffers. */
#define RING_DESC    0x0000
#define RING_DRIVER  0x2000
#define RING_DEVICE  0x3000
#define RING_TABLES  0x10000 /* 16 entries for each descriptor */
#define RING_BUFFERS MIB(1)

/*
 * Guest addresses 0 to GUEST_BYTES, told as two regions that meet at `seam` there and are apart in the VMM, so that
 * buffers can lie across. `at` is how the guest sees it.
 */
struct ring_guest {
	int fd;
	uint8_t *at;
	struct guest_memory memory;
};

void ring_guest_create(struct ring_guest *g, uint64_t seam);
void ring_guest_destroy(struct ring_guest *g);

struct ring_piece {
	uint64_t gpa;
	uint32_t len; /* bytes */
};

/* May be copied, with the guest's memory, to go back in time. */
struct ring_driver {
	uint8_t *at; /* guest address 0 */
	uint64_t features;
	uint32_t size;
	bool is_packed;
	uint16_t avail, used; /* split: indexes; packed: descriptors */
	bool avail_wrap, used_wrap;
	uint32_t free_count; /* descriptors */
	uint16_t free_ids[RING_MAX];
	uint32_t id_count;
	uint16_t taken[RING_MAX]; /* descriptors of each id (split: head) that is with the device */
	uint16_t next[RING_MAX]; /* split: of the descriptors of a chain */
};

enum ring_way { RING_DIRECT, RING_INDIRECT };

/* The ring is zeroed. `features` as negotiated. */
void ring_driver_init(struct ring_driver *d, uint8_t *at, uint32_t size, uint64_t features);

/* Where it is, for vring_start(). */
struct vring_place ring_place(const struct ring_driver *d);

/* Makes one chain available; its id, or -1: no room. `is_write`: for the device to write. */
int ring_offer(struct ring_driver *d, const struct ring_piece *pieces, uint32_t count,
	       bool is_write, enum ring_way way);

/* Takes the next used chain. False: none. */
bool ring_reap(struct ring_driver *d, uint16_t *id, uint32_t *len);

/* Must the driver kick for what it made available since index `old` (d->avail then)? */
bool ring_kick_is_wanted(const struct ring_driver *d, uint16_t old);

/* What the driver says of interrupts: not at all, for each, or (events) when chain or descriptor `event` is used. */
void ring_calls_off(struct ring_driver *d);
void ring_calls_on(struct ring_driver *d);
void ring_calls_at(struct ring_driver *d, uint16_t event, bool wrap);

/* An mbuf pool, and EAL, once in a process. */
struct rte_mempool *ring_pool(void);

/* Bytes that only frame `seq` has. */
void ring_pattern(uint8_t *out, uint64_t seq, uint32_t len);
bool ring_pattern_is(const uint8_t *bytes, uint64_t seq, uint32_t len);

#endif

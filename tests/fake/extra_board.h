/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The board of net_board.h with the VM's small virtio devices (vmm/extras.h), and the kernel's vhost_vsock, which remembers
 * what it was told. All in one thread.
 */
#ifndef VIADUCT_TESTS_FAKE_EXTRA_BOARD_H
#define VIADUCT_TESTS_FAKE_EXTRA_BOARD_H

#include "tests/fake/net_board.h"

#include "vmm/extras.h"

#include <linux/vhost.h>

/* The devices' functions of 00:1f. */
#define EXTRA_RNG     1
#define EXTRA_CONSOLE 2
#define EXTRA_VSOCK   3

#define EXTRA_BUFFERS 0x200000ULL /* behind the rings */

#define FAKE_VHOST_RINGS 2

struct fake_vhost {
	bool is_owned, runs;
	unsigned long fails; /* this request fails; 0: none */
	uint64_t features, acked;
	unsigned int regions;
	struct vhost_vring_state num[FAKE_VHOST_RINGS], base[FAKE_VHOST_RINGS];
	struct vhost_vring_addr addr[FAKE_VHOST_RINGS];
	int kick[FAKE_VHOST_RINGS], call[FAKE_VHOST_RINGS];
	unsigned int starts, stops;
};

extern struct fake_vhost fake_vhost;

struct extra_board {
	struct net_board
		board; /* without a port; its accesses and registers are those of the selected device */
	struct extras *extras;
	uint16_t avail[4]; /* what the driver has put there */
};

/* Bits by function: BIT(EXTRA_RNG) and so on. Aborts when it cannot be built. */
void extra_board_init(struct extra_board *x, unsigned int which);
void extra_board_fini(struct extra_board *x);

/* Lets the VMM work until so many milliseconds have passed, at least once. */
void extra_board_step(struct extra_board *x, int ms);

/* The device's part of STATUS; the caller's. */
json_t *extra_board_status(struct extra_board *x, unsigned int index);

/* The accesses below are to this device from now on. */
void extra_select(struct extra_board *x, unsigned int function);

/* From reset to DRIVER_OK with what is offered of `features`, all queues and their vectors. False: no FEATURES_OK. */
bool extra_driver_start(struct extra_board *x, uint64_t features);

/* Puts a chain of one buffer into the queue, at descriptor `desc`, without ringing. */
struct extra_buffer {
	uint64_t gpa;
	uint32_t len;
	bool is_writable;
};
void extra_put(struct extra_board *x, unsigned int queue, uint16_t desc,
	       const struct extra_buffer *buffer);
void extra_ring(struct extra_board *x, unsigned int queue);

/* Entries of the used ring so far, and what the n-th says was written. */
uint16_t extra_used(struct extra_board *x, unsigned int queue);
uint32_t extra_used_len(struct extra_board *x, unsigned int queue, uint16_t n);

/* A client of the console. */
int extra_client(struct extra_board *x);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio-blk driver over vhost-user (virtio 1.2, 5.2; QEMU docs/interop/vhost-user.rst): one split ring of requests of one
 * block each, in indirect tables as Linux' driver has them, looked at without interrupts.
 */
#ifndef VIADUCT_BENCH_BLOCK_FRONT_H
#define VIADUCT_BENCH_BLOCK_FRONT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define FRONT_BLOCK 4096U /* bytes of a request */
#define FRONT_RING  128U
#define FRONT_SLOTS 64U

struct front {
	int listener, sock, memfd, kick, call; /* -1: none */
	uint8_t *memory;
	uint64_t features;
	uint64_t blocks; /* of the disk */
	uint16_t next_avail, last_used, kicked_at;
	uint64_t kicks;
};

/* All -1, nothing mapped. */
void front_init(struct front *f);
void front_close(struct front *f);

/* The backend comes to us. */
int front_listen(struct front *f, const char *path, struct err *e);

/* Waits for the backend (which listens at `path`, or comes), and sets the device up. */
int front_start(struct front *f, const char *path, struct err *e);

uint8_t *front_data(const struct front *f, unsigned int slot);

/* One request: made ready; the driver's word to the device is front_publish(). */
void front_put(struct front *f, unsigned int slot, bool is_write, uint64_t block);
void front_publish(struct front *f);

/* The slot of a request that came back, or -1: none has. *status: of virtio-blk. */
int front_take(struct front *f, uint8_t *status);

#endif

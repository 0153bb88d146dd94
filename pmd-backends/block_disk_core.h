/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a disk consists of, for block_disk.c (its life and what others ask of it) and block_serve.c (what its worker does).
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_DISK_CORE_H
#define VIADUCT_PMD_BACKENDS_BLOCK_DISK_CORE_H

#include "pmd-backends/block_disk.h"
#include "pmd-backends/block_keeper.h"
#include "pmd-backends/block_kick.h"
#include "pmd-backends/block_worker.h"
#include "pmd-backends/bucket.h"
#include "pmd-backends/vhost_session.h"
#include "pmd-backends/vring_async.h"

struct block_ring {
	struct block_disk *disk;
	unsigned int index;
	struct vring_async ring;
	struct block_kick kick;
	unsigned int vain; /* kicks in a row that brought no request */
	bool has_taken; /* a request, since the last look at its kick */
};

struct block_disk {
	struct vhost_session session;
	struct vhost_kind kind;
	struct vhost_device_ops ops;
	struct block_worker *worker;
	struct block_job job;
	bool has_job;
	struct block_keeper keeper;
	char serial[BLOCK_SERIAL];
	unsigned int queues;
	bool is_leaving; /* with the client's lock: what its VMM says does not bring the rings back */
	bool has_session; /* the control thread's */

	/* The worker's. */
	struct block_io io;
	struct block_ring rings[VHOST_MAX_RINGS];
	struct block_flight *flights, *free;
	uint32_t in_flight;
	unsigned int first; /* ring of the next round */
	uint32_t steps; /* descriptors that were read in this round */
	bool is_held; /* nothing more is taken */
	bool is_waited_for; /* somebody waits until nothing is in flight */
	struct bucket iops, bytes;
	uint64_t wait_ns; /* until there is credit for what waits; NO_LIMIT: nothing does */
	uint64_t doze_ns; /* until rings are to be looked at that wake nobody */
};

static inline uint32_t live_rings(const struct block_disk *d)
{
	return d->session.device.live;
}

/* Its requests, rings, job and device. d->flights are to be freed, after an error, too. */
int block_serve_init(struct block_disk *d, struct err *e);

/* On the worker, from now on. Operations and bytes a second, 0: none. */
void block_serve_limit(struct block_disk *d, uint64_t iops, uint64_t bandwidth);

#endif

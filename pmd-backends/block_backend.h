/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All that a viaduct-pmd of the role "block" holds, and the requests that change it: each is complete or has changed
 * nothing. One thread, the control thread, calls these. No DPDK runs here.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_BACKEND_H
#define VIADUCT_PMD_BACKENDS_BLOCK_BACKEND_H

#include "pmd-backends/block_disk.h"

#include "base/json.h"
#include "base/loop.h"

struct block_backend {
	const struct pmd_launch *launch;
	struct loop *loop;
	struct vhost_thread *vhost;
	struct block_workers *workers;
	uint64_t start_ns;
	struct block_disk *disks[PMD_MAX_DISKS];
	unsigned int disk_count; /* those that are leaving, too */
	int leave_fd; /* a timer, that runs while disks are leaving */
	bool is_leave_timed;
};

/* Starts the threads, with all that they will ever open. */
int block_backend_create(const struct pmd_launch *launch, struct loop *loop,
			 struct block_backend **out, struct err *e);
void block_backend_destroy(struct block_backend *b); /* NULL-safe: lets go of all disks */

/* Does what `request` asks; *result is a new reference. Quit only ends the loop. */
int block_backend_request(struct block_backend *b, struct pmd_request *request, json_t **result,
			  struct err *e);
json_t *block_backend_status(struct block_backend *b);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's word that a ring was kicked: one poll of its eventfd in the worker's io_uring, which outlives neither the ring
 * nor the disk. All on the worker.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_KICK_H
#define VIADUCT_PMD_BACKENDS_BLOCK_KICK_H

#include "pmd-backends/block_worker.h"

#include <stdbool.h>

struct block_kick {
	struct block_op poll, removal;
	bool is_armed; /* the kernel has `poll`, and will answer it */
	bool is_ending; /* and `removal` */
	int fd; /* what is polled; -1: nothing, or it is to end */
};

void block_kick_init(struct block_kick *k);

/* The next kick of fd wakes the worker. False: not yet; what was armed for a former fd has to end first. */
bool block_kick_arm(struct block_kick *k, struct block_worker *w, int fd);

/* Ends it. True: the kernel knows of it no more. False: it will soon not; ask again, since the kernel may refuse to end a poll
 * that it is just looking at (-EALREADY) and then go on with it. */
bool block_kick_end(struct block_kick *k, struct block_worker *w);

#endif

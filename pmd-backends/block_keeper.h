/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread of one disk that does what its file system or device may let wait for ever: opening, locks, looks, the size,
 * the end. Everybody else asks it, and waits no longer than he has said. Where a file system hangs it is this thread alone
 * that hangs with it.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_KEEPER_H
#define VIADUCT_PMD_BACKENDS_BLOCK_KEEPER_H

#include "pmd-backends/block_file.h"

#include <pthread.h>

enum block_stage {
	BLOCK_OPENING, /* nothing is known of it yet */
	BLOCK_OPEN, /* its size is known; what it can do is being found out */
	BLOCK_LOCKED, /* another process has I/O under way; it is tried again and again */
	BLOCK_READY,
	BLOCK_REFUSED, /* it is no image, or has no locks */
	BLOCK_CLOSED, /* the thread has ended */
};

struct block_keeper {
	/* Its size and kind from BLOCK_OPEN on, all of it from BLOCK_READY on, when the thread leaves it alone. */
	struct block_file file;

	pthread_t thread;
	bool has_thread, readonly;
	int fd;
	pthread_mutex_t lock; /* of what follows, and of `file`; held for moments only */
	pthread_cond_t changed;
	enum block_stage stage;
	struct err why; /* BLOCK_LOCKED, BLOCK_REFUSED */
	bool is_ending;
	uint64_t size_asked; /* how often somebody asked for the size */
	uint64_t size_answered; /* the last of these to which it was this, or `size_err` */
	uint64_t size;
	struct err size_err;
};

/* Starts the thread, which takes *fd. */
int block_keeper_start(struct block_keeper *k, int *fd, bool readonly, struct err *e);

/* The stage, once it is settled (neither opening nor open) or so much time is over. `file` (may be NULL): a copy, fd and all
 * zero before BLOCK_OPEN. `why` (may be NULL): why it is not ready. */
enum block_stage block_keeper_wait(struct block_keeper *k, unsigned int timeout_ms,
				   struct block_file *file, struct err *why);

/* How large the file is now, bytes. -EBUSY, code "disk-busy": it has not answered in that time. -EINVAL: not open. */
int block_keeper_size(struct block_keeper *k, unsigned int timeout_ms, uint64_t *size,
		      struct err *e);

/* The file is closed as soon as the thread is free to; nobody uses it any more. True: it is, and all is let go of. Asked
 * again until then. */
bool block_keeper_end(struct block_keeper *k);

#endif

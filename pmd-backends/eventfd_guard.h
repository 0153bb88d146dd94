/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Adds to eventfds that somebody hostile has, too, and may have filled and made to wait: a thread watches those that write,
 * and interrupts one that a write holds.
 */
#ifndef VIADUCT_PMD_BACKENDS_EVENTFD_GUARD_H
#define VIADUCT_PMD_BACKENDS_EVENTFD_GUARD_H

#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* One for each thread that writes. All zero: nobody does yet. */
struct eventfd_writer {
	_Atomic uint32_t writes; /* odd during one */
	uint32_t writes_seen; /* the watch's */
	pthread_t thread;
	atomic_bool has_thread;
};

struct eventfd_guard {
	pthread_t thread;
	bool has_thread;
	int end; /* an eventfd: the watch ends */
	void (*each)(void *arg,
		     void (*look)(struct eventfd_writer *w)); /* calls look for all writers */
	void *arg;
	const char *name; /* of the thread */
};

/* end: -1 before. */
int eventfd_guard_start(struct eventfd_guard *g, const char *name);
void eventfd_guard_stop(struct eventfd_guard *g); /* never started: fine */

/* By the thread that will write. */
void eventfd_writer_begin(struct eventfd_writer *w);

/* -EAGAIN: it is full. -EINTR: it was full, and its other owner had made it one that waits; we stood still for 100 to
 * 300 ms, and the fd should not be written again. */
int eventfd_writer_add(struct eventfd_writer *w, int fd);

#endif

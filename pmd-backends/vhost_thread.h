/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one thread that speaks with the VMMs of all ports. Each is a client with a socket (or none) and callbacks, of which
 * the thread runs one at a time, for whoever has something to say, and never waits for anybody.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_THREAD_H
#define VIADUCT_PMD_BACKENDS_VHOST_THREAD_H

#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct vhost_thread;

/* All by the thread, with the client's lock held. */
struct vhost_client_ops {
	void (*ready)(void *arg); /* something came from the watched fd, perhaps; or its end */
	void (*woken)(void *arg); /* after vhost_client_wake() */
	void (*tick)(void *arg); /* every 100 ms, and when it is added */
};

struct vhost_client {
	const struct vhost_client_ops *ops;
	void *arg;
	struct vhost_thread *thread; /* stays when it is removed: who wakes looks at any time */
	bool is_added;
	unsigned int place, generation; /* of the thread */
	pthread_mutex_t lock;
	atomic_uint waiting; /* others that want the lock: the thread lets them */
	atomic_bool is_woken;
};

int vhost_thread_start(struct vhost_thread **out, struct err *e);
void vhost_thread_stop(struct vhost_thread *t); /* NULL-safe; it has no clients */

void vhost_client_init(struct vhost_client *c, const struct vhost_client_ops *ops, void *arg);
void vhost_client_fini(struct vhost_client *c);

int vhost_client_add(struct vhost_client *c, struct vhost_thread *t, struct err *e);

/* When it returns none of the callbacks runs any more. Not from one of them. Again, or never added: nothing. */
void vhost_client_remove(struct vhost_client *c);

/* Keeps the thread out of the client's callbacks, and all others at its next client. Any thread but lcores. */
void vhost_client_lock(struct vhost_client *c);
void vhost_client_unlock(struct vhost_client *c);

/* From a callback: what comes from fd is heard. */
int vhost_client_watch(struct vhost_client *c, int fd);
void vhost_client_unwatch(struct vhost_client *c, int fd);

/* Any thread, lcores too: does not wait. One that is removed may be woken still: nothing comes of it. */
void vhost_client_wake(struct vhost_client *c);

#endif

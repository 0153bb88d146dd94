/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small event loop on epoll: file descriptors with callbacks, run by one thread. Timers are
 * timerfds and signals are signalfds that their owner adds like any other fd. It opens nothing but
 * its epoll fd at creation, so it runs inside the VMM's sandbox.
 */
#ifndef VIADUCT_BASE_LOOP_H
#define VIADUCT_BASE_LOOP_H

#include "base/err.h"

#include <sys/epoll.h>

struct loop;

/* `events` are EPOLLIN and so on. May call loop_del for any fd, its own included. */
typedef void loop_fn(void *arg, int fd, uint32_t events);

int loop_create(struct loop **out, struct err *e);
void loop_destroy(struct loop *loop); /* NULL-safe; closes none of the watched fds */

/* Watches fd (level-triggered); the caller keeps owning it and must loop_del it before closing.
 * -EEXIST if it is watched already. */
int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn *fn, void *arg);
int loop_mod(struct loop *loop, int fd, uint32_t events);
void loop_del(struct loop *loop, int fd); /* unknown fds are ignored */

/* Runs callbacks until loop_stop; returns the value given to it, or a negative errno. */
int loop_run(struct loop *loop);

/* Waits at most timeout_ms (-1: for ever) and dispatches what is ready. 0 or -errno. */
int loop_step(struct loop *loop, int timeout_ms);

/* Only from the loop's thread (in a callback). */
void loop_stop(struct loop *loop, int result);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A console of the guest's, behind the 16550 or a virtio console: a listening socket whose clients all see what the guest writes and
 * may all type. A new client first gets the last 16 KiB. Output sits in one ring that every reader
 * (clients and the optional log) follows at its own pace: who is too slow loses the oldest part and
 * is told so; the guest never waits. console_put(), console_skip() and console_refill() may be called on vCPU threads, with the
 * machine's lock held; everything else runs in the main thread.
 */
#ifndef VIADUCT_VMM_CHIPSET_CONSOLE_H
#define VIADUCT_VMM_CHIPSET_CONSOLE_H

#include "base/err.h"
#include "base/loop.h"

#include <pthread.h>

#define CONSOLE_RING	   65536U
#define CONSOLE_SCROLLBACK 16384U
#define CONSOLE_CLIENTS	   8
#define CONSOLE_INPUT	   4096U

struct console;
struct ready_mark;

/* Borrowed for the console's life; fds may be -1. */
struct console_env {
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */
	/* Takes as many of the bytes as the guest has room for now, and says how many. Lock held. */
	size_t (*receive)(void *arg, const uint8_t *data, size_t len);
	void *arg;
	int listener_fd; /* SOCK_STREAM, listening */
	int log_fd, log_old_fd; /* chipset_console_log.h */
	struct ready_mark *ready; /* sees every byte of output; NULL: nobody does */
};

int console_create(const struct console_env *env, struct console **out, struct err *e);
void console_destroy(struct console *c); /* NULL-safe; sends what readers take without waiting */

/* The guest wrote these bytes. Lock held. */
void console_put(struct console *c, const uint8_t *data, size_t len);

/* It wrote so many that nobody will read: CONSOLE_RING bytes follow at once. Lock held. */
void console_skip(struct console *c, uint64_t len);

/* The guest can take input again. Lock held. */
void console_refill(struct console *c);

uint64_t console_bytes(const struct console *c); /* lock held */

#endif

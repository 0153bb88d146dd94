/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `viaductd --oneshot` of our own: reads the machine with the caller's rights, answers the API on
 * one socket pair and ends. What it says on stderr is kept for the case that it does not answer.
 */
#ifndef VIADUCT_CLI_ONESHOT_H
#define VIADUCT_CLI_ONESHOT_H

#include "base/err.h"

#include <sys/types.h>

struct oneshot {
	pid_t pid; /* -1: not running */
	int stderr_fd; /* -1: none */
};

void oneshot_init(struct oneshot *o);

/* Starts it with run_dir (NULL: its own default); *sock is our end and the caller's. */
int oneshot_start(struct oneshot *o, const char *run_dir, int *sock, struct err *e);

/* The end of what it wrote on stderr, on one line. Returns buf. */
char *oneshot_words(const struct oneshot *o, char *buf, size_t cap);

/* Waits for it, with a deadline after which it is killed. The caller has closed its socket. */
void oneshot_fini(struct oneshot *o);

/* Where the daemon's binary is: VIADUCT_DAEMON, beside our own, or on PATH. -ENOENT. */
int daemon_find(char *buf, size_t cap, struct err *e);

#endif

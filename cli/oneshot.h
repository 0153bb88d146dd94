/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `viaductd --oneshot` of our own: reads the machine with the caller's rights, answers the API on
 * one connection and ends. What it says on stderr is kept for the case that it does not answer.
 *
 * The connection is made through an abstract socket and not a socket pair, because libcurl 7.88
 * (Debian 12) connects every socket that it is handed, connected or not. The child accepts our
 * process and no other, by SO_PEERCRED.
 */
#ifndef VIADUCT_CLI_ONESHOT_H
#define VIADUCT_CLI_ONESHOT_H

#include "base/err.h"

#include <limits.h>
#include <sys/types.h>

struct oneshot {
	pid_t pid; /* -1: not running */
	int stderr_fd; /* -1: none */
};

void oneshot_init(struct oneshot *o);

#define ONESHOT_NAME 108

/* Starts it with run_dir (NULL: its own default); name is that of the abstract socket, without the
 * leading NUL. The caller connects to it once, within seconds. */
int oneshot_start(struct oneshot *o, const char *run_dir, char name[ONESHOT_NAME], struct err *e);

/* The end of what it wrote on stderr, on one line. Returns buf. */
char *oneshot_words(const struct oneshot *o, char *buf, size_t cap);

/* Waits for it, with a deadline after which it is killed. The caller has closed its connection. */
void oneshot_fini(struct oneshot *o);

/* Where the daemon's binary is: VIADUCT_DAEMON, beside our own, or on PATH. -ENOENT. */
int daemon_find(char buf[PATH_MAX], struct err *e);

#endif

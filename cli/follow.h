/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that go on until Ctrl-C, or until nobody is left to read: both are how they are meant to
 * end, so exit status 0.
 */
#ifndef VIADUCT_CLI_FOLLOW_H
#define VIADUCT_CLI_FOLLOW_H

#include "base/err.h"

#include <stdio.h>

struct follow {
	FILE *out;
	int signal_fd; /* -1: not following, so only time ends a wait */
	bool has_ended;
};

/* Takes the signals; they stay blocked until the process ends. */
int follow_begin(struct follow *f, struct err *e);
void follow_end(struct follow *f);

/* Until the time is over or has_ended is set. */
void follow_wait(struct follow *f, uint64_t ns);

/* What was written goes out; a reader that has gone sets has_ended. */
int follow_flush(struct follow *f, struct err *e);

#endif

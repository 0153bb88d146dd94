/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of a program that viaductd starts, with a socket as its only argument (--fd N). For main() alone. */
#ifndef VIADUCT_BASE_CHILD_H
#define VIADUCT_BASE_CHILD_H

#include "base/seqmsg.h"

#define CHILD_TEXT 512

/* Its name, what it is, and the last line of its help. */
struct child_words {
	const char *name, *what, *see;
};

/* Reads the command line and begins the log. -1: *sock is the socket; else the exit status, and what main() says before it,
 * on the standard output if it is 0, on the standard error if not. */
int child_begin(int argc, char **argv, const struct child_words *words, int *sock,
		char say[CHILD_TEXT]);

/* `why` and how the program is used, to be said on the standard error; returns the exit status. */
int child_usage(const struct child_words *words, const char *why, char say[CHILD_TEXT]);

/* A signalfd for what ends a program in order, in *fd; signals of pipes and file sizes are ignored from now on. Before there
 * are threads. */
int child_signals(int *fd, struct err *e);

/* The first message, which is waited for for half a minute. */
int child_launch_recv(int sock, struct seqmsg *m, struct err *e);

#endif

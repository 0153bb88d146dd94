/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other end of a control socket: a program that this daemon has started, or has found running. It is not trusted:
 * replies are bounded in size and time.
 */
#ifndef VIADUCT_VF_MANAGER_PEER_H
#define VIADUCT_VF_MANAGER_PEER_H

#include "base/err.h"

#include <jansson.h>

#include <sys/types.h>

struct run_paths;

struct peer {
	const char *program; /* "viaduct-vmm" */
	const char *path; /* of its control socket */
	uid_t uid;
	pid_t pid; /* who must be at the other end; 0: nobody */
	struct run_paths *kept; /* in which `path` may be; NULL: its name is all there is */
};

struct peer_ask {
	const json_t *body;
	const int *fd; /* goes along, and stays the caller's; NULL: none */
	int type; /* SOCK_SEQPACKET, with SOCK_NONBLOCK: the program's taking it is not waited for (else two seconds at most) */
};

/* One request over a connection of its own, on which the reply comes. -ECONNREFUSED: it does not run; -EPERM: another
 * process listens. */
int peer_send(const struct peer *peer, const struct peer_ask *ask, int *fd_out, struct err *e);

/* Reads one reply; *result (may be NULL) is a new reference to an object. Errors of the program pass through. -ETIMEDOUT,
 * -ECONNRESET: it is gone. */
int peer_reply(const char *program, int sock, int timeout_ms, json_t **result, struct err *e);

/* Did it say nothing? It has just ended, or it hangs; an error of its own has a code, or none of these numbers. */
bool peer_is_silent(const struct err *e);

#endif

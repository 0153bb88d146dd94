/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that accepts the API's clients, asks the guard whether there is room, tells who must go why, and
 * looks once in a while who is over time, and whether clients still find the socket.
 */
#ifndef VIADUCT_VF_MANAGER_ACCEPTOR_H
#define VIADUCT_VF_MANAGER_ACCEPTOR_H

#include "vf-manager/daemon.h"
#include "vf-manager/guard.h"

struct acceptor;

struct acceptor_plan {
	struct daemon *d;
	struct guard *guard;
	int listener; /* stays the caller's */
	/* Takes the socket over, and the place with it. */
	void (*take)(void *arg, int sock, struct guard_conn *c);
	void *arg;
};

int acceptor_create(const struct acceptor_plan *plan, struct acceptor **out, struct err *e);
void acceptor_destroy(struct acceptor *a); /* NULL-safe */

/* The guard's word to who was too slow. */
guard_late acceptor_say_late;

#endif

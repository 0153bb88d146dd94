/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each client of the API may take: connections, time, memory, and turns at what is costly. By who it is: one user
 * cannot take what others need, and what root and the managers need is kept for them. Knows no HTTP.
 * Everything here takes NULL for "no limits": --oneshot serves whoever started it.
 */
#ifndef VIADUCT_VF_MANAGER_GUARD_H
#define VIADUCT_VF_MANAGER_GUARD_H

#include "vf-manager/caller.h"

#define GUARD_REQUEST_S 10 /* from the connection, or the last reply, to the request's last byte */
#define GUARD_REPLY_S	20 /* from its first byte to its last; of a stream for each block */
#define GUARD_TURN_S	5 /* what waits longer for its turn is told to come again */
/* Connections; those that are cut off, but whose threads have not ended yet, beside them. */
#define GUARD_CONNECTIONS 1064
#define GUARD_SLOTS	  1200

enum guard_phase { GUARD_READING, GUARD_WORKING, GUARD_REPLYING };

struct guard;
struct guard_conn;

/* `late` tells a peer that it was too slow, before it is cut off. */
typedef void guard_late(int sock);
int guard_create(guard_late *late, struct guard **out, struct err *e);
void guard_destroy(struct guard *g); /* NULL-safe; nobody is connected any more */

/* A place for a connected socket, which stays the caller's. -EAGAIN code "too-many-connections". Where a user has
 * taken all that he may, one of his that has not asked for anything yet is cut off for the new one. */
struct guard_peer {
	int sock;
	uid_t uid;
	enum caller_class class;
};
int guard_admit(struct guard *g, const struct guard_peer *peer, struct guard_conn **out,
		struct err *e);

/* The place of a socket that was admitted. */
struct guard_conn *guard_find(struct guard *g, int sock);

/* Before the socket is closed. */
void guard_leave(struct guard *g, struct guard_conn *c);

/* The clock starts anew. False: it was cut off. READING also gives back what it held. */
bool guard_phase_set(struct guard *g, struct guard_conn *c, enum guard_phase phase);

/* That many further bytes of requests and replies in memory; false: too many now. */
bool guard_hold(struct guard *g, struct guard_conn *c, size_t bytes);

/* One of the few turns; waits for it. -EAGAIN code "busy". */
int guard_turn_take(struct guard *g, enum caller_class class, struct err *e);
void guard_turn_end(struct guard *g);

/* Cuts off who is over time; returns how many are connected. */
unsigned int guard_look(struct guard *g);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control sockets of a program that viaductd has started: requests in ("v", "op" and what belongs to it), one reply
 * each, in order. The socket of the launch stays; more come through the listener, from root or from whoever launched us,
 * at most CONTROL_CONNECTIONS at a time. Who does not read its replies is dropped.
 */
#ifndef VIADUCT_BASE_CONTROL_H
#define VIADUCT_BASE_CONTROL_H

#include "base/loop.h"
#include "base/seqmsg.h"

#define CONTROL_CONNECTIONS 8
#define CONTROL_OP_TEXT	    32

struct control;

/* Whoever does what is asked. */
struct control_target {
	struct loop *loop;
	int listener; /* non-blocking */
	int version; /* of the messages */
	const char *what; /* is controlled: "this VM" */
	const char *smaller; /* the hint of a reply that does not fit into one message; NULL: none */
	json_t *(*answer)(void *arg, struct seqmsg *request); /* a new reference; NULL: no memory */
	void *arg;
};

/* Takes *launch_sock over. The target is copied; what it names outlives the sockets. */
int control_create(const struct control_target *target, int *launch_sock, struct control **out,
		   struct err *e);
void control_destroy(struct control *c); /* NULL-safe; closes the connections */

/* The two kinds of reply; new references, NULL: no memory. The result is taken; NULL stands for "out of memory". */
json_t *control_reply_ok(int version, json_t *result);
json_t *control_reply_err(int version, const struct err *e);

/* -EINVAL or -ENOENT if "v" or "op" is none; -EPROTONOSUPPORT, code "version": another one than ours. */
int control_head_parse(const json_t *body, int version, char op[CONTROL_OP_TEXT], struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control connections of a running VM (requests of vmm_msg.h): the launch socket and whatever
 * the listener accepts. Peers are root or the launching daemon's uid, at most CONTROL_CONNECTIONS at
 * a time; one that does not read its replies is dropped. Main thread.
 */
#ifndef VIADUCT_VMM_CONTROL_H
#define VIADUCT_VMM_CONTROL_H

#include "base/err.h"
#include "base/seqmsg.h"

#include <sys/types.h>

#define CONTROL_CONNECTIONS 8

struct control;
struct machine;

/* Takes launch_sock. The machine, its loop and its spec's listener are borrowed. */
int control_create(struct machine *m, int *launch_sock, struct control **out, struct err *e);
void control_destroy(struct control *c); /* NULL-safe; closes the connections */

/* One request to one reply (a new reference; NULL when out of memory). Separate for tests. */
json_t *control_answer(struct machine *m, const struct seqmsg *request);

/* The two kinds of reply. result is stolen, NULL stands for "out of memory". */
json_t *control_reply_ok(json_t *result);
json_t *control_reply_err(const struct err *e);

/* -EINVAL if "v" or "op" is missing or of another version. op holds 32 bytes. */
int control_head_parse(const json_t *body, char op[32], struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control sockets: requests in, one reply each, in order. The one of the launch stays; more come through the
 * listener, from root or from whoever launched us.
 */
#ifndef VIADUCT_PMD_BACKENDS_CONTROL_H
#define VIADUCT_PMD_BACKENDS_CONTROL_H

#include "pmd-backends/request.h"

#include "base/json.h"
#include "base/loop.h"

#define CONTROL_CONNECTIONS 8

struct control;

json_t *control_reply_ok(json_t *result); /* takes it; NULL: no memory */
json_t *control_reply_err(const struct err *e);

/* Whoever does what is asked. */
struct control_target {
	const struct pmd_launch *launch;
	struct loop *loop;
	int (*request)(void *arg, struct pmd_request *request, json_t **result, struct err *e);
	void *arg;
};

/* Takes *launch_sock over. The target is copied; what it names outlives the sockets. */
int control_create(const struct control_target *target, int *launch_sock, struct control **out,
		   struct err *e);
void control_destroy(struct control *c); /* NULL-safe */

#endif

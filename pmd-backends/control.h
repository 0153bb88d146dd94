/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control sockets: requests in, one reply each, in order. The one of the launch stays; more come through the
 * listener, from root or from whoever launched us.
 */
#ifndef VIADUCT_PMD_BACKENDS_CONTROL_H
#define VIADUCT_PMD_BACKENDS_CONTROL_H

#include "pmd-backends/backend.h"

#define CONTROL_CONNECTIONS 8

struct control;

json_t *control_reply_ok(json_t *result); /* takes it; NULL: no memory */
json_t *control_reply_err(const struct err *e);

/* Takes *launch_sock over. `b` outlives it. */
int control_create(struct backend *b, int *launch_sock, struct control **out, struct err *e);
void control_destroy(struct control *c); /* NULL-safe */

#endif

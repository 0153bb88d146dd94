/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requests of vmm_msg.h to a running VM. Main thread.
 */
#ifndef VIADUCT_VMM_REQUESTS_H
#define VIADUCT_VMM_REQUESTS_H

#include "base/control.h"

struct machine;

/* Takes *launch_sock. The machine, its loop and its spec's listener are borrowed, until control_destroy(). */
int requests_serve(struct machine *m, int *launch_sock, struct control **out, struct err *e);

/* One request to one reply (a new reference; NULL when out of memory). Separate for tests. */
json_t *requests_answer(struct machine *m, const struct seqmsg *request);

#endif

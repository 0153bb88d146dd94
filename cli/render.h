/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replies of the API as people read them: one function a kind of reply. The reply is a peer's
 * input: a list that is none is -EBADMSG, a member that is missing or of another type shows as "-".
 */
#ifndef VIADUCT_CLI_RENDER_H
#define VIADUCT_CLI_RENDER_H

#include "base/err.h"

#include <jansson.h>

#include <stdio.h>

typedef int render_fn(FILE *out, const json_t *reply, struct err *e);

render_fn render_host_check;
render_fn render_pf_list;
render_fn render_pf;
render_fn render_pf_plan;
render_fn render_pf_applied;
render_fn render_vf_list;
render_fn render_vf;
render_fn render_vf_allocated;
render_fn render_vf_set;
render_fn render_vf_released;
render_fn render_network_list;
render_fn render_network;
render_fn render_config_checked;
render_fn render_config_diff;
render_fn render_function_list;
render_fn render_function;
render_fn render_function_released;
render_fn render_vm_list;
render_fn render_vm;
render_fn render_vm_checked;
render_fn render_vm_started;
render_fn render_vm_state;
render_fn render_vm_stats; /* of two samples: {"before":STATS,"after":STATS} */
render_fn render_events;
render_fn render_alarms;

#define RENDER_ROWS 65536 /* items of one list, at most */

/* The list at `key`; -EBADMSG if it is none. */
int render_rows(const json_t *reply, const char *key, json_t **rows, struct err *e);

/* VFs of a PF or of the host as a table. */
int render_vfs(FILE *out, const json_t *rows, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All VMs at once, as the host goes down and comes up: `vm stop --all`, `vm start --all`. No lock held by the caller.
 */
#ifndef VIADUCT_VF_MANAGER_HOSTSTOP_H
#define VIADUCT_VF_MANAGER_HOSTSTOP_H

#include "vf-manager/daemon.h"

#include <jansson.h>

#define HOST_STOP_DEFAULT_S 240
#define HOST_STOP_MAX_S	    3600

struct operation;

/* Backwards in the order of starts, those of one rank together, transient VMs first. Each has its own time from power
 * button to kill; all have timeout_s together, after which the rest is killed. What ran still shall: it comes back with
 * the next boot, or with vms_start_all(). Until then nothing starts by itself. *out: the API's object. */
struct host_stop_wish {
	struct operation *op;
	uid_t uid;
	unsigned int timeout_s;
};
int vms_stop_all(struct daemon *d, const struct host_stop_wish *wish, json_t **out, struct err *e);

/* Those that shall run start, in their order; not waited for. *out: the API's object. */
int vms_start_all(struct daemon *d, json_t **out, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STATUS of vmm_msg.h. Main thread; takes the machine's lock.
 */
#ifndef VIADUCT_VMM_STATUS_H
#define VIADUCT_VMM_STATUS_H

#include <jansson.h>

struct machine;

/* A new reference; NULL when out of memory. */
json_t *machine_status(struct machine *m);

/* Returns of KVM_RUN by kind, of one vCPU or (-1) of all: a new reference. */
json_t *machine_exits_status(const struct machine *m, int vcpu);

#endif

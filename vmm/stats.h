/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exit accounting: STATS of vmm_msg.h. Three sources, none of which stops a vCPU: KVM's own statistics
 * (kvm_stats.h), the returns of KVM_RUN that the vCPU threads count, and the trapped accesses that each
 * region of the buses counts. Statistics fds are taken while the VM is set up; a KVM without them
 * leaves that part out and says so.
 */
#ifndef VIADUCT_VMM_STATS_H
#define VIADUCT_VMM_STATS_H

#include "base/err.h"

#include <jansson.h>

struct machine;
struct stats;

/* After the vCPUs are there. Only a lack of memory is an error. */
int stats_create(struct machine *m, struct stats **out, struct err *e);
void stats_destroy(struct stats *s); /* NULL-safe */

/* Main thread; takes the machine's lock. A new reference; NULL when out of memory. */
json_t *machine_stats(struct machine *m);

#endif

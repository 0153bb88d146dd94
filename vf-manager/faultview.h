/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults as the API shows them, and what their reader costs.
 */
#ifndef VIADUCT_VF_MANAGER_FAULTVIEW_H
#define VIADUCT_VF_MANAGER_FAULTVIEW_H

#include "vf-manager/faultlog.h"

#include <jansson.h>

struct daemon;

#define FAULT_SHARE_NS	   10000000000ULL /* over which the share of a CPU is a mean */
#define FAULT_ONCE_RECORDS 100000 /* of the log that a look without the daemon reads, at most */

/* Of the reader; settled by its thread, with the state lock. */
struct fault_reader_view {
	bool is_readable;
	char why[512]; /* it is not */
	uint64_t first_wall_ns, first_cpu_ns; /* when it began */
	uint64_t wall_ns, cpu_ns; /* at its last work */
	uint64_t span_wall_ns, span_cpu_ns; /* where the present span began */
	uint64_t peak_permille; /* of a whole span, the highest */
	uint64_t pauses; /* times that it had used up its share */
};

void fault_reader_view_note(struct fault_reader_view *v, uint64_t wall_ns, uint64_t cpu_ns,
			    bool is_paused);

/* NULL: out of memory. */
json_t *fault_log_json(const struct daemon *d, const struct fault_log *l,
		       const struct fault_reader_view *v);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PFs whose VF count somebody else has changed get back the one that viaduct gave them, where the configuration says
 * `drift: repair`. Otherwise drift is an alarm and no more (alarms.h).
 */
#ifndef VIADUCT_VF_MANAGER_DRIFT_H
#define VIADUCT_VF_MANAGER_DRIFT_H

#include "vf-manager/daemon.h"

/* By place in the configuration: whoever changes the count again and again is not fought at every turn. */
struct drift_memory {
	unsigned int tries[CONFIG_PFS];
	uint64_t next_ns[CONFIG_PFS]; /* not before */
};

/* No lock held. By what was seen last, there is something that drift_repair() would try now. */
bool drift_is_due(struct daemon *d, const struct drift_memory *memory);

/* Op locked, state not. VFs that somebody else has made and no driver has are destroyed; what else is in the way
 * leaves the PF as it is. Failures are logged. Returns true if something was repaired. */
bool drift_repair(struct daemon *d, struct drift_memory *memory);

#endif

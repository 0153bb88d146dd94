/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is not any more as viaduct has made it. PFs whose VF count somebody else has changed get back the one that viaduct gave
 * them where the configuration says `drift: repair`, and so do VFs their attributes; what a PF itself has lost, when it was
 * down or its driver was loaded again, is set again in any case. Leases wait for VFs that are gone, and ports are told.
 * All else is an alarm and no more (alarms.h).
 */
#ifndef VIADUCT_VF_MANAGER_DRIFT_H
#define VIADUCT_VF_MANAGER_DRIFT_H

#include "vf-manager/daemon.h"

/* Whoever changes it again and again is not fought at every turn. */
struct drift_pace {
	unsigned int tries;
	uint64_t next_ns; /* not before */
};

bool drift_pace_allows(const struct drift_pace *pace); /* another try */
void drift_pace_take(struct drift_pace *pace);

/* State locked. The configuration says `drift: repair` of this PF. */
bool drift_policy_repairs(const struct daemon *d, const struct pci_fn *pf);

/* Of one PF that has VFs of viaduct's. */
struct drift_pf {
	struct pci_addr pf;
	unsigned int ifindex;
	bool was_away; /* down, without link or driver, or not looked at, since its attributes were right */
	struct drift_pace attrs;
};

struct drift_memory {
	struct drift_pace count[CONFIG_PFS]; /* by place in the configuration */
	struct drift_pf *pfs;
	size_t pf_count;
};

struct attr_drifts;

void drift_memory_free(struct drift_memory *memory);

/* No lock held. After each look at the machine: which PFs have been away, by what `attrs` it has found. */
void drift_note(struct daemon *d, struct drift_memory *memory, const struct attr_drifts *attrs);

/* No lock held. By what was seen last, there is something that drift_repair() would try now. */
bool drift_is_due(struct daemon *d, struct drift_memory *memory, const struct attr_drifts *attrs);

/* Op locked, state not. VFs that somebody else has made and no driver has are destroyed; what else is in the way
 * leaves the PF as it is. Failures are logged. Returns true if something was repaired. */
bool drift_repair(struct daemon *d, struct drift_memory *memory);

#endif

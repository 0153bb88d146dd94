/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of a VF and the arcs between them. The ledger refuses every other change.
 */
#ifndef VIADUCT_VF_MANAGER_VFSTATE_H
#define VIADUCT_VF_MANAGER_VFSTATE_H

#include "base/err.h"

enum vf_state {
	VF_FREE, /* clean, nobody's, without a driver */
	VF_LEASED, /* somebody's, not yet on vfio-pci */
	VF_BOUND, /* on vfio-pci, with its attributes set */
	VF_ASSIGNED, /* a VM has it */
	VF_SCRUBBING, /* given back, being wiped */
	VF_QUARANTINED, /* could not be wiped: never handed out */
	VF_FOREIGN, /* not created by viaduct, or in use by somebody else: never touched */
	VF_STATES
};

const char *vf_state_text(enum vf_state state);
int vf_state_parse(const char *text, enum vf_state *out);

/* -EBUSY code "vf-state" if there is no such arc. Staying is none. */
int vf_state_check(enum vf_state from, enum vf_state to, struct err *e);

#endif

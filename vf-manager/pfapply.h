/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing the number of VFs of a PF, which destroys all that are there.
 */
#ifndef VIADUCT_VF_MANAGER_PFAPPLY_H
#define VIADUCT_VF_MANAGER_PFAPPLY_H

#include "vf-manager/pfplan.h"

/* Op locked. `name`: address or device. Does nothing if viaduct made as many already. What pf_plan_check() says
 * of the plan ends it; VMs that have a VF do so even if they are named. */
int pf_apply(struct daemon *d, const char *name, const struct pf_wish *wish, struct err *e);

/* No lock held. The VMs that are named are stopped first; then as above. */
int pf_apply_disrupting(struct daemon *d, const char *name, const struct pf_wish *wish,
			struct err *e);

/* Op locked. The change itself, also one that a crash has cut: how many VFs there are and whose is in the
 * ledger afterwards, and the intent is gone, whether the change succeeds or not. */
int pf_intent_finish(struct daemon *d, const struct intent_row *intent, struct err *e);

/* Op and state locked. It is not finished: VFs that are not those from before it are nobody's. */
int pf_intent_drop(struct daemon *d, const struct intent_row *intent, struct err *e);

/* The wanted PF state of the configuration, if it asks for that at start. Failures are logged. */
void pf_apply_wanted(struct daemon *d);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes of PFs on trial: the PF goes back to the count it had unless somebody confirms in time. The deadline is in
 * the ledger, in time since boot (which runs while the host sleeps, and cannot be set), so neither a crash nor a
 * restart of the daemon extends it. A boot ends a trial: VFs do not outlive it.
 */
#ifndef VIADUCT_VF_MANAGER_PFCONFIRM_H
#define VIADUCT_VF_MANAGER_PFCONFIRM_H

#include "vf-manager/pfplan.h"

#define CONFIRM_MAX_S 86400

/* State locked. Begins the trial of `plan`, before anything is changed; from_now again when it is done. */
int confirm_begin(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		  struct err *e);

/* State locked. True: the change `plan` is refused (-EBUSY code "pf-on-trial" in e) since the PF is on trial and
 * this is not the way back. */
bool confirm_forbids(struct daemon *d, const struct pf_plan *plan, struct err *e);

/* State locked. -ECANCELED: the trial is over, somebody has confirmed or ended it. NULL: nobody asks. */
int confirm_check(const struct daemon *d, const struct confirm_row *trial, struct err *e);

/* Op locked. The change stays. -EBUSY code "nothing-on-trial". */
int confirm_keep(struct daemon *d, const char *name, uid_t uid, struct err *e);

/* Op and state locked: the PF has its former count again, `why`. Nothing on trial: nothing to do. */
int confirm_over(struct daemon *d, const struct pci_addr *pf, const char *why, struct err *e);

/* No lock held. Takes back what is due; VMs that have a VF by now are stopped. Returns the ns until the next is due;
 * UINT64_MAX: none is on trial. */
uint64_t confirm_look(struct daemon *d);

/* State locked. The API's TRIAL, or null. */
json_t *confirm_json(const struct daemon *d, const struct pci_addr *pf);

/* Calls confirm_look() when it is time to, until daemon_end(). */
struct confirmer;
int confirmer_create(struct daemon *d, struct confirmer **out, struct err *e);
void confirmer_destroy(struct confirmer *c);

#endif

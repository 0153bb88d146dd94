/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a change of a PF's VF count would do, in order, and whom it would hurt. `pf plan` shows it; `pf apply` does
 * nothing that its plan does not say, and nothing at all while somebody is hurt who was not named.
 */
#ifndef VIADUCT_VF_MANAGER_PFPLAN_H
#define VIADUCT_VF_MANAGER_PFPLAN_H

#include "vf-manager/daemon.h"

#include <jansson.h>

#define PF_DISRUPT_LEASE "lease:" /* in front of a lease's name among those that may be hurt */

struct pf_wish {
	uint16_t vfs;
	uid_t uid; /* who asks */
	const json_t *disrupt; /* array of VMs and of "lease:NAME": may be hurt; NULL: nobody */
	unsigned int timeout_s; /* from a VM's power button to its end */
	bool hurts_all; /* whoever is hurt is as good as named */
	unsigned int confirm_s; /* on trial: back to the former count after so long; 0: for good */
	bool destroys_unused; /* foreign VFs that no driver has are not in the way */
	struct operation *op; /* who follows it; NULL */
	bool are_stopped; /* the VMs among them have been: one that is not hurt is no mistake */
	const struct confirm_row
		*trial; /* it is the way back of this one, and nothing once it is over; NULL */
};

/* One VF that somebody loses, or that stands in the way. */
struct pf_hurt {
	char vm[64], port[LEASE_TEXT], lease[LEASE_TEXT]; /* "": none */
	struct pci_addr addr;
	uint16_t index;
	char id[VF_ID_TEXT];
	enum vf_state state;
	char why[128]; /* foreign: why */
	bool is_unused; /* no driver has it */
	bool is_left; /* by a VM that is not there any more */
};

struct pf_plan {
	struct pci_addr pf;
	char name[PCI_ADDR_TEXT], dev_name[32];
	uint16_t from, to;
	bool is_done; /* there is nothing to do */
	json_t *steps, *notes; /* texts */
	struct pf_hurt *hurt;
	size_t hurt_count;
};

/* State locked, just scanned; changes nothing. `name`: address or device. Errors: no such PF, more VFs than
 * it can have, the PF is a whole function's. That somebody is hurt is none. */
int pf_plan_make(struct daemon *d, const char *name, const struct pf_wish *wish,
		 struct pf_plan *out, struct err *e);
void pf_plan_fini(struct pf_plan *plan);

/* State locked. -EBUSY codes "vf-foreign", "vf-in-use" (left behind), "pf-in-use": names all who are
 * hurt and not named; -EINVAL code "pf-not-hurt": somebody is named who is not hurt. */
int pf_plan_check(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		  struct err *e);

/* State locked. The API's PLAN. */
json_t *pf_plan_json(struct daemon *d, const struct pf_plan *plan);

#endif

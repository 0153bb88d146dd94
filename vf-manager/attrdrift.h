/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFs whose attributes (MAC, VLAN, trust and their like) are not what viaduct has given them: the PF has lost them, or
 * somebody else has set others. Found by one rtnetlink message for each PF that has any to compare.
 */
#ifndef VIADUCT_VF_MANAGER_ATTRDRIFT_H
#define VIADUCT_VF_MANAGER_ATTRDRIFT_H

#include "vf-manager/daemon.h"

struct attr_drift {
	struct pci_addr pf, vf;
	uint16_t index;
	uint64_t generation; /* of the lease that is meant */
	uint32_t differs; /* BIT(enum vf_attr), of those in both */
	struct vf_attrs has, wanted;
};

struct attr_drifts {
	struct attr_drift *items;
	size_t count, cap;
};

/* State locked, just scanned. Replaces the list, in the order of the ledger. What a PF does not tell is not compared. */
void attr_drifts_find(struct daemon *d, struct attr_drifts *list);
void attr_drifts_free(struct attr_drifts *list);

/* State locked. It is still about this lease, by what the VF had then. */
bool attr_drift_holds(const struct daemon *d, const struct attr_drift *drift);

/* "vlan 5, trust on": those in mask. Returns buf. */
#define ATTR_DRIFT_TEXT 160
char *attr_drift_text(const struct vf_attrs *attrs, uint32_t mask, char buf[ATTR_DRIFT_TEXT]);

/* "vlan=100 trust=off", as `vf set` takes them. Returns buf. */
char *attr_drift_words(const struct vf_attrs *attrs, uint32_t mask, char buf[ATTR_DRIFT_TEXT]);

/* Op locked, state not. Sets them again, reads them back, and tells of it as an event with the reason. */
int attr_drift_repair(struct daemon *d, const struct attr_drift *drift, const char *why,
		      struct err *e);

#endif

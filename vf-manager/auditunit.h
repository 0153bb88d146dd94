/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which VT-d unit is in charge of a function, by the firmware's DMAR table: the IOMMU's driver is not asked.
 */
#ifndef VIADUCT_VF_MANAGER_AUDITUNIT_H
#define VIADUCT_VF_MANAGER_AUDITUNIT_H

#include "vf-manager/daemon.h"

#include "iommu/audit_host.h"
#include "iommu/dmar.h"

struct audit_units {
	struct daemon *d;
	struct dmar dmar;
};

/* Code "no-vtd": the firmware has no such table. */
int audit_units_read(struct daemon *d, struct audit_units *out, struct err *e);
void audit_units_fini(struct audit_units *u);

/* Fills what is said of fn->address in the request. Code "no-vtd": no unit is in charge. */
int audit_units_find(const struct audit_units *u, struct audit_wish_function *fn, struct err *e);

#endif

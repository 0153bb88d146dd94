/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iommu audit: what a VM should have, told to viaduct-audit (iommu/audit_msg.h), and what came of it: the reply, an
 * event, and for a violation an alarm that lasts until a later audit proves the VM or the VM ends.
 */
#ifndef VIADUCT_VF_MANAGER_VMAUDIT_H
#define VIADUCT_VF_MANAGER_VMAUDIT_H

#include "vf-manager/vm.h"

/* Around audits that somebody asks for. -EBUSY, code "audit-running": one is under way. */
int vm_audit_begin(struct err *e);
void vm_audit_end(void);

/* No lock held. *out: the API's AUDIT. Fails if the VM does not run or has ended meanwhile; that nothing could be looked at
 * is the result "not provable". */
int vm_audit(struct daemon *d, const char *name, json_t **out, struct err *e);

/* The names of all VMs that run or come up; a list of strings. No lock held. */
json_t *vm_audit_names(struct daemon *d);

/* The AUDIT of a VM of these that could not be audited, for this reason: not provable. */
json_t *vm_audit_left_out(const char *name, const struct err *why);

/* After a VM's start, where the configuration says so; what comes of it is in the log, in an event and in an alarm. */
void vm_audit_after_start(struct daemon *d, const char *name);

#endif

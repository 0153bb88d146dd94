/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port in quarantine: its VMM keeps bus mastering of the VF off whatever the guest does, and the rest of the VM goes
 * on. What is wanted is in the VM's facts (so in the ledger) before the VMM is asked, and what holds after: a
 * daemon that starts again asks for it again. A VMM that does not obey within its deadline is killed.
 */
#ifndef VIADUCT_VF_MANAGER_VMFAULT_H
#define VIADUCT_VF_MANAGER_VMFAULT_H

#include "vf-manager/daemon.h"

struct vm_quarantine_wish {
	const char *port; /* NULL: all of them */
	bool on;
	uid_t uid; /* who asks */
};

/* State not locked. -ENOENT code "no-such-port"; -EOPNOTSUPP code "vmm-too-old": nothing
 * changes; -EBUSY code "vm-state". If it is to be on and the VMM does not obey, the VM is killed: -ETIMEDOUT code
 * "vmm-killed". */
int vm_quarantine(struct daemon *d, const char *name, const struct vm_quarantine_wish *wish,
		  struct err *e);

/* State not locked. "VM/PORT" faulted as `why` says: what its on_fault asks for. False: its VM is coming up, and it is to
 * be asked for again. */
bool vm_fault_act(struct daemon *d, const char *owner, const char *why);

/* State not locked; at the daemon's start. */
void vm_quarantines_resume(struct daemon *d);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has which whole function: a NIC without SR-IOV, an NVMe controller, a PF without VFs. The host
 * has it until a VM takes it: host -> taken -> assigned -> returning -> host, each step in the ledger
 * before it is done, with the driver it was taken from, so that it finds its way back after a crash.
 */
#ifndef VIADUCT_VF_MANAGER_FNPOOL_H
#define VIADUCT_VF_MANAGER_FNPOOL_H

#include "vf-manager/daemon.h"

#include "sriov/fnuse.h"

struct fn_want {
	struct pci_addr addr;
	bool take; /* even if the host uses it; never where data would be lost */
	const char *owner; /* "VM/NAME"; NULL: nobody yet */
};

/* A function on its way to a VM. */
struct fn_hold {
	struct pci_addr addr;
	int group;
	enum fn_kind kind;
	char dev_name[32];
	struct fn_binding was;
	struct fn_use use; /* its claims end when it is bound */
};

/* State locked. By address, or by the name of its network device or NVMe controller. -ENOENT code
 * "no-such-function". */
int fnpool_find(const struct daemon *d, const char *text, const struct pci_fn **out, struct err *e);

/*
 * State locked. 0 if the function could be given to a VM now. -EBUSY codes: "function-in-use" (a VM
 * has it), "function-quarantined", "pf-has-vfs", "group-shared", "host-uses-it" (`take` would do),
 * "host-needs-it" (it would not). -EINVAL "is-vf", "is-bridge". -ENOTSUP "no-reset", "intx-only",
 * "no-iommu-group", "firmware-memory".
 */
int fnpool_check(const struct daemon *d, const struct pci_fn *fn, const struct fn_want *want,
		 struct err *e);

/* Op locked, state not. Checks, and writes the ledger: from here on it must be released. */
int fnpool_lease(struct daemon *d, const struct fn_want *want, struct fn_hold *out, struct err *e);

/* Op locked, state not. To vfio-pci; then given to a VM. */
int fnpool_bind(struct daemon *d, struct fn_hold *hold, struct err *e);
int fnpool_assign(struct daemon *d, const struct pci_addr *addr, struct err *e);

/* Op locked, state not. Reset, back to its driver, seen to work there; else quarantined with the
 * reason, which is then also the error. 0 if the host has it anyway. */
int fnpool_release(struct daemon *d, const struct pci_addr *addr, struct err *e);

/* Op locked, state not. Every function whose owner is this VM; failures are logged. */
void fnpool_release_vm(struct daemon *d, const char *vm);

/* Op locked, state not; once it is known which VMs live. */
void fnpool_reconcile(struct daemon *d);

/* State locked. One belongs to nobody who lives: it may be on its way, or was left. */
bool fnpool_has_left(struct daemon *d);

#endif

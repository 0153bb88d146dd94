/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All PCI functions at one look, and how they hang together. Private to sriov/.
 */
#ifndef VIADUCT_SRIOV_SNAPSHOT_H
#define VIADUCT_SRIOV_SNAPSHOT_H

#include "sriov/inventory.h"

struct snapshot {
	struct pci_fn *fns; /* sorted by address */
	struct pci_addr *pf_addrs; /* of fns[i], if that is a VF */
	bool *is_claimed; /* fns[i] is a VF, and its PF has a link with an index for it */
	size_t count;
};

/* `was` NULL: everything is read. Else a VF that is the very same there, with no driver or with
 * vfio-pci, keeps its facts: of thousands of VFs only these two are looked at. On failure *s is empty. */
int snapshot_read(struct snapshot *s, const struct sysfs *sys, const struct snapshot *was,
		  struct err *e);
void snapshot_fini(struct snapshot *s);

/* -ENOMEM, and *to is empty. */
int snapshot_copy(struct snapshot *to, const struct snapshot *from);

/* A VF's facts stay as long as it lives and no driver of the host uses it; `driver` is what it has now.
 * -EAGAIN: read it all. */
int vf_look_again(const struct sysfs *sys, const struct pci_fn *vf, char driver[FN_DRIVER_TEXT]);

struct pci_fn *snapshot_find(const struct snapshot *s, const struct pci_addr *addr);

#endif

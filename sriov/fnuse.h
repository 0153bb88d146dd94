/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host itself does with a function: whether it can be taken from its driver without harm.
 * Looks at network devices (links, routes, addresses) and at the block devices of NVMe controllers
 * (file systems, swap, holders such as md and dm).
 */
#ifndef VIADUCT_SRIOV_FNUSE_H
#define VIADUCT_SRIOV_FNUSE_H

#include "sriov/inventory.h"

enum fn_use_kind {
	FN_IDLE, /* nothing of the host's hangs on it */
	FN_USED, /* the host loses something that it can be told to do without: a link, an unknown use */
	FN_BUSY, /* data would be lost: mounted, swapped to, part of another device */
};

#define FN_CLAIMS 64

struct fn_use {
	enum fn_use_kind kind;
	char why[192]; /* "nic0 is up"; "" with FN_IDLE */
	char remedy[192]; /* what to type so that it is idle; may be "" */
	unsigned int namespaces; /* of an NVMe controller: its block devices */
	int claims[FN_CLAIMS]; /* block devices that are held exclusively meanwhile */
	unsigned int claim_count;
};

/*
 * With `claim` the block devices of an NVMe controller are opened exclusively, as mount(8), swapon(8)
 * and md do: it fails where another has done so, in whatever namespace, and keeps them from doing it
 * before the function is taken. The claims end with fn_use_end(), which is safe in any state.
 */
void fn_use_look(const struct sysfs *sys, const struct pci_fn *fn, bool claim, struct fn_use *out);
void fn_use_end(struct fn_use *use);

/* True once the driver has made of the function what it was: a network device; an NVMe controller
 * that is live, with so many namespaces. Functions of another kind have nothing to show. */
bool fn_use_is_back(const struct sysfs *sys, const struct pci_addr *addr, enum fn_kind kind,
		    unsigned int namespaces);

#endif

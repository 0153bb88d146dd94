/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PFs that a request could get a VF of, as placement.c wants to know them: looked up in what was last seen
 * of the machine and in the ledger. All with the state locked, and good for as long as it stays so.
 */
#ifndef VIADUCT_VF_MANAGER_CANDIDATES_H
#define VIADUCT_VF_MANAGER_CANDIDATES_H

#include "vf-manager/placement.h"
#include "vf-manager/pool.h"

struct candidates {
	struct place_want want;
	struct place_pf *pfs;
	const struct pci_fn **fns; /* NULL: it is none */
	size_t count, cap;
	const char *vm; /* whose VFs are no obstacle: they go before it starts; NULL: nobody's */
	const struct vm_port *port; /* whose anti-affinity words count; NULL: none do */
	bool is_lazy; /* ends with the first that nothing can beat */
};

void candidates_fini(struct candidates *c);

/* -ENOMEM. The name is borrowed. */
int candidates_add(struct candidates *c, const struct daemon *d, const char *name, struct err *e);
int candidates_add_pf(struct candidates *c, const struct daemon *d, const struct pci_fn *pf,
		      struct err *e);

/* What `source` and `target` mean; codes "no-such-network", "no-such-pf", "no-sriov". Not for PORT_FROM_VF. */
int candidates_find(struct candidates *c, struct daemon *d, const struct vf_want *want,
		    struct err *e);

uint64_t candidate_key(const struct pci_addr *pf);
/* "enp1s0: no free VF (2 assigned); enp2s0: link down", as far as it fits. */
void candidates_reasons(const struct candidates *c, char *buf, size_t cap);

/* Appends one object for each; `vf` is the one that was chosen, or NULL. */
void candidates_explain(const struct candidates *c, const struct pci_fn *vf, json_t *list);

#endif

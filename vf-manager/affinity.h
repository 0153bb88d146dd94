/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Anti-affinity: ports that share a word, of whatever VM, have no VFs of the same PF. A VM's words are in its facts from
 * before it gets its first VF, so they are in the ledger and hold over a restart of the daemon.
 */
#ifndef VIADUCT_VF_MANAGER_AFFINITY_H
#define VIADUCT_VF_MANAGER_AFFINITY_H

#include "vf-manager/daemon.h"
#include "vf-manager/vmspec.h"

/* "anti_affinity" of a VM's facts: {PORT: [WORD..]}, or NULL if no port has any. */
json_t *affinity_facts(const struct vm_spec *spec);

/* A port of another VM that has a VF of a PF, and the word that both have; NULL: there is none. */
struct affinity {
	const char *holder, *word;
};

/* State locked. `vm` is whose VFs are no obstacle. Good until the ledger or the facts change. */
struct affinity affinity_find(const struct daemon *d, const struct vm_port *port, const char *vm,
			      const struct pci_addr *pf);

#endif

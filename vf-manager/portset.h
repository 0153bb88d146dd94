/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports of a VM that starts: for each a VF, with its attributes set and read back before any
 * guest can see it, or a place at the polled backend (portpolled.h). And its whole functions, taken from their drivers. When all are there, the VM's DMA space is chosen
 * (dmachoice.h) and their groups or device files are opened.
 */
#ifndef VIADUCT_VF_MANAGER_PORTSET_H
#define VIADUCT_VF_MANAGER_PORTSET_H

#include "vf-manager/vmlaunch.h"

/* Op locked. On failure s->hold_count, s->net_count and s->fn_count say how many must be given back. */
int ports_take(struct vm_start *s, struct err *e);

/* The error says that no VF is free or fit: reason for a port with a fallback to use it. All else is wrong for the polled backend,
 * too, or with the host. */
bool port_may_fall_back(const struct err *e);

/* The MAC of a port that names none: the configured prefix and a hash of this host and "VM/PORT", so that it is the same at
 * every start, and another host's VM of that name has another. `attempt` (below 256) gives the next one where two collide. */
struct mac_seed {
	const uint8_t *prefix; /* 3 bytes */
	const uint8_t *host_key; /* HOST_KEY bytes */
	const char *owner;
};
void port_mac(const struct mac_seed *seed, unsigned int attempt, uint8_t out[6]);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has a MAC already: the PF, another VF of it, a VF of another uplink of the same network in the same VLAN, a lease
 * that waits for its VF there, or a polled port of a network that the PF is an uplink of. Two stations with one MAC take each other's packets.
 */
#ifndef VIADUCT_VF_MANAGER_MACUSE_H
#define VIADUCT_VF_MANAGER_MACUSE_H

#include "vf-manager/daemon.h"

struct mac_wish {
	const struct pci_fn
		*vf; /* that shall have it; what it has now does not count. NULL: a polled port */
	const char *network; /* of the polled port */
	const uint8_t *mac;
	uint16_t vlan; /* 0: none */
	const char *owner; /* "VM/PORT" whose VFs do not count either; NULL: nobody's */
};

/* State locked, the VF's PF looked at. -EEXIST code "mac-in-use" names who has it. */
int mac_use_check(struct daemon *d, const struct mac_wish *wish, struct err *e);

#endif

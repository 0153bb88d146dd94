/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leases of `vf alloc` that wait for a VF: their host was started again, or their PF's VFs were destroyed on purpose. A
 * lease belongs to the card and port that it was made on, by identity (sriov/pfident.h), and to the VF's index. It goes
 * there again as soon as exactly one PF is that one and has the VF; else it waits, says why, and is an alarm. It never
 * goes anywhere else.
 */
#ifndef VIADUCT_VF_MANAGER_LEASEPARK_H
#define VIADUCT_VF_MANAGER_LEASEPARK_H

#include "vf-manager/daemon.h"

#include <jansson.h>

/* State locked. The row's lease waits from now on; the row is nobody's. */
int lease_park(struct daemon *d, const struct vf_row *row, const char *why, struct err *e);

/* Op locked, state not. Leases go where they belong, as far as they can: the VF is wiped and gets their attributes. */
void leases_unpark(struct daemon *d);

/* State locked. True: the lease waits, and e says what for (-EBUSY code "lease-parked"). */
bool lease_waits(const struct daemon *d, const char *lease, struct err *e);

/* State locked. [{"lease","pf","index","identity","why"}] */
json_t *leases_parked_json(const struct daemon *d);

/* State locked, just scanned. "" if there is no such PF. */
void pf_identity(const struct daemon *d, const struct pci_addr *pf, char out[PF_IDENT_TEXT]);

#endif

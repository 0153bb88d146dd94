/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link of VFs whose port is in quarantine: down, where the PF's driver has a link state of each VF, and as it was
 * when the port is out of it. So the VF neither sends nor receives, and its guest sees that its cable is out.
 *
 * Member "link" of a port, in the ledger before the link is touched:
 * {"state": "lowering" (or tried again)|"down"|"kept" (its driver cannot), "was": enum vf_link_state as text|null,
 *  "why": of "kept", or why it is not as it should be yet|null}.
 */
#ifndef VIADUCT_VF_MANAGER_PORTLINK_H
#define VIADUCT_VF_MANAGER_PORTLINK_H

#include "vf-manager/vm.h"

/* State not locked. The link of some port is not as its quarantine wants it. */
bool port_links_differ(struct daemon *d);

/* Op locked, state not. Makes them so; what fails is said in "why" and by an event. True: all are; false: some could not
 * be helped now, and it is not worth trying again at once. */
bool port_links_settle(struct daemon *d);

/* State locked. 0 unless the VF of this owner ("VM/PORT") has its link down because of a quarantine: code
 * "port-quarantined". */
int port_link_check(struct daemon *d, const char *owner, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PF's own network link. A VF is dead until its PF is up, so whoever hands VFs out calls this.
 */
#ifndef VIADUCT_SRIOV_PFLINK_H
#define VIADUCT_SRIOV_PFLINK_H

#include "sriov/inventory.h"
#include "sriov/rtnl.h"

/* Administratively up, verified; does nothing for a PF that has no network device by nature (NVMe).
 * -ENODEV code "no-netdev": a network PF without a device here (no driver, or another namespace).
 */
int pf_link_up(struct rtnl *nl, const struct pci_fn *pf, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe virtualization management: a VF of an NVMe controller is a secondary controller that exists
 * at once but answers nothing until the primary gave it queues and interrupts and brought it
 * online. NVM Express Base 2.0: 5.26 Virtualization Management, figures of CNS 14h and 15h, 8.26.
 */
#ifndef VIADUCT_SRIOV_NVME_VF_H
#define VIADUCT_SRIOV_NVME_VF_H

#include "sriov/inventory.h"

struct nvme_vf_state {
	uint16_t controller_id; /* of the secondary */
	bool online;
	uint16_t queues; /* VQ resources: admin and I/O queue pairs */
	uint16_t interrupts; /* VI resources: vectors */
};

/* -ENODEV: the PF has no controller device; -EOPNOTSUPP: it is no primary controller. */
int nvme_vf_get(const struct sysfs *sys, const struct pci_fn *vf, struct nvme_vf_state *out,
		struct err *e);

/*
 * Offline, assign flexible resources, online; verified by reading the secondary controller list.
 * `queues` and `interrupts` at least 2 and 1; 0: this VF's share of what the controller has for all
 * its VFs. The VF must not be in use and should have been reset once by the caller's FLR. -ENOSPC
 * code "nvme-resources": the controller has no more to give.
 */
int nvme_vf_online(const struct sysfs *sys, const struct pci_fn *vf, uint16_t queues,
		   uint16_t interrupts, struct err *e);

/* Takes it offline and its resources back. */
int nvme_vf_offline(const struct sysfs *sys, const struct pci_fn *vf, struct err *e);

#endif

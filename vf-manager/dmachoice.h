/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Through which of the kernel's two interfaces a VM's devices get their DMA space (iommu/dma.h): an iommufd, if the kernel
 * has one and device files for all of the VM's functions, else the VFIO type1 container; or what the key `dma` says.
 */
#ifndef VIADUCT_VF_MANAGER_DMACHOICE_H
#define VIADUCT_VF_MANAGER_DMACHOICE_H

#include "vf-manager/daemon.h"

#include "iommu/dma.h"

const char *dma_api_text(enum dma_api api);
const char *dma_wish_text(enum dma_wish wish);
int dma_wish_parse(const char *text, enum dma_wish *out);

struct dma_ask {
	const struct pci_addr *fns; /* all of a VM's, on vfio-pci by now */
	unsigned int count;
	bool is_unsafe; /* the VM may have devices although interrupt remapping is off */
};

/* Opens what the space is made of: the container or the iommufd, the caller's. Op locked. Codes "no-iommufd", "no-cdev" only
 * where the configuration forces iommufd. */
int dma_open(struct daemon *d, const struct dma_ask *ask, enum dma_api *api, int *fd,
	     struct err *e);

/* What a VM would get, and why, as far as one can tell before there is one; false: what is forced is not there. State
 * locked. */
bool dma_foresee(struct daemon *d, char *text, size_t size);

#endif

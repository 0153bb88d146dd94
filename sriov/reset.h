/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping a function and wiping what it holds, for a release. Order: bus mastering off (no new
 * DMA), function-level reset, check that it answers again.
 */
#ifndef VIADUCT_SRIOV_RESET_H
#define VIADUCT_SRIOV_RESET_H

#include "sriov/sysfs.h"

/* Clears Bus Master Enable and reads it back. The function must not be open through VFIO. */
int fn_dma_stop(const struct sysfs *sys, const struct pci_addr *fn, struct err *e);

/*
 * Resets this function and nothing else, then waits until its configuration space answers and shows
 * bus mastering off. -EOPNOTSUPP code "no-flr": the kernel knows no reset that is limited to the
 * function (a bus reset would hit the PF and its other VFs, so it is never used). -ETIMEDOUT.
 */
int fn_reset(const struct sysfs *sys, const struct pci_addr *fn, uint64_t deadline_ns,
	     struct err *e);

/* Likewise for a function that is alone in its IOMMU group, by whatever reset the kernel has for it:
 * also by its power state, or of a bus on which there is nothing else (the kernel sees to that). */
int fn_reset_alone(const struct sysfs *sys, const struct pci_addr *fn, uint64_t deadline_ns,
		   struct err *e);

/* True if fn_reset_alone() would have a way. */
bool fn_can_reset_alone(const struct sysfs *sys, const struct pci_addr *fn);

#endif

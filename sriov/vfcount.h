/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating and destroying VFs, done the way that works with every PF driver: automatic driver
 * probing off, down to 0, up to the wanted count, then wait until every VF is really there.
 */
#ifndef VIADUCT_SRIOV_VFCOUNT_H
#define VIADUCT_SRIOV_VFCOUNT_H

#include "sriov/sysfs.h"

/*
 * Sets the number of VFs. Does nothing if there are as many already and all of them answer. Else
 * all existing VFs go first: whoever uses one loses it, so the caller has asked. Afterwards
 * sriov_drivers_autoprobe is off, every virtfnN link exists, every VF's configuration space
 * answers, every VF has an IOMMU group if the PF has one, and sriov_numvfs reads n. If the new
 * count fails, the PF is left with 0 VFs, never with some. The inventory must be scanned again in
 * every case.
 *
 * deadline_ns (CLOCK_MONOTONIC) bounds the waiting. It cannot bound the kernel: writing 0 while a
 * VF is held through VFIO blocks until the holder lets go (it is told by VFIO's REQ event).
 *
 * -ERANGE: more than TotalVFs. -ETIMEDOUT: the first missing index and what it lacks is named. Else
 * the kernel's errno, with its cause in the text, its remedy in the hint and a code from the table
 * below.
 */
int sriov_vfs_set(const struct sysfs *sys, const struct pci_addr *pf, uint16_t n,
		  uint64_t deadline_ns, struct err *e);

/* No driver of the host takes VFs of this PF that have none from now on. */
int sriov_autoprobe_off(const struct sysfs *sys, const struct pci_addr *pf, struct err *e);

/* What an errno of a write to sriov_numvfs means on real hosts. */
struct numvfs_cause {
	int errnum;
	const char *code; /* stable word for struct err */
	const char *cause;
	const char *remedy;
};

/* The row of the table for errnum (positive); a row for "anything else" rather than NULL. */
const struct numvfs_cause *numvfs_cause_find(int errnum);

#endif

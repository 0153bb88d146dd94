/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO containers and groups as file descriptors, opened by the daemon and passed to the VMM
 * (Documentation/driver-api/vfio.rst). A group can be open only once: whoever holds it has custody
 * of its devices, and "it opens again" is how the daemon learns that they were released.
 */
#ifndef VIADUCT_IOMMU_VFIO_GROUP_H
#define VIADUCT_IOMMU_VFIO_GROUP_H

#include "base/err.h"

/* Opens /dev/vfio/vfio and checks API version and type1v2. The caller owns *fd. */
int vfio_container_open(int *fd, struct err *e);

/* Opens /dev/vfio/NR. -EBUSY: another process holds it. -ENOENT: no device of it is on vfio-pci.
 * -EPERM when the group is not viable: names the member that a host driver still holds. */
int vfio_group_open(uint32_t nr, int *fd, struct err *e);

#endif

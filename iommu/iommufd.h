/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ioctls of <linux/iommufd.h>, one function each, without policy: 0 or -errno
 * (Documentation/userspace-api/iommufd.rst). Those of device files are in vfio.h. Only iommu/ includes this.
 */
#ifndef VIADUCT_IOMMU_IOMMUFD_H
#define VIADUCT_IOMMU_IOMMUFD_H

#include <linux/iommufd.h>

int iommufd_ioas_alloc(int iommufd, __u32 *ioas);

/* ioas_id, num_iovas (the room there is) and allowed_iovas set by the caller. -EMSGSIZE: num_iovas says how many there
 * are. */
int iommufd_iova_ranges(int iommufd, struct iommu_ioas_iova_ranges *ranges);

int iommufd_map(int iommufd, struct iommu_ioas_map *map);
int iommufd_unmap(int iommufd, struct iommu_ioas_unmap *unmap); /* length: what was unmapped */
int iommufd_destroy(int iommufd, __u32 id);

/* An option of the whole iommufd. */
int iommufd_option_set(int iommufd, __u32 option, __u64 value);

#endif

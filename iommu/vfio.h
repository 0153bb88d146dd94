/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ioctls of <linux/vfio.h>, one function each, without policy: 0 (or the value that the kernel
 * returns) or -errno. Only iommu/ includes this.
 */
#ifndef VIADUCT_IOMMU_VFIO_H
#define VIADUCT_IOMMU_VFIO_H

#include <linux/vfio.h>

int vfio_api_version(int container);
int vfio_extension_check(int container, int extension);
int vfio_iommu_set(int container, int type);
int vfio_iommu_info_get(int container,
			struct vfio_iommu_type1_info *info); /* argsz set by caller */
int vfio_dma_map(int container, struct vfio_iommu_type1_dma_map *map);
int vfio_dma_unmap(int container, struct vfio_iommu_type1_dma_unmap *unmap);
int vfio_group_status(int group, struct vfio_group_status *status);
int vfio_group_container_set(int group, int container);
int vfio_group_container_unset(int group);
int vfio_group_device_fd(int group, const char *address);
int vfio_info_get(int device, struct vfio_device_info *info);
int vfio_region_get(int device, struct vfio_region_info *info); /* argsz set by caller */
int vfio_irq_get(int device, struct vfio_irq_info *info);
int vfio_irqs_set(int device, const struct vfio_irq_set *set);
int vfio_reset(int device);

/* Of device files (/dev/vfio/devices/vfioN), whose fd is the device's. */
int vfio_cdev_bind(int device, int iommufd);
int vfio_cdev_attach(int device, __u32 ioas);
int vfio_cdev_detach(int device);

#endif

// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vfio.h"

#include <errno.h>
#include <sys/ioctl.h>

static int result(int r)
{
	return r < 0 ? -errno : r;
}

int vfio_api_version(int container)
{
	return result(ioctl(container, VFIO_GET_API_VERSION));
}

int vfio_extension_check(int container, int extension)
{
	return result(ioctl(container, VFIO_CHECK_EXTENSION, extension));
}

int vfio_iommu_set(int container, int type)
{
	return result(ioctl(container, VFIO_SET_IOMMU, type));
}

int vfio_iommu_info_get(int container, struct vfio_iommu_type1_info *info)
{
	return result(ioctl(container, VFIO_IOMMU_GET_INFO, info));
}

int vfio_dma_map(int container, struct vfio_iommu_type1_dma_map *map)
{
	map->argsz = sizeof(*map);
	return result(ioctl(container, VFIO_IOMMU_MAP_DMA, map));
}

int vfio_dma_unmap(int container, struct vfio_iommu_type1_dma_unmap *unmap)
{
	unmap->argsz = sizeof(*unmap);
	return result(ioctl(container, VFIO_IOMMU_UNMAP_DMA, unmap));
}

int vfio_group_status(int group, struct vfio_group_status *status)
{
	status->argsz = sizeof(*status);
	return result(ioctl(group, VFIO_GROUP_GET_STATUS, status));
}

int vfio_group_container_set(int group, int container)
{
	return result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
}

int vfio_group_container_unset(int group)
{
	return result(ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
}

int vfio_group_device_fd(int group, const char *address)
{
	return result(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address));
}

int vfio_info_get(int device, struct vfio_device_info *info)
{
	info->argsz = sizeof(*info);
	return result(ioctl(device, VFIO_DEVICE_GET_INFO, info));
}

int vfio_region_get(int device, struct vfio_region_info *info)
{
	return result(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info));
}

int vfio_irq_get(int device, struct vfio_irq_info *info)
{
	info->argsz = sizeof(*info);
	return result(ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, info));
}

int vfio_irqs_set(int device, const struct vfio_irq_set *set)
{
	return result(ioctl(device, VFIO_DEVICE_SET_IRQS, set));
}

int vfio_reset(int device)
{
	return result(ioctl(device, VFIO_DEVICE_RESET));
}

int vfio_cdev_bind(int device, int iommufd)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };

	return result(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind));
}

int vfio_cdev_attach(int device, __u32 ioas)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = ioas };

	return result(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
}

int vfio_cdev_detach(int device)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	return result(ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
}

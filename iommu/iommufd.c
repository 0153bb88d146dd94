// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/iommufd.h"

#include <errno.h>
#include <sys/ioctl.h>

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

int iommufd_ioas_alloc(int iommufd, __u32 *ioas)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int r = result(ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc));

	if (r == 0)
		*ioas = alloc.out_ioas_id;
	return r;
}

int iommufd_iova_ranges(int iommufd, struct iommu_ioas_iova_ranges *ranges)
{
	ranges->size = sizeof(*ranges);
	return result(ioctl(iommufd, IOMMU_IOAS_IOVA_RANGES, ranges));
}

int iommufd_map(int iommufd, struct iommu_ioas_map *map)
{
	map->size = sizeof(*map);
	return result(ioctl(iommufd, IOMMU_IOAS_MAP, map));
}

int iommufd_unmap(int iommufd, struct iommu_ioas_unmap *unmap)
{
	unmap->size = sizeof(*unmap);
	return result(ioctl(iommufd, IOMMU_IOAS_UNMAP, unmap));
}

int iommufd_destroy(int iommufd, __u32 id)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = id };

	return result(ioctl(iommufd, IOMMU_DESTROY, &destroy));
}

int iommufd_option_set(int iommufd, __u32 option, __u64 value)
{
	struct iommu_option set = {
		.size = sizeof(set), .option_id = option, .op = IOMMU_OPTION_OP_SET, .val64 = value
	};

	return result(ioctl(iommufd, IOMMU_OPTION, &set));
}

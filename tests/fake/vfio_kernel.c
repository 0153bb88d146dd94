// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/vfio_kernel.h"

#include "tests/fake/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>

struct fake_vfio fake_vfio;

int __wrap_ioctl(int fd, unsigned long request, ...);

static int fail(int errnum)
{
	errno = errnum;
	return -1;
}

/* Copies a reply of which the first word is its full length, as argsz protocols do. */
static int reply(void *arg, const uint8_t *from, size_t cap)
{
	uint32_t want = get_le32(arg), have = get_le32(from);

	if (have == 0 || have > cap)
		return fail(EINVAL);
	memcpy(arg, from, u64_min(want, have));
	return 0;
}

static int dma(unsigned long request, void *arg)
{
	struct fake_vfio *k = &fake_vfio;

	if (request == VFIO_IOMMU_MAP_DMA) {
		const struct vfio_iommu_type1_dma_map *m = arg;

		k->mapped++;
		k->bytes_mapped += m->size;
	} else {
		struct vfio_iommu_type1_dma_unmap *u = arg;

		k->unmapped++;
		k->bytes_mapped -= u->size;
		u->size -= k->short_unmap;
	}
	return 0;
}

static int device(unsigned long request, void *arg)
{
	struct fake_vfio *k = &fake_vfio;
	uint32_t index = get_le32((uint8_t *)arg + 8);

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		memcpy(arg, &k->device, sizeof(k->device));
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return index < ARRAY_SIZE(k->region)
			       ? reply(arg, k->region[index], sizeof(k->region[0]))
			       : fail(EINVAL);
	case VFIO_DEVICE_GET_IRQ_INFO:
		if (index >= ARRAY_SIZE(k->irq))
			return fail(EINVAL);
		memcpy(arg, &k->irq[index], sizeof(k->irq[0]));
		return 0;
	case VFIO_DEVICE_SET_IRQS:
		k->irq_sets++;
		return 0;
	default:
		return fail(ENOTTY);
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct fake_vfio *k = &fake_vfio;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fault_hits("ioctl", EIO))
		return -1;
	switch (request) {
	case VFIO_GET_API_VERSION:
		return k->api_version != 0 ? k->api_version : VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU && !k->no_type1v2;
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = k->group_flags;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		if (k->refuse_attach)
			return fail(EPERM);
		k->attached++;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		k->attached--;
		return 0;
	case VFIO_SET_IOMMU:
		k->iommu_set++;
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return reply(arg, k->iommu_info, sizeof(k->iommu_info));
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		return dma(request, arg);
	case VFIO_GROUP_GET_DEVICE_FD:
		k->device_fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
		return k->device_fd;
	case VFIO_DEVICE_RESET:
		k->resets++;
		return 0;
	default:
		return device(request, arg);
	}
}

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

static void trace(char what)
{
	size_t len = strlen(fake_vfio.order);

	if (len < sizeof(fake_vfio.order) - 1)
		fake_vfio.order[len] = what;
}

static int map(uint64_t bytes)
{
	if (fake_vfio.map_errno != 0)
		return fail(fake_vfio.map_errno);
	fake_vfio.mapped++;
	fake_vfio.bytes_mapped += bytes;
	trace('M');
	return 0;
}

static int unmap(__u64 *bytes)
{
	fake_vfio.unmapped++;
	fake_vfio.bytes_mapped -= *bytes;
	*bytes -= fake_vfio.short_unmap;
	trace('U');
	return 0;
}

static int attach(void)
{
	if (fake_vfio.refuse_attach || fake_vfio.attach_errno != 0)
		return fail(fake_vfio.refuse_attach ? EPERM : fake_vfio.attach_errno);
	fake_vfio.attached++;
	trace('A');
	return 0;
}

static int detach(void)
{
	fake_vfio.attached--;
	trace('G');
	return 0;
}

static int iova_ranges(struct iommu_ioas_iova_ranges *ask)
{
	struct fake_vfio *k = &fake_vfio;
	uint32_t room = ask->num_iovas, count = u64_min(k->iova_count, ARRAY_SIZE(k->iova));

	k->range_asks++;
	ask->num_iovas = k->iova_claim != 0 ? k->iova_claim : count;
	ask->out_iova_alignment = k->iova_align;
	memcpy((void *)(uintptr_t)ask->allowed_iovas, k->iova,
	       u64_min(room, count) * sizeof(k->iova[0]));
	return room < count ? fail(EMSGSIZE) : 0;
}

/* The requests of an iommufd, and those of device files that have to do with it. */
static int iommufd(unsigned long request, void *arg)
{
	struct fake_vfio *k = &fake_vfio;

	switch (request) {
	case IOMMU_OPTION:
		if (k->option_errno != 0)
			return fail(k->option_errno);
		k->accounting = ((struct iommu_option *)arg)->val64;
		return 0;
	case IOMMU_IOAS_ALLOC:
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = 5;
		k->ioas++;
		return 0;
	case IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(arg);
	case IOMMU_IOAS_MAP:
		return ((struct iommu_ioas_map *)arg)->ioas_id == 5
			       ? map(((struct iommu_ioas_map *)arg)->length)
			       : fail(ENOENT);
	case IOMMU_IOAS_UNMAP:
		return unmap(&((struct iommu_ioas_unmap *)arg)->length);
	case IOMMU_DESTROY:
		k->ioas--;
		trace('X');
		return 0;
	case VFIO_DEVICE_BIND_IOMMUFD:
		if (k->bind_errno != 0)
			return fail(k->bind_errno);
		k->bound++;
		return 0;
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return ((struct vfio_device_attach_iommufd_pt *)arg)->pt_id == 5 ? attach()
										 : fail(ENOENT);
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return detach();
	default:
		return fail(ENOTTY);
	}
}

static int device(unsigned long request, void *arg)
{
	struct fake_vfio *k = &fake_vfio;
	uint32_t index = 0;

	if (_IOC_NR(request) < IOMMUFD_CMD_BASE && request != VFIO_DEVICE_DETACH_IOMMUFD_PT)
		index = get_le32((uint8_t *)arg + 8);
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
		return iommufd(request, arg);
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
		return attach();
	case VFIO_GROUP_UNSET_CONTAINER:
		return detach();
	case VFIO_SET_IOMMU:
		k->iommu_set++;
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return reply(arg, k->iommu_info, sizeof(k->iommu_info));
	case VFIO_IOMMU_MAP_DMA:
		return map(((struct vfio_iommu_type1_dma_map *)arg)->size);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap(&((struct vfio_iommu_type1_dma_unmap *)arg)->size);
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

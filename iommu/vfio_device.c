// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vfio_device.h"

#include "iommu/iommufd.h"
#include "iommu/vfio.h"
#include "iommu/vfio_caps.h"

#include "base/fd.h"
#include "base/mapping.h"

#include <assert.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define REPLY_MAX	4096
#define PAGE		4096ULL
#define IRQ_VECTORS_MAX 2048 /* MSI-X: the table size field has 11 bits (PCI 3.0, 6.8.2) */

static_assert((int)VFIO_REGION_CONFIG == (int)VFIO_PCI_CONFIG_REGION_INDEX, "linux/vfio.h numbers");
static_assert((int)VFIO_REGION_ROM == (int)VFIO_PCI_ROM_REGION_INDEX, "linux/vfio.h numbers");
static_assert((int)VFIO_IRQ_MSIX == (int)VFIO_PCI_MSIX_IRQ_INDEX, "linux/vfio.h numbers");
static_assert((int)VFIO_IRQ_REQ == (int)VFIO_PCI_REQ_IRQ_INDEX, "linux/vfio.h numbers");

const unsigned long vfio_setup_ioctls[] = {
	VFIO_DEVICE_GET_INFO,
	VFIO_DEVICE_GET_REGION_INFO,
	VFIO_DEVICE_GET_IRQ_INFO,
	/* type1 */
	VFIO_GROUP_SET_CONTAINER,
	VFIO_GROUP_GET_DEVICE_FD,
	VFIO_SET_IOMMU,
	VFIO_IOMMU_GET_INFO,
	/* iommufd */
	VFIO_DEVICE_ATTACH_IOMMUFD_PT,
	IOMMU_IOAS_ALLOC,
	IOMMU_IOAS_IOVA_RANGES,
	IOMMU_IOAS_MAP,
};
const size_t vfio_setup_ioctl_count = ARRAY_SIZE(vfio_setup_ioctls);

/* These while it is made as well: the way back of a start that fails. */
const unsigned long vfio_runtime_ioctls[] = {
	VFIO_DEVICE_SET_IRQS,
	VFIO_DEVICE_RESET,
	/* type1 */
	VFIO_IOMMU_MAP_DMA,
	VFIO_IOMMU_UNMAP_DMA,
	VFIO_GROUP_UNSET_CONTAINER,
	/* iommufd */
	VFIO_DEVICE_DETACH_IOMMUFD_PT,
	IOMMU_IOAS_UNMAP,
	IOMMU_DESTROY,
};
const size_t vfio_runtime_ioctl_count = ARRAY_SIZE(vfio_runtime_ioctls);

static bool area_add(struct vfio_region_desc *d, uint64_t offset, uint64_t size)
{
	uint64_t end = d->area_count > 0 ? d->areas[d->area_count - 1].offset +
						   d->areas[d->area_count - 1].size
					 : 0;

	if (size == 0 || d->area_count == VFIO_SPARSE_AREAS || offset < end ||
	    !is_aligned(offset | size, PAGE) || !range_fits(offset, size, d->size))
		return false;
	d->areas[d->area_count++] = (struct vfio_area){ offset, size };
	return true;
}

/* What may be mapped; a list that makes no sense means: nothing. */
static void areas_read(struct vfio_region_desc *d, const struct vfio_region_info *info, size_t size)
{
	const size_t head = sizeof(struct vfio_region_info_cap_sparse_mmap);
	struct vfio_region_info_cap_sparse_mmap sparse;
	const struct vfio_reply reply = {
		info, size, info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0
	};
	const uint8_t *at;
	size_t len;

	if ((info->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
		return;
	d->msix_mappable = vfio_cap_find(&reply, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
					 sizeof(struct vfio_info_cap_header), &len) != NULL;
	at = vfio_cap_find(&reply, VFIO_REGION_INFO_CAP_SPARSE_MMAP, head, &len);
	if (at == NULL) {
		area_add(d, 0, align_down(d->size, PAGE));
		return;
	}
	memcpy(&sparse, at, head);
	if (sparse.nr_areas > (len - head) / sizeof(struct vfio_region_sparse_mmap_area))
		return;
	for (uint32_t i = 0; i < sparse.nr_areas; i++) {
		struct vfio_region_sparse_mmap_area area;

		memcpy(&area, at + head + i * sizeof(area), sizeof(area));
		if (area.size != 0 && !area_add(d, area.offset, area.size)) {
			d->area_count = 0;
			return;
		}
	}
}

static int region_read(struct vfio_device *dev, uint32_t index, struct err *e)
{
	auto_free struct vfio_region_info *info = calloc(1, REPLY_MAX);
	struct vfio_region_desc *d = &dev->regions[index];
	int r;

	if (info == NULL)
		return err_set(e, ENOMEM, "out of memory");
	info->argsz = sizeof(*info);
	info->index = index;
	r = vfio_region_get(dev->fd, info);
	if (r == 0 && info->argsz > sizeof(*info) && info->argsz <= REPLY_MAX)
		r = vfio_region_get(dev->fd, info);
	if (r == -EINVAL)
		return 0; /* not offered */
	if (r < 0)
		return err_set(e, r, "VFIO_DEVICE_GET_REGION_INFO %u: %s", index, strerror(-r));
	if (info->offset > INT64_MAX || info->size > INT64_MAX - info->offset)
		return err_set(e, EBADMSG, "region %u has an impossible size", index);
	d->size = info->size;
	d->file_offset = info->offset;
	d->can_read = info->flags & VFIO_REGION_INFO_FLAG_READ;
	d->can_write = info->flags & VFIO_REGION_INFO_FLAG_WRITE;
	areas_read(d, info, u64_min(info->argsz, REPLY_MAX));
	return 0;
}

static int irq_read(struct vfio_device *dev, uint32_t index, struct err *e)
{
	struct vfio_irq_info info = { .index = index };
	int r = vfio_irq_get(dev->fd, &info);

	if (r == -EINVAL)
		return 0; /* not offered */
	if (r < 0)
		return err_set(e, r, "VFIO_DEVICE_GET_IRQ_INFO %u: %s", index, strerror(-r));
	dev->irqs[index] = (struct vfio_irq_desc){
		.count = (uint32_t)u64_min(info.count, IRQ_VECTORS_MAX),
		.eventfd = info.flags & VFIO_IRQ_INFO_EVENTFD,
		.noresize = info.flags & VFIO_IRQ_INFO_NORESIZE,
	};
	return 0;
}

static int facts_read(struct vfio_device *dev, struct err *e)
{
	struct vfio_device_info info = { 0 };
	int r = vfio_info_get(dev->fd, &info);

	if (r < 0)
		return err_set(e, r, "VFIO_DEVICE_GET_INFO: %s", strerror(-r));
	if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0)
		return err_set(e, ENOTSUP, "it is no PCI device");
	dev->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	for (uint32_t i = 0; i < VFIO_REGIONS && i < info.num_regions; i++) {
		r = region_read(dev, i, e);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < VFIO_IRQS && i < info.num_irqs; i++) {
		r = irq_read(dev, i, e);
		if (r < 0)
			return r;
	}
	if (dev->regions[VFIO_REGION_CONFIG].size < 256)
		return err_set(e, EBADMSG, "its configuration space has %llu bytes",
			       (unsigned long long)dev->regions[VFIO_REGION_CONFIG].size);
	return 0;
}

static int device_describe(struct vfio_device *dev, const char *name, struct err *e)
{
	int r = facts_read(dev, e);

	if (r < 0) {
		err_wrap(e, "VFIO function %s", name);
		vfio_device_close(dev);
	}
	return r;
}

int vfio_device_open(struct vfio_device *dev, int group_fd, const struct pci_addr *address,
		     struct err *e)
{
	char name[PCI_ADDR_TEXT];
	int r;

	memset(dev, 0, sizeof(*dev));
	dev->address = *address;
	pci_addr_text(address, name);
	dev->fd = vfio_group_device_fd(group_fd, name);
	if (dev->fd < 0) {
		r = dev->fd;
		dev->fd = -1;
		err_set(e, r, "VFIO function %s: %s", name,
			r == -ENODEV ? "it is not in this group, or not on vfio-pci"
				     : strerror(-r));
		if (r == -EACCES)
			err_hint(e, "a PF under vfio-pci asks for a VF token: not supported yet");
		return r;
	}
	return device_describe(dev, name, e);
}

int vfio_device_open_cdev(struct vfio_device *dev, int cdev, const struct pci_addr *address,
			  struct err *e)
{
	char name[PCI_ADDR_TEXT];

	memset(dev, 0, sizeof(*dev));
	dev->address = *address;
	dev->fd = cdev;
	dev->fd_is_borrowed = true;
	return device_describe(dev, pci_addr_text(address, name), e);
}

void vfio_device_close(struct vfio_device *dev)
{
	if (dev->fd_is_borrowed)
		dev->fd = -1;
	fd_close(&dev->fd);
}

int vfio_device_read(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
		     void *buf, size_t len)
{
	const struct vfio_region_desc *d = &dev->regions[region];
	ssize_t n;

	memset(buf, 0xff, len);
	if (!d->can_read || !range_fits(off, len, d->size))
		return -EINVAL;
	n = pread(dev->fd, buf, len, (off_t)(d->file_offset + off));
	if (n == (ssize_t)len)
		return 0;
	memset(buf, 0xff, len);
	return n < 0 ? -errno : -EIO;
}

int vfio_device_write(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
		      const void *buf, size_t len)
{
	const struct vfio_region_desc *d = &dev->regions[region];
	ssize_t n;

	if (!d->can_write || !range_fits(off, len, d->size))
		return -EINVAL;
	n = pwrite(dev->fd, buf, len, (off_t)(d->file_offset + off));
	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

int vfio_device_map(const struct vfio_device *dev, enum vfio_region region,
		    const struct vfio_area *area, void **out, struct err *e)
{
	const struct vfio_region_desc *d = &dev->regions[region];
	/* An address congruent with the area's size lets the kernel map it with huge pages. */
	const struct map_wish wish = { .fd = dev->fd,
				       .off = (off_t)(d->file_offset + area->offset),
				       .size = area->size,
				       .align = is_pow2(area->size) ? u64_min(area->size, GIB(1))
								    : PAGE };
	int r;

	if (!is_aligned(area->offset | area->size, PAGE) || area->size == 0 ||
	    !range_fits(area->offset, area->size, d->size))
		return err_set(e, EINVAL, "area 0x%llx of region %d cannot be mapped",
			       (unsigned long long)area->offset, (int)region);
	r = map_aligned(&wish, out);
	return r < 0 ? err_set(e, r, "map BAR %d: %s", (int)region, strerror(-r)) : 0;
}

void vfio_device_unmap(void *host, uint64_t size)
{
	if (host != NULL)
		munmap(host, size);
}

int vfio_device_reset(struct vfio_device *dev)
{
	return dev->can_reset ? vfio_reset(dev->fd) : -ENOTSUP;
}

int vfio_device_irq_set(struct vfio_device *dev, enum vfio_irq irq, uint32_t start,
			const int *eventfds, uint32_t count)
{
	size_t bytes = sizeof(struct vfio_irq_set) + count * sizeof(int32_t);
	auto_free struct vfio_irq_set *set = NULL;

	if (count == 0 || !range_fits(start, count, dev->irqs[irq].count) ||
	    !dev->irqs[irq].eventfd)
		return -EINVAL;
	set = calloc(1, bytes);
	if (set == NULL)
		return -ENOMEM;
	set->argsz = (uint32_t)bytes;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = irq;
	set->start = start;
	set->count = count;
	memcpy(set->data, eventfds, count * sizeof(int32_t));
	return vfio_irqs_set(dev->fd, set);
}

int vfio_device_irq_disable(struct vfio_device *dev, enum vfio_irq irq)
{
	const struct vfio_irq_set set = { .argsz = sizeof(set),
					  .flags = VFIO_IRQ_SET_DATA_NONE |
						   VFIO_IRQ_SET_ACTION_TRIGGER,
					  .index = irq };

	if (dev->irqs[irq].count == 0)
		return 0;
	return vfio_irqs_set(dev->fd, &set);
}

int vfio_device_irq_raise(struct vfio_device *dev, enum vfio_irq irq, uint32_t vector)
{
	const struct vfio_irq_set set = { .argsz = sizeof(set),
					  .flags = VFIO_IRQ_SET_DATA_NONE |
						   VFIO_IRQ_SET_ACTION_TRIGGER,
					  .index = irq,
					  .start = vector,
					  .count = 1 };

	if (vector >= dev->irqs[irq].count)
		return -EINVAL;
	return vfio_irqs_set(dev->fd, &set);
}

int vfio_device_quiesce(struct vfio_device *dev)
{
	uint16_t command = 0;
	int r, first;

	if (dev->fd < 0)
		return 0;
	first = vfio_device_read(dev, VFIO_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command));
	if (first == 0) {
		command &= (uint16_t)~PCI_COMMAND_MASTER;
		first = vfio_device_write(dev, VFIO_REGION_CONFIG, PCI_COMMAND, &command,
					  sizeof(command));
	}
	for (int irq = 0; irq < VFIO_IRQS; irq++) {
		r = vfio_device_irq_disable(dev, irq);
		/* Disabling what was never enabled is an error to some kernels, and no harm. */
		if (r < 0 && r != -EINVAL && first == 0)
			first = r;
	}
	r = dev->can_reset ? vfio_reset(dev->fd) : 0;
	return first < 0 ? first : r;
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * A DMA space over an IO address space (IOAS) of an iommufd (linux/iommufd.h). Its members are device files that whoever
 * opened them has bound to the iommufd (vfio_cdev.h).
 */
#include "iommu/dma_ops.h"
#include "iommu/iommufd.h"
#include "iommu/vfio.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

#define RANGES_FIRST 32 /* some three on a PC */
#define RANGES_MAX   65536
#define PAGE	     4096ULL
#define PAGE_MAX     MIB(2)

static int iommufd_space_open(struct dma_space *s)
{
	return iommufd_ioas_alloc(s->fd, &s->ioas);
}

static void iommufd_space_close(struct dma_space *s)
{
	(void)iommufd_destroy(s->fd, s->ioas);
}

static int iommufd_attach(struct dma_space *s, int cdev)
{
	return vfio_cdev_attach(cdev, s->ioas);
}

/* From here on the kernel lets the function reach nothing. */
static int iommufd_detach(struct dma_space *s, int cdev)
{
	return vfio_cdev_detach(cdev);
}

/* As many ranges as there are, in *list; their number or -errno. */
static int ranges_get(const struct dma_space *s, struct iommu_iova_range **list, uint64_t *align)
{
	struct iommu_ioas_iova_ranges ask = { .ioas_id = s->ioas, .num_iovas = RANGES_FIRST };
	uint32_t room;
	int r;

	/* Twice: the first answer may be that there are more. */
	for (int i = 0; i < 2; i++) {
		room = ask.num_iovas;
		free(*list);
		*list = calloc(room, sizeof(**list));
		if (*list == NULL)
			return -ENOMEM;
		ask.allowed_iovas = (uintptr_t)*list;
		r = iommufd_iova_ranges(s->fd, &ask);
		if (r != -EMSGSIZE)
			break;
		if (ask.num_iovas <= room || ask.num_iovas > RANGES_MAX)
			return -EBADMSG;
	}
	if (r < 0)
		return r;
	*align = ask.out_iova_alignment;
	return ask.num_iovas != 0 && ask.num_iovas <= room ? (int)ask.num_iovas : -EBADMSG;
}

static int iommufd_limits_read(struct dma_space *s, struct err *e)
{
	auto_free struct iommu_iova_range *list = NULL;
	uint64_t align = 0;
	int count = ranges_get(s, &list, &align), r = 0;

	if (count < 0 && count != -EBADMSG)
		return err_set(e, count, "IOMMU_IOAS_IOVA_RANGES: %s", strerror(-count));
	for (int i = 0; r == 0 && i < count; i++)
		r = range_set_add(&s->usable, list[i].start, list[i].last, NULL);
	if (r == -ENOMEM)
		return err_set(e, r, "DMA space: out of memory");
	if (count < 0 || r < 0)
		return err_set(e, EBADMSG, "the IOMMU's list of usable addresses is malformed");
	if (align == 0 || (align & (align - 1)) != 0 || align > PAGE_MAX)
		return err_set(e, EPROTO, "the IOMMU's alignment of addresses is %llu",
			       (unsigned long long)align);
	/* The kernel would take less than a page, and the device would reach all of it. */
	s->page_bytes = u64_max(align, PAGE);
	return 0;
}

static int iommufd_space_map(struct dma_space *s, const struct dma_range *r, unsigned int access)
{
	struct iommu_ioas_map map = { .flags = IOMMU_IOAS_MAP_FIXED_IOVA,
				      .ioas_id = s->ioas,
				      .user_va = (uintptr_t)r->host,
				      .length = r->size,
				      .iova = r->iova };

	if (access & DMA_READ)
		map.flags |= IOMMU_IOAS_MAP_READABLE;
	if (access & DMA_WRITE)
		map.flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return iommufd_map(s->fd, &map);
}

static int iommufd_space_unmap(struct dma_space *s, uint64_t iova, uint64_t *size)
{
	struct iommu_ioas_unmap unmap = { .ioas_id = s->ioas, .iova = iova, .length = *size };
	int r = iommufd_unmap(s->fd, &unmap);

	*size = unmap.length;
	return r;
}

static bool iommufd_attach_explain(const char *name, int errnum, struct err *e)
{
	switch (errnum) {
	case EPERM:
		(void)dma_interrupts_refused(name, "iommufd", e);
		return true;
	case EADDRINUSE:
		err_set(e, errnum, "%s has reserved addresses where guest memory is mapped", name);
		err_code(e, "iova-out-of-range");
		err_hint(e,
			 "give the VM less memory, or take a device without reserved regions there "
			 "(/sys/kernel/iommu_groups/*/reserved_regions)");
		return true;
	default:
		return false;
	}
}

/* Unless it may count by process, iommufd counts all that the VM's user has locked. */
static bool iommufd_map_explain(const struct dma_space *s, int errnum, struct err *e)
{
	if (errnum != ENOMEM)
		return false;
	err_set(e, errnum,
		"guest memory must be locked for DMA: the kernel locks no more for this user, of "
		"whose processes iommufd counts all");
	err_code(e, "memlock-short");
	err_hint(
		e,
		"raise the limit: LimitMEMLOCK=infinity in viaductd's unit; or take `dma: type1` in "
		"viaductd.yaml, which counts by process");
	return true;
}

const struct dma_ops dma_iommufd_ops = {
	.open = iommufd_space_open,
	.close = iommufd_space_close,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.limits_read = iommufd_limits_read,
	.map = iommufd_space_map,
	.unmap = iommufd_space_unmap,
	.attach_explain = iommufd_attach_explain,
	.map_explain = iommufd_map_explain,
};

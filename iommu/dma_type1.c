// SPDX-License-Identifier: BSD-3-Clause
/* A DMA space over the VFIO type1v2 container (linux/vfio.h). */
#include "iommu/dma_ops.h"
#include "iommu/vfio.h"
#include "iommu/vfio_caps.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

#define INFO_MAX 65536

/* The first group also gives the container its IOMMU. */
static int type1_attach(struct dma_space *s, int group)
{
	int r = vfio_group_container_set(group, s->fd);

	if (r < 0 || s->has_iommu)
		return r;
	r = vfio_iommu_set(s->fd, VFIO_TYPE1v2_IOMMU);
	if (r < 0)
		(void)vfio_group_container_unset(group);
	return r;
}

static int type1_detach(struct dma_space *s, int group)
{
	return vfio_group_container_unset(group);
}

static int iova_ranges_read(struct dma_space *s, const struct vfio_reply *reply)
{
	const size_t head = sizeof(struct vfio_iommu_type1_info_cap_iova_range);
	struct vfio_iommu_type1_info_cap_iova_range cap;
	size_t len;
	const uint8_t *at = vfio_cap_find(reply, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, head, &len);

	if (at == NULL)
		return 0;
	memcpy(&cap, at, head);
	if (cap.nr_iovas > (len - head) / sizeof(struct vfio_iova_range))
		return -EBADMSG;
	for (uint32_t i = 0; i < cap.nr_iovas; i++) {
		struct vfio_iova_range range;
		int r;

		memcpy(&range, at + head + i * sizeof(range), sizeof(range));
		r = range_set_add(&s->usable, range.start, range.end, NULL);
		if (r < 0)
			return r == -ENOMEM ? r : -EBADMSG;
	}
	return 0;
}

static void maps_left_read(struct dma_space *s, const struct vfio_reply *reply)
{
	struct vfio_iommu_type1_info_dma_avail cap;
	size_t len;
	const void *at = vfio_cap_find(reply, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(cap), &len);

	if (at == NULL)
		return;
	memcpy(&cap, at, sizeof(cap));
	s->maps_left = cap.avail;
}

/* VFIO_IOMMU_GET_INFO twice: the first call says how long the reply is. */
static int type1_limits_read(struct dma_space *s, struct err *e)
{
	auto_free struct vfio_iommu_type1_info *info = calloc(1, INFO_MAX);
	struct vfio_reply reply;
	int r;

	if (info == NULL)
		return err_set(e, ENOMEM, "DMA space: out of memory");
	info->argsz = sizeof(*info);
	r = vfio_iommu_info_get(s->fd, info);
	if (r == 0 && info->argsz > sizeof(*info) && info->argsz <= INFO_MAX)
		r = vfio_iommu_info_get(s->fd, info);
	if (r < 0)
		return err_set(e, r, "VFIO_IOMMU_GET_INFO: %s", strerror(-r));
	if ((info->flags & VFIO_IOMMU_INFO_PGSIZES) == 0 || info->iova_pgsizes == 0)
		return err_set(e, EPROTO, "the IOMMU does not say which page sizes it has");
	/* A bit for each size: the lowest one is the smallest page. */
	s->page_bytes = info->iova_pgsizes & -info->iova_pgsizes;
	if ((info->flags & VFIO_IOMMU_INFO_CAPS) == 0)
		return 0;
	reply = (struct vfio_reply){ info, u64_min(info->argsz, INFO_MAX), info->cap_offset };
	r = iova_ranges_read(s, &reply);
	if (r < 0)
		return err_set(e, r, "the IOMMU's list of usable addresses is malformed");
	maps_left_read(s, &reply);
	return 0;
}

static int type1_map(struct dma_space *s, const struct dma_range *r, unsigned int access)
{
	struct vfio_iommu_type1_dma_map map = { .vaddr = (uintptr_t)r->host,
						.iova = r->iova,
						.size = r->size };

	if (access & DMA_READ)
		map.flags |= VFIO_DMA_MAP_FLAG_READ;
	if (access & DMA_WRITE)
		map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	return vfio_dma_map(s->fd, &map);
}

static int type1_unmap(struct dma_space *s, uint64_t iova, uint64_t *size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .iova = iova, .size = *size };
	int r = vfio_dma_unmap(s->fd, &unmap);

	*size = unmap.size;
	return r;
}

static bool type1_attach_explain(const char *name, int errnum, struct err *e)
{
	if (errnum != EPERM)
		return false;
	(void)dma_interrupts_refused(name, "vfio_iommu_type1", e);
	return true;
}

static bool type1_map_explain(const struct dma_space *s, int errnum, struct err *e)
{
	if (errnum != ENOSPC)
		return false;
	err_set(e, errnum, "the kernel takes no further DMA map (%u were left)", s->maps_left);
	err_hint(e, "raise vfio_iommu_type1's dma_entry_limit");
	return true;
}

const struct dma_ops dma_type1_ops = {
	.attach = type1_attach,
	.detach = type1_detach,
	.limits_read = type1_limits_read,
	.map = type1_map,
	.unmap = type1_unmap,
	.attach_explain = type1_attach_explain,
	.map_explain = type1_map_explain,
};

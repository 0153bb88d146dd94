// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/dma.h"

#include "iommu/host.h"
#include "iommu/vfio.h"
#include "iommu/vfio_caps.h"

#include "base/fd.h"
#include "base/range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define INFO_MAX   65536
#define GROUPS_MAX 64

struct dma_space {
	int container;
	int groups[GROUPS_MAX];
	size_t group_count;
	bool has_iommu;
	uint64_t page_sizes; /* bit n: 2^n bytes */
	struct range_set usable; /* IOVAs that can be mapped; empty: the kernel does not say */
	struct range_set mapped;
	uint64_t mapped_bytes;
	uint32_t maps_left; /* UINT32_MAX: the kernel does not say */
};

int dma_space_create(int container_fd, struct dma_space **out, struct err *e)
{
	struct dma_space *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(e, ENOMEM, "DMA space: out of memory");
	s->container = container_fd;
	s->maps_left = UINT32_MAX;
	*out = s;
	return 0;
}

static void unmap_all(struct dma_space *s)
{
	for (size_t i = 0; i < s->mapped.count; i++) {
		struct vfio_iommu_type1_dma_unmap u = { .iova = s->mapped.items[i].start,
							.size = s->mapped.items[i].last -
								s->mapped.items[i].start + 1 };

		(void)vfio_dma_unmap(s->container, &u);
	}
}

void dma_space_destroy(struct dma_space *s)
{
	if (s == NULL)
		return;
	unmap_all(s);
	while (s->group_count > 0)
		(void)vfio_group_container_unset(s->groups[--s->group_count]);
	range_set_fini(&s->usable);
	range_set_fini(&s->mapped);
	free(s);
}

/* The chain's IOVA ranges replace what an earlier, smaller set of groups left. */
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
	range_set_fini(&s->usable);
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
static int limits_read(struct dma_space *s, struct err *e)
{
	auto_free struct vfio_iommu_type1_info *info = calloc(1, INFO_MAX);
	struct vfio_reply reply;
	int r;

	if (info == NULL)
		return err_set(e, ENOMEM, "DMA space: out of memory");
	info->argsz = sizeof(*info);
	r = vfio_iommu_info_get(s->container, info);
	if (r == 0 && info->argsz > sizeof(*info) && info->argsz <= INFO_MAX)
		r = vfio_iommu_info_get(s->container, info);
	if (r < 0)
		return err_set(e, r, "VFIO_IOMMU_GET_INFO: %s", strerror(-r));
	if ((info->flags & VFIO_IOMMU_INFO_PGSIZES) == 0 || info->iova_pgsizes == 0)
		return err_set(e, EPROTO, "the IOMMU does not say which page sizes it has");
	s->page_sizes = info->iova_pgsizes;
	if ((info->flags & VFIO_IOMMU_INFO_CAPS) == 0)
		return 0;
	reply = (struct vfio_reply){ info, u64_min(info->argsz, INFO_MAX), info->cap_offset };
	r = iova_ranges_read(s, &reply);
	if (r < 0)
		return err_set(e, r, "the IOMMU's list of usable addresses is malformed");
	maps_left_read(s, &reply);
	return 0;
}

static int attach_failed(uint32_t group, int r, struct err *e)
{
	err_set(e, r, "put IOMMU group %u into the VM's DMA space: %s", group, strerror(abs(r)));
	if (r == -EPERM) {
		err_set(e, r,
			"IOMMU group %u is refused by the kernel: without interrupt remapping a device "
			"could forge interrupts of the host",
			group);
		err_code(e, "no-interrupt-remapping");
		err_hint(e, "enable VT-d with interrupt remapping in firmware and boot without "
			    "intremap=off; viaduct host check");
	}
	return r;
}

int dma_space_attach(struct dma_space *s, int group_fd, uint32_t group, struct err *e)
{
	int r;

	if (s->group_count == GROUPS_MAX)
		return err_set(e, ENOSPC, "more than %d IOMMU groups", GROUPS_MAX);
	r = vfio_group_container_set(group_fd, s->container);
	if (r < 0)
		return attach_failed(group, r, e);
	if (!s->has_iommu) {
		r = vfio_iommu_set(s->container, VFIO_TYPE1v2_IOMMU);
		if (r < 0) {
			attach_failed(group, r, e);
			goto fail;
		}
	}
	r = limits_read(s, e);
	if (r < 0)
		goto fail;
	s->has_iommu = true;
	s->groups[s->group_count++] = group_fd;
	return 0;

fail:
	(void)vfio_group_container_unset(group_fd);
	return r;
}

int dma_space_detach(struct dma_space *s, int group_fd)
{
	size_t i = 0;
	int r;

	while (i < s->group_count && s->groups[i] != group_fd)
		i++;
	if (i == s->group_count)
		return -ENOENT;
	if (s->group_count == 1) {
		/* The kernel drops the IOMMU with its last group, and the maps with it. */
		unmap_all(s);
		range_set_fini(&s->mapped);
		s->mapped_bytes = 0;
	}
	r = vfio_group_container_unset(group_fd);
	if (r < 0)
		return r;
	s->groups[i] = s->groups[--s->group_count];
	s->has_iommu = s->group_count > 0;
	return 0;
}

/* The smallest page of the IOMMU: what every map must be aligned to. */
static uint64_t page_size(const struct dma_space *s)
{
	return s->page_sizes & -s->page_sizes;
}

int dma_space_check(const struct dma_space *s, const struct dma_range *r, struct err *e)
{
	uint64_t last = r->iova + r->size - 1;
	const struct range *near;
	int n;

	if (!s->has_iommu)
		return err_set(e, EINVAL, "no IOMMU group is attached yet");
	if (r->size == 0 || last < r->iova)
		return err_set(e, EINVAL,
			       "a DMA range of no bytes, or past the end of the address space");
	if (((r->iova | r->size | (uintptr_t)r->host) & (page_size(s) - 1)) != 0)
		return err_set(e, EINVAL,
			       "DMA range 0x%" PRIx64
			       " is not aligned to the IOMMU's pages of %" PRIu64,
			       r->iova, page_size(s));
	if (s->usable.count == 0 || range_set_covers(&s->usable, r->iova, last))
		return 0;
	near = range_set_overlap(&s->usable, r->iova, last);
	n = err_set(e, ERANGE,
		    "guest memory 0x%" PRIx64 "-0x%" PRIx64
		    " cannot be reached by the device: the IOMMU translates "
		    "only %s0x%" PRIx64 "-0x%" PRIx64,
		    r->iova, last, near != NULL ? "" : "up to ",
		    near != NULL ? near->start : s->usable.items[0].start,
		    near != NULL ? near->last : s->usable.items[s->usable.count - 1].last);
	err_code(e, "iova-out-of-range");
	err_hint(e, "give the VM less memory, or take a device without reserved regions there "
		    "(/sys/kernel/iommu_groups/*/reserved_regions)");
	return n;
}

static int map_failed(const struct dma_space *s, const struct dma_range *r, int errnum,
		      struct err *e)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (errnum == ENOMEM && limit.rlim_cur != RLIM_INFINITY &&
	    iommu_memlock_check(s->mapped_bytes + r->size, limit.rlim_cur, e) < 0)
		return -ENOMEM;
	if (errnum == ENOSPC) {
		err_set(e, errnum, "the kernel takes no further DMA map (%u were left)",
			s->maps_left);
		return err_hint(e, "raise vfio_iommu_type1's dma_entry_limit");
	}
	return err_set(e, errnum, "map 0x%" PRIx64 " bytes at 0x%" PRIx64 " for DMA: %s", r->size,
		       r->iova, strerror(errnum));
}

int dma_space_map(struct dma_space *s, const struct dma_range *r, unsigned int access,
		  struct err *e)
{
	struct vfio_iommu_type1_dma_map map = { .vaddr = (uintptr_t)r->host,
						.iova = r->iova,
						.size = r->size };
	int n = dma_space_check(s, r, e);

	if (n < 0)
		return n;
	if (access & DMA_READ)
		map.flags |= VFIO_DMA_MAP_FLAG_READ;
	if (access & DMA_WRITE)
		map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	n = range_set_add(&s->mapped, r->iova, r->iova + r->size - 1, NULL);
	if (n < 0)
		return err_set(e, n, "map 0x%" PRIx64 " for DMA: %s", r->iova,
			       n == -EEXIST ? "it is mapped already" : "out of memory");
	n = vfio_dma_map(s->container, &map);
	if (n < 0) {
		range_set_del(&s->mapped, r->iova, r->iova + r->size - 1);
		return map_failed(s, r, -n, e);
	}
	s->mapped_bytes += r->size;
	return 0;
}

int dma_space_unmap(struct dma_space *s, uint64_t iova, uint64_t size, struct err *e)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .iova = iova, .size = size };
	int r;

	if (size == 0 || range_set_del(&s->mapped, iova, iova + size - 1) < 0)
		return err_set(e, ENOENT, "0x%" PRIx64 " is not mapped for DMA with this size",
			       iova);
	s->mapped_bytes -= size;
	r = vfio_dma_unmap(s->container, &unmap);
	if (r < 0)
		return err_set(e, r, "unmap 0x%" PRIx64 ": %s", iova, strerror(-r));
	/* A short answer means that the device can still reach part of it. */
	if (unmap.size != size)
		return err_set(e, EIO,
			       "unmap 0x%" PRIx64 ": the kernel unmapped %" PRIu64 " of %" PRIu64
			       " bytes",
			       iova, (uint64_t)unmap.size, size);
	return 0;
}

uint64_t dma_space_mapped(const struct dma_space *s)
{
	return s->mapped_bytes;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/dma.h"

#include "iommu/dma_ops.h"
#include "iommu/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>

static const struct dma_ops *const kinds[DMA_APIS] = {
	[DMA_TYPE1] = &dma_type1_ops, [DMA_IOMMUFD] = &dma_iommufd_ops
};

int dma_space_create(enum dma_api api, int fd, struct dma_space **out, struct err *e)
{
	struct dma_space *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return err_set(e, ENOMEM, "DMA space: out of memory");
	s->ops = kinds[api];
	s->fd = fd;
	s->maps_left = UINT32_MAX;
	r = s->ops->open != NULL ? s->ops->open(s) : 0;
	if (r < 0) {
		free(s);
		return err_set(e, r, "DMA space: %s", strerror(-r));
	}
	*out = s;
	return 0;
}

static void unmap_all(struct dma_space *s)
{
	for (size_t i = 0; i < s->mapped.count; i++) {
		uint64_t first = s->mapped.items[i].start;
		uint64_t size = s->mapped.items[i].last - first + 1;

		(void)s->ops->unmap(s, first, &size);
	}
	range_set_fini(&s->mapped);
	s->mapped_bytes = 0;
}

void dma_space_destroy(struct dma_space *s)
{
	if (s == NULL)
		return;
	unmap_all(s);
	while (s->member_count > 0)
		(void)s->ops->detach(s, s->members[--s->member_count]);
	if (s->ops->close != NULL)
		s->ops->close(s);
	range_set_fini(&s->usable);
	free(s);
}

int dma_interrupts_refused(const char *name, const char *parameter, struct err *e)
{
	err_set(e, EPERM,
		"%s is refused by the kernel: without interrupt remapping a device could forge "
		"interrupts of the host (and %s's allow_unsafe_interrupts is not set)",
		name, parameter);
	err_code(e, "no-interrupt-remapping");
	return err_hint(e, "enable VT-d with interrupt remapping in firmware and boot without "
			   "intremap=off; viaduct host check");
}

static int attach_failed(const struct dma_space *s, const char *name, int r, struct err *e)
{
	return s->ops->attach_explain(name, -r, e)
		       ? r
		       : err_set(e, r, "put %s into the VM's DMA space: %s", name, strerror(-r));
}

int dma_space_attach(struct dma_space *s, int member_fd, const char *name, struct err *e)
{
	struct range_set before = s->usable;
	int r;

	if (s->member_count == DMA_MEMBERS)
		return err_set(e, ENOSPC, "more than %d members of a DMA space", DMA_MEMBERS);
	r = s->ops->attach(s, member_fd);
	if (r < 0)
		return attach_failed(s, name, r, e);
	s->usable = (struct range_set){ 0 };
	r = s->ops->limits_read(s, e);
	if (r < 0) {
		(void)s->ops->detach(s, member_fd);
		range_set_fini(&s->usable);
		s->usable = before;
		return r;
	}
	range_set_fini(&before);
	s->has_iommu = true;
	s->members[s->member_count++] = member_fd;
	return 0;
}

int dma_space_detach(struct dma_space *s, int member_fd)
{
	size_t i = 0;
	int r;

	while (i < s->member_count && s->members[i] != member_fd)
		i++;
	if (i == s->member_count)
		return -ENOENT;
	/* A container loses its IOMMU with its last group, and the maps with it; an IOAS would keep them. */
	if (s->member_count == 1)
		unmap_all(s);
	/* Whatever the kernel says: a device that was pulled cannot be asked, and the close that follows takes it out. */
	r = s->ops->detach(s, member_fd);
	s->members[i] = s->members[--s->member_count];
	s->has_iommu = s->member_count > 0;
	return r;
}

int dma_space_check(const struct dma_space *s, const struct dma_range *r, struct err *e)
{
	uint64_t last = r->iova + r->size - 1;
	const struct range *near;
	int n;

	if (!s->has_iommu)
		return err_set(e, EINVAL, "nothing is attached to the DMA space yet");
	if (r->size == 0 || last < r->iova)
		return err_set(e, EINVAL,
			       "a DMA range of no bytes, or past the end of the address space");
	if (((r->iova | r->size | (uintptr_t)r->host) & (s->page_bytes - 1)) != 0)
		return err_set(e, EINVAL,
			       "DMA range 0x%" PRIx64
			       " is not aligned to the IOMMU's pages of %" PRIu64,
			       r->iova, s->page_bytes);
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
	bool is_limited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;

	if (errnum == ENOMEM && is_limited &&
	    iommu_memlock_check(s->mapped_bytes + r->size, limit.rlim_cur, e) < 0)
		return -ENOMEM;
	/* Without a limit it is the kernel that has no memory. */
	if ((errnum != ENOMEM || is_limited) && s->ops->map_explain(s, errnum, e))
		return -errnum;
	return err_set(e, errnum, "map 0x%" PRIx64 " bytes at 0x%" PRIx64 " for DMA: %s", r->size,
		       r->iova, strerror(errnum));
}

int dma_space_map(struct dma_space *s, const struct dma_range *r, unsigned int access,
		  struct err *e)
{
	int n = dma_space_check(s, r, e);

	if (n < 0)
		return n;
	n = range_set_add(&s->mapped, r->iova, r->iova + r->size - 1, NULL);
	if (n < 0)
		return err_set(e, n, "map 0x%" PRIx64 " for DMA: %s", r->iova,
			       n == -EEXIST ? "it is mapped already" : "out of memory");
	n = s->ops->map(s, r, access);
	if (n < 0) {
		range_set_del(&s->mapped, r->iova, r->iova + r->size - 1);
		return map_failed(s, r, -n, e);
	}
	s->mapped_bytes += r->size;
	return 0;
}

int dma_space_unmap(struct dma_space *s, uint64_t iova, uint64_t size, struct err *e)
{
	uint64_t done = size;
	int r;

	if (size == 0 || range_set_del(&s->mapped, iova, iova + size - 1) < 0)
		return err_set(e, ENOENT, "0x%" PRIx64 " is not mapped for DMA with this size",
			       iova);
	s->mapped_bytes -= size;
	r = s->ops->unmap(s, iova, &done);
	if (r < 0)
		return err_set(e, r, "unmap 0x%" PRIx64 ": %s", iova, strerror(-r));
	/* A short answer means that the device can still reach part of it. */
	if (done != size)
		return err_set(e, EIO,
			       "unmap 0x%" PRIx64 ": the kernel unmapped %" PRIu64 " of %" PRIu64
			       " bytes",
			       iova, done, size);
	return 0;
}

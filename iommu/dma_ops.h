/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is different between the two kinds of DMA space: private to dma.c, dma_type1.c and dma_iommufd.c. The operations
 * do what they are told and return 0 or the kernel's -errno; what is in order and what is mapped is dma.c's to know.
 */
#ifndef VIADUCT_IOMMU_DMA_OPS_H
#define VIADUCT_IOMMU_DMA_OPS_H

#include "iommu/dma.h"

#include "base/range.h"

#define DMA_MEMBERS 64

struct dma_ops {
	int (*open)(struct dma_space *s); /* NULL: nothing to do */
	void (*close)(struct dma_space *s); /* NULL: nothing to do */
	int (*attach)(struct dma_space *s, int member);
	int (*detach)(struct dma_space *s, int member);
	/* Fills page_bytes and usable, which is empty, as far as the kernel says. Fills e. */
	int (*limits_read)(struct dma_space *s, struct err *e);
	int (*map)(struct dma_space *s, const struct dma_range *r, unsigned int access);
	int (*unmap)(struct dma_space *s, uint64_t iova, uint64_t *size); /* size: what was */
	/* What the kernel's errno means, as far as it is this kind's own; false: nothing special. */
	bool (*attach_explain)(const char *name, int errnum, struct err *e);
	bool (*map_explain)(const struct dma_space *s, int errnum, struct err *e);
};

struct dma_space {
	const struct dma_ops *ops;
	int fd; /* container or iommufd; borrowed */
	int members[DMA_MEMBERS];
	size_t member_count;
	bool has_iommu; /* it has a member, and what it leaves is known */
	uint64_t page_bytes; /* the smallest page: what every map must be aligned to */
	struct range_set usable; /* IOVAs that can be mapped; empty: the kernel does not say */
	struct range_set mapped;
	uint64_t mapped_bytes;
	uint32_t maps_left; /* type1: UINT32_MAX, the kernel does not say */
	uint32_t ioas; /* iommufd */
};

extern const struct dma_ops dma_type1_ops, dma_iommufd_ops;

/* Interrupt remapping is off: the kernel takes the member only with this parameter set, which viaduct never does. */
int dma_interrupts_refused(const char *name, const char *parameter, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * struct dma_space: what devices of one VM can reach. IOVA = GPA; one map per RAM slot; nothing
 * else is mapped. Here over the VFIO type1v2 container (linux/vfio.h).
 *
 * Order: create -> attach every group -> map every slot -> vfio_device_open. Teardown the other
 * way round: devices are reset and closed before anything is unmapped, so that nothing faults.
 */
#ifndef VIADUCT_IOMMU_DMA_H
#define VIADUCT_IOMMU_DMA_H

#include "base/err.h"

struct dma_space;

struct dma_range {
	uint64_t iova;
	uint64_t size; /* bytes; iova, size and host are multiples of the page size */
	void *host;
};

#define DMA_READ  1U
#define DMA_WRITE 2U

/* container_fd stays the caller's and must live longer than the space. */
int dma_space_create(int container_fd, struct dma_space **out, struct err *e);

/* Unmaps what is mapped and detaches every group. NULL-safe. */
void dma_space_destroy(struct dma_space *s);

/* Puts the group into the container; the first one also sets the IOMMU type and reads its limits.
 * group_fd stays the caller's. -EPERM with the remedy when interrupt remapping is off. */
int dma_space_attach(struct dma_space *s, int group_fd, uint32_t group, struct err *e);

/* Takes a group out whose devices are all closed. With the last one everything is unmapped. */
int dma_space_detach(struct dma_space *s, int group_fd);

/* 0 if every address of the range can be translated: inside the IOVA ranges that the IOMMU and the
 * devices' reserved regions leave, and aligned. -ERANGE names what is in the way. */
int dma_space_check(const struct dma_space *s, const struct dma_range *r, struct err *e);

/* Checks, pins and maps. -ENOMEM tells "need X have Y" of RLIMIT_MEMLOCK. Nothing stays on failure. */
int dma_space_map(struct dma_space *s, const struct dma_range *r, unsigned int access,
		  struct err *e);

/* Undoes one dma_space_map with the same iova and size. */
int dma_space_unmap(struct dma_space *s, uint64_t iova, uint64_t size, struct err *e);

/* Bytes mapped now. */
uint64_t dma_space_mapped(const struct dma_space *s);

#endif

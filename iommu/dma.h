/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * struct dma_space: what devices of one VM can reach. IOVA = GPA; one map per RAM slot; nothing
 * else is mapped. Over either of the kernel's two interfaces, chosen when it is made: a VFIO type1v2 container, which groups
 * are put into (linux/vfio.h), or an IOAS of an iommufd, which device files are attached to (linux/iommufd.h).
 *
 * Order: create -> attach every member -> map every slot -> vfio_device_open. Teardown the other
 * way round: devices are reset before anything is unmapped, so that nothing faults.
 */
#ifndef VIADUCT_IOMMU_DMA_H
#define VIADUCT_IOMMU_DMA_H

#include "base/err.h"

enum dma_api { DMA_TYPE1, DMA_IOMMUFD, DMA_APIS };
#define DMA_API_WORDS              \
	{                          \
		"type1", "iommufd" \
	}

struct dma_space;

struct dma_range {
	uint64_t iova;
	uint64_t size; /* bytes; iova, size and host are multiples of the page size */
	void *host;
};

#define DMA_READ  1U
#define DMA_WRITE 2U

/* fd: the container, or the iommufd. It stays the caller's and must live longer than the space. */
int dma_space_create(enum dma_api api, int fd, struct dma_space **out, struct err *e);

/* Unmaps what is mapped and detaches every member. NULL-safe. */
void dma_space_destroy(struct dma_space *s);

/* A member joins: with type1 an IOMMU group's fd, with iommufd the device file of a function, bound to the iommufd. It
 * stays the caller's. What can be mapped is read anew each time, because a member may narrow it. name, such as "IOMMU
 * group 26", is for errors. -EPERM with the remedy when interrupt remapping is off. */
int dma_space_attach(struct dma_space *s, int member_fd, const char *name, struct err *e);

/* Takes a member out that does nothing any more: a group whose devices are all closed, a function that is quiet. With the
 * last one everything is unmapped. */
int dma_space_detach(struct dma_space *s, int member_fd);

/* 0 if every address of the range can be translated: inside the IOVA ranges that the IOMMU and the
 * devices' reserved regions leave, and aligned. -ERANGE names what is in the way. */
int dma_space_check(const struct dma_space *s, const struct dma_range *r, struct err *e);

/* Checks, pins and maps. -ENOMEM tells "need X have Y" of RLIMIT_MEMLOCK. Nothing stays on failure. */
int dma_space_map(struct dma_space *s, const struct dma_range *r, unsigned int access,
		  struct err *e);

/* Undoes one dma_space_map with the same iova and size. */
int dma_space_unmap(struct dma_space *s, uint64_t iova, uint64_t size, struct err *e);

#endif

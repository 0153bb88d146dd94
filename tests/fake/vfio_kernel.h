/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO and iommufd as the kernel would answer, for link-time wrapping of ioctl(2): one container, one iommufd with one IOAS,
 * one device with the regions and capability chains that the test writes. fault.h makes the n-th call fail.
 */
#ifndef VIADUCT_TESTS_FAKE_VFIO_KERNEL_H
#define VIADUCT_TESTS_FAKE_VFIO_KERNEL_H

#include "base/util.h"

#include <linux/iommufd.h>
#include <linux/vfio.h>

struct fake_vfio {
	bool refuse_attach; /* as without interrupt remapping */
	int map_errno, attach_errno, bind_errno, option_errno; /* 0: it works */
	int api_version; /* 0: the one there is */
	bool no_type1v2;
	uint32_t group_flags; /* VFIO_GROUP_FLAGS_* of the status */
	/* Replies: struct vfio_iommu_type1_info and its chain, regions and their chains, interrupts. */
	uint8_t iommu_info[1024];
	uint8_t region[9][512];
	struct vfio_irq_info irq[5];
	struct vfio_device_info device;
	/* Replies of the IOAS. */
	struct iommu_iova_range iova[64];
	uint32_t iova_count,
		iova_claim; /* claim: what it says there are; 0: as many as there are */
	uint64_t iova_align;
	/* What was done. */
	unsigned int attached, iommu_set, mapped, unmapped, resets, irq_sets;
	unsigned int bound, ioas, range_asks; /* ioas: how many there are */
	uint64_t accounting; /* IOMMU_OPTION_RLIMIT_MODE */
	char order[64]; /* A attach, M map, U unmap, G detach, X IOAS destroyed */
	uint64_t bytes_mapped;
	uint64_t short_unmap; /* bytes that an unmap leaves out of its answer */
	int device_fd; /* given out; the caller closes */
};

extern struct fake_vfio fake_vfio;

#endif

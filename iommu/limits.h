/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host's DMA remapping has room for, as far as the kernel tells before a group is opened. Reads /sys
 * only. root_fd: an open directory that stands for "/" (a fake tree in tests), or -1 for the real one.
 */
#ifndef VIADUCT_IOMMU_LIMITS_H
#define VIADUCT_IOMMU_LIMITS_H

#include "base/err.h"

/* How many maps one VFIO container may have (vfio_iommu_type1's dma_entry_limit). -ENOENT: it is not told. */
int iommu_dma_entry_limit(int root_fd, uint64_t *out);

/* How wide the addresses are that the unit in charge of the function translates at most: the smaller one of MGAW
 * and the largest width in SAGAW of its capability register (VT-d 11.4.2). -ENOENT: it is not told (no VT-d). */
int iommu_address_bits(int root_fd, const char *fn, unsigned int *out);

/* 0 if firmware and hardware leave the functions of group nr every address from first to last (its
 * reserved_regions; those of type "direct-relaxable" may be given up). -ERANGE, code "iova-out-of-range", names the
 * region. What cannot be read refuses nothing: VFIO looks again at the start. */
int iommu_group_reach_check(int root_fd, uint32_t nr, uint64_t first, uint64_t last, struct err *e);

#endif

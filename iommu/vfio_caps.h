/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capability chains behind VFIO's variable-length replies (struct vfio_info_cap_header): offsets from
 * the start of the reply, 0 ends. Walked with every offset, length and step checked.
 */
#ifndef VIADUCT_IOMMU_VFIO_CAPS_H
#define VIADUCT_IOMMU_VFIO_CAPS_H

#include "base/util.h"

/* The capability `id` with at least min_len bytes inside the reply of `size` bytes, or NULL. *len:
 * bytes from its start to the reply's end. */
const void *vfio_cap_find(const void *reply, size_t size, uint32_t first, uint16_t id,
			  size_t min_len, size_t *len);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capability chains behind VFIO's variable-length replies (struct vfio_info_cap_header): offsets from
 * the start of the reply, 0 ends. Walked with every offset, length and step checked.
 */
#ifndef VIADUCT_IOMMU_VFIO_CAPS_H
#define VIADUCT_IOMMU_VFIO_CAPS_H

#include "base/util.h"

struct vfio_reply {
	const void *data;
	size_t size; /* bytes */
	uint32_t first; /* offset of the first capability; 0: none */
};

/* The capability `id` with at least min_len bytes inside the reply, or NULL. *len: bytes from its start
 * to the reply's end. */
const void *vfio_cap_find(const struct vfio_reply *reply, uint16_t id, size_t min_len, size_t *len);

#endif

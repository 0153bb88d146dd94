// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vfio_caps.h"

#include <linux/vfio.h>

#define CHAIN_STEPS 64 /* the kernel has fewer than ten kinds */

const void *vfio_cap_find(const struct vfio_reply *reply, uint16_t id, size_t min_len, size_t *len)
{
	uint32_t at = reply->first;

	for (int step = 0; at != 0 && step < CHAIN_STEPS; step++) {
		struct vfio_info_cap_header h;

		if (!range_fits(at, sizeof(h), reply->size))
			return NULL;
		memcpy(&h, (const uint8_t *)reply->data + at, sizeof(h));
		if (h.id == id) {
			if (!range_fits(at, min_len, reply->size))
				return NULL;
			*len = reply->size - at;
			return (const uint8_t *)reply->data + at;
		}
		at = h.next;
	}
	return NULL;
}

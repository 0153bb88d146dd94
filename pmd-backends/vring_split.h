/* SPDX-License-Identifier: BSD-3-Clause */
/* How a split ring lies in memory (virtio 1.2, 2.7), for vring_split.c and vring_async.c alone. */
#ifndef VIADUCT_PMD_BACKENDS_VRING_SPLIT_H
#define VIADUCT_PMD_BACKENDS_VRING_SPLIT_H

#include "pmd-backends/vring_core.h"

/* 2.7.6, 2.7.8: the areas begin with flags and index. */
#define FLAGS_AT 0
#define INDEX_AT 2
#define LIST_AT	 4

#define AVAIL_NO_INTERRUPT BIT(0)
#define USED_NO_NOTIFY	   BIT(0)

/* So far ahead of the available index that it is not passed, and moved on before the index comes near. */
#define FAR_AWAY 0x8000
#define TOO_NEAR 0x4000

/* Vhost-user protocol, "Inflight I/O tracking". */
struct split_region {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct {
		uint8_t inflight;
		uint8_t padding[5];
		uint16_t next;
		uint64_t counter;
	} desc[];
};

static_assert(sizeof(struct split_region) == 16, "shared with the VMM");

static inline uint8_t *used_at(const struct vring *r, uint16_t index)
{
	return r->device + LIST_AT + 8 * (size_t)(index & (r->size - 1));
}

static inline void used_put(struct vring *r, uint16_t index, uint16_t head, uint32_t len)
{
	uint8_t *p = used_at(r, index);

	shared_put_u32(p, head);
	shared_put_u32(p + 4, len);
	device_mark(r, (uint64_t)(p - r->device), 8);
}

static inline uint8_t *avail_event(const struct vring *r)
{
	return r->device + LIST_AT + 8 * (size_t)r->size;
}

#endif

// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_config.h"

#include "pmd-backends/block_request.h"
#include "pmd-backends/vring.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#define PAGE_BYTES 4096U /* what is smaller costs the file system a read */

uint32_t block_config(const struct block_file *f, unsigned int queues,
		      uint8_t config[VHOST_MAX_CONFIG])
{
	uint32_t blocks_of_page = (uint32_t)u64_max(PAGE_BYTES / f->block_size, 1);
	const struct virtio_blk_config c = {
		.capacity = f->size / BLOCK_SECTOR,
		.size_max = BLOCK_SEGMENT_BYTES,
		.seg_max = BLOCK_SEGMENTS,
		.blk_size = f->block_size,
		.physical_block_exp = (uint8_t)__builtin_ctz(blocks_of_page),
		.min_io_size = (uint16_t)blocks_of_page,
		.wce = 1,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = BLOCK_DISCARD_MOST,
		.max_discard_seg = BLOCK_RANGES,
		.discard_sector_alignment = f->block_size / BLOCK_SECTOR,
		.max_write_zeroes_sectors = BLOCK_ZEROES_MOST,
		.max_write_zeroes_seg = BLOCK_RANGES,
		.write_zeroes_may_unmap = f->can_discard,
	};

	static_assert(sizeof(c) <= VHOST_MAX_CONFIG, "in one message");
	memcpy(config, &c, sizeof(c));
	return sizeof(c);
}

uint64_t block_features(const struct block_file *f, unsigned int queues)
{
	uint64_t features = BIT_ULL(VIRTIO_BLK_F_SIZE_MAX) | BIT_ULL(VIRTIO_BLK_F_SEG_MAX) |
			    BIT_ULL(VIRTIO_BLK_F_BLK_SIZE) | BIT_ULL(VIRTIO_BLK_F_TOPOLOGY) |
			    BIT_ULL(VIRTIO_BLK_F_FLUSH) | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
			    BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | BIT_ULL(VIRTIO_F_VERSION_1) |
			    BIT_ULL(VHOST_F_PROTOCOL_FEATURES);

	if (queues > 1)
		features |= BIT_ULL(VIRTIO_BLK_F_MQ);
	if (f->is_readonly)
		return features | BIT_ULL(VIRTIO_BLK_F_RO);
	features |= BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES);
	return f->can_discard ? features | BIT_ULL(VIRTIO_BLK_F_DISCARD) : features;
}

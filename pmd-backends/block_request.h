/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request of a virtio-blk driver (virtio 1.2, 5.2.6), read once from its chain and checked against the disk: what
 * follows uses nothing but this copy, and pointers into guest memory that were bounded here.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_REQUEST_H
#define VIADUCT_PMD_BACKENDS_BLOCK_REQUEST_H

#include "pmd-backends/block_file.h"

#include <sys/uio.h>

#define BLOCK_SECTOR	    512U
#define BLOCK_SERIAL	    20U /* virtio 1.2, 5.2.6.1: VIRTIO_BLK_ID_BYTES */
#define BLOCK_SEGMENTS	    126U /* of data in one request: SEG_MAX */
#define BLOCK_SEGMENT_BYTES (1U << 20) /* SIZE_MAX */
#define BLOCK_BYTES_MOST    (BLOCK_SEGMENTS * BLOCK_SEGMENT_BYTES) /* of data in one request */
#define BLOCK_IOVS	    (2 * BLOCK_SEGMENTS) /* as a segment may lie across two regions */
#define BLOCK_RANGES	    16U /* of one DISCARD or WRITE_ZEROES */
#define BLOCK_DISCARD_MOST  (1U << 22) /* sectors of one range */
#define BLOCK_ZEROES_MOST   (1U << 17)

struct vring_chain;

enum block_kind {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_ID,
	BLOCK_DISCARD,
	BLOCK_ZEROES,
	BLOCK_NOTHING, /* answered with `status` at once */
	BLOCK_KINDS
};

struct block_range {
	uint64_t offset, len; /* bytes */
	bool unmap;
};

struct block_request {
	enum block_kind kind;
	uint8_t status; /* VIRTIO_BLK_S_*, of BLOCK_NOTHING */
	uint8_t *status_at; /* in guest memory; NULL: nowhere */
	uint64_t offset; /* bytes of the disk */
	uint64_t len; /* bytes: of iov (reads, writes), of all ranges (zeroes); 0: nothing is moved (discards) */
	uint32_t written; /* bytes into the chain if it succeeds, status included */
	struct iovec iov[BLOCK_IOVS]; /* of guest memory, no empty ones: data */
	uint32_t iov_count;
	struct block_range ranges[BLOCK_RANGES];
	uint32_t range_count;
	bool is_aligned; /* all of iov, to the file's `align` */
	uint32_t steps; /* descriptors that were read for it, whatever came of it */
};

/* -EBADMSG: the chain is none, has no place for a status, or more buffers than any request has. What can be answered but not done is BLOCK_NOTHING. */
int block_request_read(struct block_request *q, struct vring_chain *chain,
		       const struct block_file *f);

#endif

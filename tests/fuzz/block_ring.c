// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever a guest writes into the ring of its disk, and its VMM into the in-flight region, at any time: a request that is
 * read names only memory that is shared and bytes that the disk has, and the ring comes to its end. Input: the features;
 * then steps, which write, take requests (or put them back in another order), or have a successor begin.
 */
#include "../fake/ring_driver.h"
#include "pmd-backends/block_request.h"
#include "pmd-backends/vring_async.h"
#include "pmd-backends/vring_core.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES  0x10000U
#define SIZE   16U
#define DESC   0x0000U
#define AVAIL  0x1000U
#define USED   0x2000U
#define REGION 0x3000U
#define SEAM   0x8000U /* two regions of guest memory meet there */
#define STEPS  200U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_memory memory;
static uint8_t *guest;
static struct block_file file = { .fd = -1, .size = MIB(1), .block_size = 512, .align = 512 };
static struct block_request request;

static void begin(void)
{
	const struct guest_region_wire table[] = {
		{ .size = SEAM, .user = GUEST_USER },
		{ .gpa = SEAM, .size = BYTES - SEAM, .user = GUEST_USER + SEAM, .offset = SEAM },
	};
	int fds[2];

	fds[0] = fds[1] = memfd_create("guest", 0);
	if (fds[0] < 0 || ftruncate(fds[0], BYTES) < 0 ||
	    guest_memory_map(&memory, table, fds, 2, NULL) < 0)
		abort();
	guest = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
}

static bool is_shared(const void *p, size_t len)
{
	const uint8_t *at = p;

	for (unsigned int i = 0; i < memory.count; i++) {
		const struct guest_region *r = &memory.regions[i];

		if (at >= r->at && len <= r->size && (size_t)(at - r->at) <= r->size - len)
			return true;
	}
	return false;
}

static void check(const struct block_request *q)
{
	uint64_t sum = 0;

	if (q->kind >= BLOCK_KINDS || !is_shared(q->status_at, 1) || q->iov_count > BLOCK_IOVS)
		abort();
	if (q->kind == BLOCK_NOTHING)
		return;
	for (uint32_t i = 0; i < q->iov_count; i++) {
		if (q->iov[i].iov_len == 0 || !is_shared(q->iov[i].iov_base, q->iov[i].iov_len))
			abort();
		sum += q->iov[i].iov_len;
	}
	if (q->kind == BLOCK_READ || q->kind == BLOCK_WRITE)
		if (sum != q->len || q->len == 0 || q->len > BLOCK_BYTES_MOST ||
		    !range_fits(q->offset, q->len, file.size) ||
		    !is_aligned(q->offset | q->len, file.block_size) ||
		    (q->kind == BLOCK_WRITE && file.is_readonly))
			abort();
	if (q->kind == BLOCK_ID && (q->len > BLOCK_SERIAL || q->len > sum))
		abort();
	for (uint32_t i = 0; i < q->range_count; i++)
		if (!range_fits(q->ranges[i].offset, q->ranges[i].len, file.size) ||
		    file.is_readonly)
			abort();
}

struct host {
	struct vring_async ring;
	struct vring_start start;
	uint16_t heads[SIZE];
	uint32_t count;
};

static void take(struct host *h)
{
	struct vring_chain chain;
	uint16_t head;

	if (h->ring.taken == SIZE || !vring_async_take(&h->ring, &chain, &head))
		return;
	if (head >= SIZE)
		abort();
	h->heads[h->count++] = head;
	if (block_request_read(&request, &chain, &file) == 0)
		check(&request);
}

/* One of those under way, whichever the input says. */
static void put(struct host *h, uint8_t which)
{
	uint32_t i = h->count == 0 ? 0 : which % h->count;

	if (h->count == 0)
		return;
	vring_async_put(&h->ring, h->heads[i], which);
	h->heads[i] = h->heads[--h->count];
	if ((which & 1) == 0) {
		vring_async_publish(&h->ring);
		(void)vring_async_wants_call(&h->ring);
	}
}

static void successor(struct host *h)
{
	(void)vring_async_stop(&h->ring);
	h->count = 0;
	(void)vring_async_start(&h->ring, &h->start, NULL);
	if (h->ring.again_count > SIZE)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host h = { .start = { .place = { SIZE, GUEST_USER + DESC, GUEST_USER + AVAIL,
						GUEST_USER + USED },
				     .memory = &memory } };

	if (guest == NULL)
		begin();
	if (size < 2)
		return 0;
	memset(guest, 0, BYTES);
	h.start.features = BIT_ULL(VIRTIO_F_VERSION_1) | (uint64_t)(data[0] & 3)
								 << VIRTIO_RING_F_INDIRECT_DESC;
	h.start.inflight = (data[0] & 4) != 0 ? memory.regions[0].at + REGION : NULL;
	file.is_readonly = (data[0] & 8) != 0;
	if (vring_async_start(&h.ring, &h.start, NULL) < 0)
		abort();
	data++;
	size--;
	for (unsigned int step = 0; step < STEPS && size >= 4; step++) {
		uint32_t at = get_le16(data + 1), len = (uint32_t)u64_min(data[3], size - 4);

		switch (data[0] & 3) {
		case 0: /* the guest writes */
			len = (uint32_t)u64_min(len, BYTES - at);
			memcpy(guest + at, data + 4, len);
			break;
		case 1:
			take(&h);
			len = 0;
			break;
		case 2:
			put(&h, data[1]);
			len = 0;
			break;
		default:
			successor(&h);
			len = 0;
		}
		data += 4 + len;
		size -= 4 + len;
	}
	vring_async_want_kicks(&h.ring, true);
	(void)vring_async_waits(&h.ring);
	(void)vring_async_stop(&h.ring);
	return 0;
}

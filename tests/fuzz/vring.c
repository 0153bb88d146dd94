// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever a guest writes into its rings and memory, and its VMM into the in-flight region, at any time: no byte outside
 * what is shared changes, frames are within their bounds, each mbuf comes back. Input: features, ring, base; then steps,
 * which write, make a descriptor available as a driver would, or have the device do something.
 */
#include "../fake/ring_driver.h"

#include <rte_mbuf.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD   4
#define BYTES  0x20000 /* of the guest; the areas as in ring_driver.h */
#define EDGE   64 /* behind each region, in the file and not shared */
#define SEAM   0x18000
#define REGION 0x8000 /* in flight */
#define STEPS  200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct host {
	int fd;
	uint8_t *file;
	struct guest_memory memory;
	struct vring ring;
	struct vring_start start;
	uint16_t avail; /* split: index; packed: descriptor */
	bool wrap;
};

static void host_make(struct host *h)
{
	struct guest_region_wire table[] = {
		{ .size = SEAM - EDGE, .user = GUEST_USER },
		{ .gpa = SEAM - EDGE, .size = BYTES - SEAM - EDGE, .user = 1, .offset = SEAM },
	};
	int fds[2];

	h->fd = fds[0] = fds[1] = memfd_create("guest", 0);
	if (h->fd < 0 || ftruncate(h->fd, BYTES) < 0)
		abort();
	h->file = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, 0);
	if (h->file == MAP_FAILED || guest_memory_map(&h->memory, table, fds, 2, NULL) < 0)
		abort();
}

static void host_reset(struct host *h, const uint8_t *data)
{
	static const uint64_t features[] = {
		BIT_ULL(VIRTIO_F_RING_PACKED),
		BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
		BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
		BIT_ULL(VIRTIO_NET_F_MRG_RXBUF),
		BIT_ULL(VIRTIO_NET_F_CSUM) | BIT_ULL(VIRTIO_NET_F_GUEST_CSUM),
		BIT_ULL(VIRTIO_NET_F_HOST_TSO4) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO4)
	};
	uint32_t len = 1;

	memset(h->file, 0, BYTES);
	memset(h->file + SEAM - EDGE, 0xA5, EDGE);
	memset(h->file + BYTES - EDGE, 0xA5, EDGE);
	h->start = (struct vring_start){ .features = BIT_ULL(VIRTIO_F_VERSION_1),
					 .memory = &h->memory,
					 .place = { .size = BIT(data[1] % 9),
						    .desc = GUEST_USER + RING_DESC,
						    .driver = GUEST_USER + RING_DRIVER,
						    .device = GUEST_USER + RING_DEVICE } };
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if ((data[0] & BIT(i)) != 0)
			h->start.features |= features[i];
	h->start.base = get_le16(data + 2) | (uint32_t)get_le16(data + 2) << 16;
	if ((data[0] & BIT(6)) != 0)
		h->start.inflight = guest_at(&h->memory, REGION, &len);
	h->avail = get_le16(data + 2) % h->start.place.size;
	h->wrap = (data[3] & BIT(7)) != 0;
	if ((data[0] & BIT(0)) == 0)
		h->avail = 0;
	if (vring_start(&h->ring, &h->start, NULL) < 0)
		abort();
}

/* A descriptor where the next belongs: address in units of 16, length, flags, next. */
static void descriptor_offer(struct host *h, const uint8_t *b)
{
	uint32_t size = h->start.place.size;
	bool packed = (h->start.features & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0;
	uint16_t at = packed ? h->avail : b[5] % size;
	uint8_t *desc = h->file + RING_DESC + 16 * at;

	put_le64(desc, 16ULL * get_le16(b));
	put_le32(desc + 8, get_le16(b + 2));
	put_le16(desc + 12, packed ? at : b[4] & 7);
	put_le16(desc + 14, packed ? (uint16_t)((b[4] & 7) | (h->wrap ? BIT(7) : BIT(15))) : b[6]);
	if (!packed) {
		/* Bit 3: part of a chain that begins elsewhere. */
		if ((b[4] & 8) != 0)
			return;
		put_le16(h->file + RING_DRIVER + 4 + 2 * (h->avail % size), at);
		put_le16(h->file + RING_DRIVER + 2, ++h->avail);
	} else if (++h->avail == size) {
		h->avail = 0;
		h->wrap = !h->wrap;
	}
}

static void frames_take(struct host *h)
{
	struct rte_mbuf *frames[8];
	const char *why = NULL;
	uint16_t count = vring_dequeue(&h->ring, ring_pool(), frames, 8);

	for (uint16_t i = 0; i < count; i++) {
		if (frames[i]->pkt_len == 0 || frames[i]->pkt_len > VRING_MAX_FRAME ||
		    rte_mbuf_check(frames[i], 1, &why) < 0)
			abort();
		rte_pktmbuf_free(frames[i]);
	}
}

static void frame_give(struct host *h, uint16_t len, uint8_t asks)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(ring_pool()), *tail = rte_pktmbuf_alloc(ring_pool());

	len = len % 2048;
	memset(rte_pktmbuf_append(m, 64), len, 64);
	memset(rte_pktmbuf_append(tail, len), len, len);
	if (rte_pktmbuf_chain(m, tail) < 0)
		abort();
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->tso_segsz = 100;
	if (asks & 1)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	if (asks & 2)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	(void)vring_enqueue(&h->ring, &m, 1);
	rte_pktmbuf_free(m);
}

/* Not over the edges, which are not the guest's. */
static void memory_write(struct host *h, uint32_t gpa, const uint8_t *bytes, uint32_t len)
{
	uint32_t part = len;
	uint8_t *p = guest_at(&h->memory, gpa, &part);

	if (p != NULL && len > 0)
		memcpy(p, bytes, part);
}

/* One step; how many bytes it was, 0: the input is over. */
static size_t step(struct host *h, const uint8_t *b, size_t left)
{
	size_t len;

	if (left < 8)
		return 0;
	switch (b[0] % 8) {
	case 0: /* bytes at any place */
		len = u64_min(b[1], left - 8);
		memory_write(h, get_le32(b + 2) % BYTES, b + 8, (uint32_t)len);
		return 8 + len;
	case 1:
	case 2:
		descriptor_offer(h, b + 1);
		return 8;
	case 3:
		frames_take(h);
		return 1;
	case 4:
		frame_give(h, get_le16(b + 1), b[3]);
		return 4;
	case 5:
		(void)vring_wants_call(&h->ring);
		vring_want_kicks(&h->ring, (b[1] & 1) != 0);
		return 2;
	case 6:
		if (vring_available(&h->ring, 300) > 300)
			abort();
		return 1;
	default: /* killed, or told anew */
		h->start.base = vring_base(&h->ring);
		if (vring_start(&h->ring, &h->start, NULL) < 0)
			abort();
		return 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host h;
	size_t at = HEAD, more = 1;

	if (size < HEAD)
		return 0;
	if (h.file == NULL)
		host_make(&h);
	host_reset(&h, data);
	for (unsigned int i = 0; i < STEPS && more > 0 && at < size; i++, at += more)
		more = step(&h, data + at, size - at);
	for (size_t i = 0; i < EDGE; i++)
		if (h.file[SEAM - EDGE + i] != 0xA5 || h.file[BYTES - EDGE + i] != 0xA5)
			abort();
	if (rte_mempool_in_use_count(ring_pool()) != 0)
		abort();
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* One ring between a driver (tests/fake/ring_driver.h) and the device. */
#ifndef VIADUCT_TESTS_UNIT_PMD_BACKENDS_RING_NET_H
#define VIADUCT_TESTS_UNIT_PMD_BACKENDS_RING_NET_H

#include "../../fake/ring_driver.h"

#include <rte_mbuf.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>

#define SPLIT	 0
#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define INDIRECT BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)
#define EVENTS	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define MERGED	 BIT_ULL(VIRTIO_NET_F_MRG_RXBUF)

/* Both kinds of ring in turn, the body once each. */
#define for_each_kind(kind) \
	for (uint64_t kind = SPLIT, turn_ = 0; turn_ < 2; turn_++, kind = PACKED)

struct ring_net {
	struct ring_guest guest;
	struct ring_driver driver;
	struct vring ring;
	struct rte_mempool *pool;
	uint32_t pool_used; /* mbufs in use before */
};

static inline struct ring_net *ring_net_create(uint32_t size, uint64_t features)
{
	struct ring_net *n = calloc(1, sizeof(*n));
	struct vring_start start = { .base = 0x80008000 };

	assert_non_null(n);
	n->pool = ring_pool();
	n->pool_used = rte_mempool_in_use_count(n->pool);
	ring_guest_create(&n->guest, MIB(4));
	ring_driver_init(&n->driver, n->guest.at, size, features);
	start.place = ring_place(&n->driver);
	start.features = n->driver.features;
	start.memory = &n->guest.memory;
	assert_int_equal(vring_start(&n->ring, &start, NULL), 0);
	return n;
}

static inline void ring_net_destroy(struct ring_net *n)
{
	assert_int_equal(rte_mempool_in_use_count(n->pool), n->pool_used);
	ring_guest_destroy(&n->guest);
	free(n);
}

/* The driver sends frame `seq` in one buffer, at a place of its own, with this header (NULL: zeros). */
static inline int ring_send(struct ring_net *n, uint64_t seq, uint32_t len,
			    const struct virtio_net_hdr_v1 *header)
{
	static const struct virtio_net_hdr_v1 none;
	uint64_t gpa = RING_BUFFERS + seq % 64 * KIB(68);

	memcpy(n->guest.at + gpa, header ? header : &none, RING_HEADER);
	ring_pattern(n->guest.at + gpa + RING_HEADER, seq, len);
	return ring_offer(&n->driver, &(struct ring_piece){ gpa, RING_HEADER + len }, 1, false,
			  RING_DIRECT);
}

/* The device takes one frame; it is `seq`. */
static inline void ring_got(struct ring_net *n, uint64_t seq, uint32_t len)
{
	static uint8_t bytes[VRING_MAX_FRAME];
	struct rte_mbuf *m = NULL;
	const void *p;

	assert_int_equal(vring_dequeue(&n->ring, n->pool, &m, 1), 1);
	assert_int_equal(rte_pktmbuf_pkt_len(m), len);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){ NULL }), 0);
	p = rte_pktmbuf_read(m, 0, len, bytes);
	assert_non_null(p);
	assert_true(ring_pattern_is(p, seq, len));
	rte_pktmbuf_free(m);
}

/* A frame in mbufs of at most `part` bytes. */
static inline struct rte_mbuf *ring_frame(struct ring_net *n, uint64_t seq, uint32_t len,
					  uint16_t part)
{
	static uint8_t bytes[VRING_MAX_FRAME + 64];
	struct rte_mbuf *first = NULL, *m;

	ring_pattern(bytes, seq, len);
	for (uint32_t at = 0; at < len || !first; at += part) {
		uint16_t now = (uint16_t)u64_min(part, len - at);

		m = rte_pktmbuf_alloc(n->pool);
		assert_non_null(m);
		memcpy(rte_pktmbuf_append(m, now), bytes + at, now);
		if (!first)
			first = m;
		else
			assert_int_equal(rte_pktmbuf_chain(first, m), 0);
	}
	return first;
}

/* The device sends it; true: taken. */
static inline bool ring_give(struct ring_net *n, uint64_t seq, uint32_t len)
{
	struct rte_mbuf *m = ring_frame(n, seq, len, 1000);
	bool is_taken = vring_enqueue(&n->ring, &m, 1) == 1;

	rte_pktmbuf_free(m);
	return is_taken;
}

#endif

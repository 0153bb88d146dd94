// SPDX-License-Identifier: BSD-3-Clause
/* Frames through both kinds of ring, as a driver that keeps the rules sees it. */
#include "ring_net.h"

#define OFFLOADS                                                              \
	(BIT_ULL(VIRTIO_NET_F_CSUM) | BIT_ULL(VIRTIO_NET_F_HOST_TSO4) |       \
	 BIT_ULL(VIRTIO_NET_F_HOST_TSO6) | BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | \
	 BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO6))

static void reap(struct ring_net *n, int id, uint32_t len)
{
	uint16_t got;
	uint32_t bytes;

	assert_true(ring_reap(&n->driver, &got, &bytes));
	assert_int_equal(got, id);
	assert_int_equal(bytes, len);
}

static void nothing_used(struct ring_net *n)
{
	uint16_t id;
	uint32_t len;

	assert_false(ring_reap(&n->driver, &id, &len));
}

static void test_frames_from_the_guest(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind);

		/* Round the ring and round the 16 bits of an index. */
		for (uint64_t seq = 0; seq < 70000; seq++) {
			int id = ring_send(n, seq, 60 + (uint32_t)(seq % 1400), NULL);

			ring_got(n, seq, 60 + (uint32_t)(seq % 1400));
			reap(n, id, 0);
		}
		assert_int_equal(n->ring.counters.bad_chains, 0);
		ring_net_destroy(n);
	}
}

static void test_bursts_from_the_guest(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind);
		struct rte_mbuf *frames[128];
		uint64_t seq = 0;

		for (uint64_t turn = 0; turn < 500; turn++) {
			uint16_t count = (uint16_t)(turn % 65), got = 0;
			int ids[64];

			for (uint16_t i = 0; i < count; i++)
				ids[i] = ring_send(n, seq + i, 100, NULL);
			assert_int_equal(vring_available(&n->ring, 1000), count);
			assert_int_equal(vring_available(&n->ring, 3), count < 3 ? count : 3);
			while (got < count) {
				uint16_t more = vring_dequeue(&n->ring, n->pool, frames + got, 128);

				assert_in_range(more, 1, count - got);
				got = (uint16_t)(got + more);
			}
			assert_int_equal(vring_dequeue(&n->ring, n->pool, frames + got, 64), 0);
			for (uint16_t i = 0; i < count; i++, seq++) {
				assert_true(ring_pattern_is(rte_pktmbuf_mtod(frames[i], uint8_t *),
							    seq, 100));
				reap(n, ids[i], 0);
				rte_pktmbuf_free(frames[i]);
			}
			nothing_used(n);
		}
		ring_net_destroy(n);
	}
}

/* However the driver cuts a frame, also inside its header, in tables, and across the seam of two regions. */
static void test_frames_in_pieces(void **state)
{
	static uint8_t whole[RING_HEADER + VRING_MAX_FRAME];

	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind | INDIRECT);

		for (uint32_t turn = 0; turn < 600; turn++) {
			uint32_t len = turn % 3 == 0 ? VRING_MAX_FRAME : 1 + turn * 7, at = 0;
			uint64_t gpa = MIB(4) - 40 - turn % 13;
			struct ring_piece pieces[12];
			uint32_t count = 1 + turn % 12, total = RING_HEADER + len;
			int id;

			ring_pattern(whole + RING_HEADER, turn, len);
			memcpy(n->guest.at + gpa, whole, total);
			for (uint32_t i = 0; i < count; i++) {
				uint32_t part = i + 1 == count ? total - at
							       : (uint32_t)u64_min(total - at,
										   (turn + i) % 9);

				pieces[i] = (struct ring_piece){ gpa + at, part };
				at += part;
			}
			id = ring_offer(&n->driver, pieces, count, false,
					turn % 2 ? RING_INDIRECT : RING_DIRECT);
			assert_true(id >= 0);
			ring_got(n, turn, len);
			reap(n, id, 0);
		}
		assert_int_equal(n->ring.counters.bad_chains, 0);
		ring_net_destroy(n);
	}
}

/* Takes a merged frame out of the guest's buffers; each was `room` bytes at RING_BUFFERS + id * 4 KiB. */
static uint32_t merged_take(struct ring_net *n, uint8_t *out, struct virtio_net_hdr_v1 *header)
{
	uint32_t at = 0, len;
	uint16_t id, count = 1;

	for (uint16_t i = 0; i < count; i++) {
		const uint8_t *from;

		assert_true(ring_reap(&n->driver, &id, &len));
		from = n->guest.at + RING_BUFFERS + id * KIB(4);
		memcpy(out + at, from, len);
		at += len;
		if (i > 0)
			continue;
		memcpy(header, from, sizeof(*header));
		count = header->num_buffers;
		assert_in_range(count, 1, 64);
	}
	return at - RING_HEADER;
}

static void buffers_offer(struct ring_net *n, uint32_t room)
{
	while (n->driver.free_count > 0) {
		uint16_t id = n->driver.free_ids[n->driver.id_count - 1];
		struct ring_piece p = { RING_BUFFERS + id * KIB(4), room };

		assert_int_equal(ring_offer(&n->driver, &p, 1, true, RING_DIRECT), id);
	}
}

static void test_merged_frames_to_the_guest(void **state)
{
	static uint8_t got[RING_HEADER + VRING_MAX_FRAME];

	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind | MERGED);
		struct virtio_net_hdr_v1 header;

		for (uint64_t seq = 0; seq < 3000; seq++) {
			uint32_t len = seq % 50 == 0 ? VRING_MAX_FRAME : (uint32_t)(1 + seq * 3);

			buffers_offer(n, 1536 + (uint32_t)(seq % 7));
			assert_true(ring_give(n, seq, len));
			assert_int_equal(merged_take(n, got, &header), len);
			assert_true(ring_pattern_is(got + RING_HEADER, seq, len));
			assert_int_equal(header.flags | header.gso_type, 0);
			nothing_used(n);
		}
		assert_int_equal(n->ring.counters.unfit + n->ring.counters.bad_chains, 0);
		ring_net_destroy(n);
	}
}

/* As many as there is room for; the rest of a frame that has none is as it was. */
static void test_a_full_guest(void **state)
{
	static uint8_t got[RING_HEADER + VRING_MAX_FRAME];

	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(16, kind | MERGED);
		struct virtio_net_hdr_v1 header;
		struct rte_mbuf *frames[8];

		for (uint64_t turn = 0; turn < 100; turn++) {
			buffers_offer(n, 1000);
			for (uint64_t i = 0; i < 8; i++) /* three buffers each */
				frames[i] = ring_frame(n, turn * 8 + i, 2500, 2000);
			assert_int_equal(vring_enqueue(&n->ring, frames, 8), 5);
			assert_int_equal(vring_enqueue(&n->ring, frames + 5, 3), 0);
			assert_int_equal(vring_available(&n->ring, 100), 1);
			for (uint64_t i = 0; i < 5; i++) {
				assert_int_equal(merged_take(n, got, &header), 2500);
				assert_int_equal(header.num_buffers, 3);
				assert_true(ring_pattern_is(got + RING_HEADER, turn * 8 + i, 2500));
			}
			nothing_used(n);
			for (uint64_t i = 0; i < 8; i++)
				rte_pktmbuf_free(frames[i]);
		}
		/* What no number of buffers holds is dropped, so that it stops nobody. */
		buffers_offer(n, 1000);
		assert_true(ring_give(n, 0, 16000));
		assert_int_equal(n->ring.counters.unfit, 1);
		assert_true(ring_give(n, 1, 500));
		assert_int_equal(merged_take(n, got, &header), 500);
		ring_net_destroy(n);
	}
}

static void test_one_chain_without_merging(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind | INDIRECT);
		struct ring_piece pieces[8];
		int small, large, last;

		/* Cut inside the header, an empty one among them, and across the seam. */
		for (uint32_t i = 0; i < 8; i++)
			pieces[i] = (struct ring_piece){ MIB(4) - 20 + 10ULL * i, i == 3 ? 0 : 10 };
		pieces[3].gpa = ~0ULL;
		pieces[7].len = 9000;
		small = ring_offer(&n->driver, &(struct ring_piece){ RING_BUFFERS, 100 }, 1, true,
				   RING_DIRECT);
		large = ring_offer(&n->driver, pieces, 8, true, RING_INDIRECT);
		last = ring_offer(&n->driver, &(struct ring_piece){ RING_BUFFERS, 100 }, 1, true,
				  RING_DIRECT);
		assert_true(ring_give(n, 1, 2000)); /* dropped: the first buffer is too small */
		reap(n, small, 0);
		assert_int_equal(n->ring.counters.unfit, 1);
		assert_true(ring_give(n, 2, 2000));
		reap(n, large, 2012);
		assert_int_equal(get_le16(n->guest.at + MIB(4) - 20 + 10), 1);
		memmove(n->guest.at + MIB(4) + 10, n->guest.at + MIB(4) + 20, 9000);
		assert_true(ring_pattern_is(n->guest.at + MIB(4) - 8, 2, 2000));
		assert_true(ring_give(n, 3, 88));
		reap(n, last, 100);
		nothing_used(n);
		assert_false(ring_give(n, 4, 60));
		assert_int_equal(n->ring.counters.bad_chains, 0);
		ring_net_destroy(n);
	}
}

struct request {
	struct virtio_net_hdr_v1 header;
	uint64_t flags; /* of the mbuf; BAD: not taken */
};

#define BAD  UINT64_MAX
#define NEED VIRTIO_NET_HDR_F_NEEDS_CSUM

static void test_requests_of_the_guest(void **state)
{
	static const uint64_t sum = RTE_MBUF_F_RX_L4_CKSUM_NONE, cut = sum | RTE_MBUF_F_RX_LRO;
	static const struct request rows[] = {
		{ { 0 }, 0 },
		{ { .flags = NEED, .csum_start = 34, .csum_offset = 16 }, sum },
		{ { .flags = NEED, .csum_start = 0xffff, .csum_offset = 0xffff }, sum },
		{ { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, 0 },
		{ { .flags = NEED, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 }, cut },
		{ { .flags = NEED, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1428 }, cut },
		{ { .flags = NEED, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | 0x80, .gso_size = 9 },
		  cut },
		{ { .flags = NEED, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, BAD },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 }, BAD },
		{ { .flags = NEED, .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1448 }, BAD },
		{ { .flags = NEED, .gso_type = 5, .gso_size = 1448 }, BAD },
		{ { .flags = NEED, .gso_type = 0x80, .gso_size = 1448 }, BAD },
	};

	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind | OFFLOADS);
		struct ring_net *plain = ring_net_create(64, kind);
		uint64_t bad = 0;

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct rte_mbuf *m;
			int id = ring_send(n, i, 100, &rows[i].header);

			if (rows[i].flags == BAD) {
				assert_int_equal(vring_dequeue(&n->ring, n->pool, &m, 1), 0);
				assert_int_equal(n->ring.counters.bad_chains, ++bad);
			} else {
				assert_int_equal(vring_dequeue(&n->ring, n->pool, &m, 1), 1);
				assert_int_equal(m->ol_flags, rows[i].flags);
				assert_int_equal(m->tso_segsz, rows[i].flags == cut
								       ? rows[i].header.gso_size
								       : 0);
				rte_pktmbuf_free(m);
			}
			reap(n, id, 0);
			/* A guest that negotiated nothing asks for nothing. */
			ring_send(plain, i, 100, &rows[i].header);
			assert_int_equal(vring_dequeue(&plain->ring, n->pool, &m, 1), 1);
			assert_int_equal(m->ol_flags, 0);
			rte_pktmbuf_free(m);
		}
		ring_net_destroy(plain);
		ring_net_destroy(n);
	}
}

static struct rte_mbuf *asking_frame(struct ring_net *n, uint64_t flags)
{
	struct rte_mbuf *m = ring_frame(n, 7, 3000, 2000);

	m->ol_flags |= flags;
	m->l2_len = 18;
	m->l3_len = 20;
	m->l4_len = 32;
	m->tso_segsz = 1400;
	return m;
}

static void test_requests_to_the_guest(void **state)
{
	static const struct request rows[] = {
		{ { .num_buffers = 1 }, 0 },
		{ { NEED, 0, 0, 0, .csum_start = 38, .csum_offset = 6, .num_buffers = 1 },
		  RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4 },
		{ { NEED, 0, 0, 0, .csum_start = 38, .csum_offset = 16, .num_buffers = 1 },
		  RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV6 },
		{ { NEED, 1, 70, 1400, .csum_start = 38, .csum_offset = 16, .num_buffers = 1 },
		  RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 },
		{ { NEED, 4, 70, 1400, .csum_start = 38, .csum_offset = 16, .num_buffers = 1 },
		  RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV6 },
	};

	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind | OFFLOADS);
		struct ring_net *plain = ring_net_create(64, kind);

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct rte_mbuf *m = asking_frame(n, rows[i].flags);

			buffers_offer(n, 4096);
			buffers_offer(plain, 4096);
			assert_int_equal(vring_enqueue(&n->ring, &m, 1), 1);
			assert_memory_equal(n->guest.at + RING_BUFFERS + i * KIB(4),
					    &rows[i].header, RING_HEADER);
			assert_true(ring_pattern_is(
				n->guest.at + RING_BUFFERS + i * KIB(4) + RING_HEADER, 7, 3000));
			assert_int_equal(vring_enqueue(&plain->ring, &m, 1), 1);
			assert_int_equal(plain->ring.counters.unfit, i);
			rte_pktmbuf_free(m);
		}
		ring_net_destroy(plain);
		ring_net_destroy(n);
	}
}

static void test_no_mbufs(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(64, kind);
		struct rte_mbuf **all = calloc(4096, sizeof(*all)), *m;
		unsigned int count = 0;

		while ((all[count] = rte_pktmbuf_alloc(n->pool)) != NULL)
			count++;
		rte_pktmbuf_free(all[--count]);
		/* None at all for the second, and not enough for the first. */
		reap(n, (ring_send(n, 1, 9000, NULL), vring_dequeue(&n->ring, n->pool, &m, 1), 0),
		     0);
		assert_int_equal(n->ring.counters.no_memory, 1);
		all[count++] = rte_pktmbuf_alloc(n->pool);
		assert_non_null(all[count - 1]);
		ring_send(n, 2, 60, NULL);
		assert_int_equal(vring_dequeue(&n->ring, n->pool, &m, 1), 0);
		reap(n, 0, 0);
		assert_int_equal(n->ring.counters.no_memory, 2);
		assert_int_equal(n->ring.counters.bad_chains, 0);
		rte_pktmbuf_free_bulk(all, count);
		free(all);
		ring_send(n, 3, 60, NULL);
		ring_got(n, 3, 60);
		ring_net_destroy(n);
	}
}

static void frame_pass(struct ring_net *n, uint64_t seq)
{
	uint16_t id;
	uint32_t len;

	assert_true(ring_send(n, seq, 60, NULL) >= 0);
	ring_got(n, seq, 60);
	assert_true(ring_reap(&n->driver, &id, &len));
}

static void test_calls(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(16, kind);

		ring_calls_off(&n->driver);
		assert_true(
			vring_wants_call(&n->ring)); /* a predecessor may have kept it to itself */
		assert_false(vring_wants_call(&n->ring));
		frame_pass(n, 0);
		assert_false(vring_wants_call(&n->ring));
		ring_calls_on(&n->driver);
		assert_false(vring_wants_call(&n->ring)); /* nothing new */
		frame_pass(n, 1);
		assert_true(vring_wants_call(&n->ring));
		ring_net_destroy(n);
	}
}

/* Once for each time that the event is passed, at each place of the ring and of the index. */
static void test_calls_at_events(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(16, kind | EVENTS);

		assert_true(vring_wants_call(&n->ring));
		for (uint64_t seq = 0; seq < 66000; seq++) {
			uint16_t at = n->driver.used;
			bool wrap = n->driver.used_wrap;

			if (seq % 5 == 0) /* the third from now */
				ring_calls_at(&n->driver,
					      kind == PACKED ? (at + 2) % 16 : (uint16_t)(at + 2),
					      at + 2 < 16 ? wrap : !wrap);
			frame_pass(n, seq);
			assert_int_equal(vring_wants_call(&n->ring), seq % 5 == 2);
		}
		/* Of many at once one may be it. */
		ring_calls_at(&n->driver, (uint16_t)((n->driver.used + 3) % 16),
			      n->driver.used + 3 < 16 ? n->driver.used_wrap : !n->driver.used_wrap);
		if (kind == SPLIT)
			ring_calls_at(&n->driver, (uint16_t)(n->driver.used + 3), false);
		for (uint64_t i = 0; i < 4; i++)
			frame_pass(n, i);
		assert_true(vring_wants_call(&n->ring));
		for (uint64_t i = 0; i < 12; i++)
			frame_pass(n, i);
		assert_false(vring_wants_call(&n->ring));
		ring_net_destroy(n);
	}
}

static void test_kicks(void **state)
{
	static const uint64_t features[] = { 0, EVENTS };

	for_each_kind(kind)
	{
		for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
			struct ring_net *n = ring_net_create(16, kind | features[i]);
			uint16_t old = n->driver.avail;

			ring_send(n, 0, 60, NULL);
			assert_true(ring_kick_is_wanted(&n->driver, old));
			ring_got(n, 0, 60);
			vring_want_kicks(&n->ring, false);
			/* Not one, however long it goes on. */
			for (uint64_t seq = 1; seq < 140000; seq++) {
				uint16_t id;
				uint32_t len;

				old = n->driver.avail;
				assert_true(ring_reap(&n->driver, &id, &len));
				ring_send(n, seq, 60, NULL);
				assert_false(ring_kick_is_wanted(&n->driver, old));
				ring_got(n, seq, 60);
			}
			vring_want_kicks(&n->ring, true);
			old = n->driver.avail;
			ring_send(n, 5, 60, NULL);
			assert_true(ring_kick_is_wanted(&n->driver, old));
			ring_got(n, 5, 60);
			ring_net_destroy(n);
		}
	}
}

/* Stopped and started again by its base, as when the memory's table changes. */
static void test_stop_and_go(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(16, kind);

		for (uint64_t seq = 0; seq < 100; seq++) {
			struct vring_start s = { .place = ring_place(&n->driver),
						 .features = n->driver.features,
						 .base = vring_base(&n->ring),
						 .memory = &n->guest.memory };

			n->ring = (struct vring){ 0 };
			assert_int_equal(vring_dequeue(&n->ring, n->pool, NULL, 1), 0);
			assert_int_equal(vring_start(&n->ring, &s, NULL), 0);
			frame_pass(n, seq);
		}
		ring_net_destroy(n);
	}
}

static void test_places_that_there_are_not(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(16, kind);
		struct vring_start good = { .place = ring_place(&n->driver),
					    .features = n->driver.features,
					    .memory = &n->guest.memory };
		uint64_t *areas[] = { &good.place.desc, &good.place.driver, &good.place.device };
		struct vring none = { 0 };
		struct err e = { 0 };

		for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
			uint64_t was = *areas[i];
			const uint64_t bad[] = { 0, was + 1, GUEST_USER + MIB(4) - 2,
						 UINT64_MAX - 3 };

			for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
				*areas[i] = bad[k];
				assert_int_equal(vring_start(&none, &good, &e), -EINVAL);
				assert_false(none.is_started);
			}
			*areas[i] = was;
		}
		for (uint32_t i = 0; i < 3; i++) {
			struct vring_start s = good;

			s.place.size = (uint32_t[]){ 0, 48, 65536 }[i];
			assert_int_equal(vring_start(&none, &s, &e), -EINVAL);
		}
		good.features = 0;
		assert_int_equal(vring_start(&none, &good, &e), -EINVAL);
		ring_net_destroy(n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_from_the_guest),
		cmocka_unit_test(test_bursts_from_the_guest),
		cmocka_unit_test(test_frames_in_pieces),
		cmocka_unit_test(test_merged_frames_to_the_guest),
		cmocka_unit_test(test_a_full_guest),
		cmocka_unit_test(test_one_chain_without_merging),
		cmocka_unit_test(test_requests_of_the_guest),
		cmocka_unit_test(test_requests_to_the_guest),
		cmocka_unit_test(test_no_mbufs),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_calls_at_events),
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_stop_and_go),
		cmocka_unit_test(test_places_that_there_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
/* Drivers that keep no rule: nothing outside their memory is touched, what can be given back is, and the rest goes on. */
#include "ring_net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define NEXT	    1U
#define WRITE	    2U
#define IN_TABLE    4U
#define AVAIL	    BIT(7)
#define SIZE	    16U
#define TABLE	    RING_TABLES
#define BUFFER	    RING_BUFFERS
#define OUTSIDE	    GUEST_BYTES
#define DESCRIPTORS 3

/* A descriptor as the driver writes it; `next` is for split rings. */
struct raw {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* A chain that begins at descriptor 0, with a table at TABLE for who names it. */
struct row {
	const char *what;
	struct raw ring[DESCRIPTORS]; /* up to the first of no flags and no address */
	struct raw table[DESCRIPTORS];
	bool split_only;
};

static const struct row rows[] = {
	{ "outside memory", { { OUTSIDE, 100, 0, 0 } } },
	{ "across the end of memory", { { OUTSIDE - 50, 100, 0, 0 } } },
	{ "length overflows", { { BUFFER, UINT32_MAX, 0, 0 } } },
	{ "address overflows", { { UINT64_MAX - 15, 100, 0, 0 } } },
	{ "shorter than a header", { { BUFFER, RING_HEADER - 1, 0, 0 } } },
	{ "no bytes", { { BUFFER, 0, 0, 0 } } },
	{ "header alone", { { BUFFER, RING_HEADER, 0, 0 } } },
	{ "header, then nothing", { { BUFFER, RING_HEADER, NEXT, 1 }, { BUFFER, 0, 0, 0 } } },
	{ "longer than any frame", { { BUFFER, RING_HEADER + VRING_MAX_FRAME + 1, 0, 0 } } },
	{ "a buffer to write", { { BUFFER, 100, WRITE, 0 } } },
	{ "one of them to write", { { BUFFER, 100, NEXT, 1 }, { BUFFER, 100, WRITE, 0 } } },
	{ "second outside", { { BUFFER, 100, NEXT, 1 }, { OUTSIDE, 100, 0, 0 } } },
	{ "table of odd length",
	  { { TABLE, 17, IN_TABLE, 0 } },
	  { { BUFFER, 100, 0, 0 }, { BUFFER, 100, 0, 0 } } },
	{ "table of no length", { { TABLE, 0, IN_TABLE, 0 } }, { { BUFFER, 100, 0, 0 } } },
	{ "table longer than the ring",
	  { { TABLE, 16 * (SIZE + 1), IN_TABLE, 0 } },
	  { { BUFFER, 100, 0, 0 } } },
	{ "table of 4 GiB", { { TABLE, 0xfffffff0, IN_TABLE, 0 } }, { { BUFFER, 100, 0, 0 } } },
	{ "table outside memory", { { OUTSIDE, 32, IN_TABLE, 0 } } },
	{ "table across the end", { { OUTSIDE - 8, 16, IN_TABLE, 0 } } },
	{ "table and more",
	  { { TABLE, 16, IN_TABLE | NEXT, 1 }, { BUFFER, 100, 0, 0 } },
	  { { BUFFER, 100, 0, 0 } } },
	{ "table in a table",
	  { { TABLE, 32, IN_TABLE, 0 } },
	  { { TABLE, 32, IN_TABLE, 0 }, { BUFFER, 100, 0, 0 } } },
	{ "loop of one", { { BUFFER, 20, NEXT, 0 } }, { { 0 } }, true },
	{ "loop of two", { { BUFFER, 20, NEXT, 1 }, { BUFFER, 20, NEXT, 0 } }, { { 0 } }, true },
	{ "loop of nothing", { { BUFFER, 0, NEXT, 0 } }, { { 0 } }, true },
	{ "next out of range", { { BUFFER, 20, NEXT, 0xfff0 } }, { { 0 } }, true },
	{ "next just out of range", { { BUFFER, 20, NEXT, SIZE } }, { { 0 } }, true },
	{ "loop in a table",
	  { { TABLE, 32, IN_TABLE, 0 } },
	  { { BUFFER, 20, NEXT, 1 }, { BUFFER, 20, NEXT, 0 } },
	  true },
	{ "out of a table", { { TABLE, 16, IN_TABLE, 0 } }, { { BUFFER, 20, NEXT, 1 } }, true },
};

static void raw_put(struct ring_net *n, uint64_t gpa, const struct raw *raw, bool is_table)
{
	bool packed = n->driver.is_packed;

	put_le64(n->guest.at + gpa, raw->addr);
	put_le32(n->guest.at + gpa + 8, raw->len);
	put_le16(n->guest.at + gpa + 12, packed ? 0 : raw->flags);
	put_le16(n->guest.at + gpa + 14,
		 packed ? (uint16_t)(raw->flags | (is_table ? 0 : AVAIL)) : raw->next);
}

/* Puts the chain into a new ring and makes it available, past the driver that knows the rules. */
static void row_offer(struct ring_net *n, const struct row *row, uint16_t extra_flags)
{
	struct ring_driver *d = &n->driver;
	uint16_t count = 0;

	memset(n->guest.at + BUFFER, 0, KIB(128));
	for (uint64_t i = 0; i < DESCRIPTORS; i++)
		raw_put(n, TABLE + 16 * i, &row->table[i], true);
	do {
		struct raw raw = row->ring[count];

		raw.flags = (uint16_t)(raw.flags ^ extra_flags);
		raw_put(n, RING_DESC + 16ULL * count, &raw, false);
		d->id_count--;
		d->free_count--;
	} while ((row->ring[count++].flags & NEXT) != 0 && row->ring[count].addr != 0);
	d->taken[0] = count;
	for (uint16_t i = 0; i < count; i++)
		d->next[i] = (uint16_t)(i + 1);
	if (d->is_packed) {
		d->avail = count;
		return;
	}
	d->avail = 1;
	put_le16(n->guest.at + RING_DRIVER + 4, 0);
	put_le16(n->guest.at + RING_DRIVER + 2, 1);
}

static void given_back(struct ring_net *n)
{
	uint16_t id;
	uint32_t len;

	assert_true(ring_reap(&n->driver, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 0);
	assert_int_equal(n->ring.counters.bad_chains, 1);
	assert_null(n->ring.broken);
}

static void test_bad_chains_from_the_guest(void **state)
{
	for_each_kind(kind)
	{
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct ring_net *n = ring_net_create(SIZE, kind | INDIRECT);
			struct rte_mbuf *m;

			if (!rows[i].split_only || kind == SPLIT) {
				print_message("%s\n", rows[i].what);
				row_offer(n, &rows[i], 0);
				assert_int_equal(vring_dequeue(&n->ring, n->pool, &m, 1), 0);
				given_back(n);
				ring_send(n, 7, 100, NULL);
				ring_got(n, 7, 100);
			}
			ring_net_destroy(n);
		}
	}
}

static void test_tables_that_were_not_negotiated(void **state)
{
	static const struct row row = { "table",
					{ { TABLE, 16, IN_TABLE, 0 } },
					{ { BUFFER, 100, 0, 0 } } };

	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(SIZE, kind);
		struct rte_mbuf *m;

		row_offer(n, &row, 0);
		assert_int_equal(vring_dequeue(&n->ring, n->pool, &m, 1), 0);
		given_back(n);
		ring_net_destroy(n);
	}
}

/* The same rows the other way round; the frame goes into what follows them. */
static void test_bad_chains_to_the_guest(void **state)
{
	static const char *const fine[] = { "length overflows", "longer than any frame",
					    "header alone",	"header, then nothing",
					    "second outside",	"one of them to write",
					    "loop of one",	"loop of two",
					    "next out of range" };

	for_each_kind(kind)
	{
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct ring_net *n = ring_net_create(SIZE, kind | INDIRECT | MERGED);
			struct ring_piece p = { BUFFER + KIB(256), 200 };
			bool skip_it = rows[i].split_only && kind != SPLIT;
			uint16_t id;
			uint32_t len;

			/* What is bad further on than a frame of this length gets. */
			for (size_t k = 0; k < ARRAY_SIZE(fine); k++)
				skip_it |= strcmp(rows[i].what, fine[k]) == 0;
			if (!skip_it && rows[i].table[0].addr == 0) {
				print_message("%s\n", rows[i].what);
				row_offer(n, &rows[i], WRITE);
				ring_offer(&n->driver, &p, 1, true, RING_DIRECT);
				assert_true(ring_give(n, 3, 60));
				given_back(n);
				assert_true(ring_reap(&n->driver, &id, &len));
				assert_int_equal(len, RING_HEADER + 60);
				assert_true(
					ring_pattern_is(n->guest.at + p.gpa + RING_HEADER, 3, 60));
			}
			ring_net_destroy(n);
		}
	}
}

/* Between the parts of a frame a bad chain is a part of no bytes: nothing is left out of order. */
static void test_a_bad_chain_between_the_parts(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(SIZE, kind | MERGED);
		struct ring_piece pieces[] = { { BUFFER, 50 },
					       { OUTSIDE, 50 },
					       { BUFFER + 50, 50 } };
		static const uint32_t lens[] = { 50, 0, 22 };

		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
			ring_offer(&n->driver, &pieces[i], 1, true, RING_DIRECT);
		assert_true(ring_give(n, 3, 60));
		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
			uint16_t id;
			uint32_t len;

			assert_true(ring_reap(&n->driver, &id, &len));
			assert_int_equal(len, lens[i]);
		}
		assert_int_equal(get_le16(n->guest.at + BUFFER + 10), 3);
		assert_true(ring_pattern_is(n->guest.at + BUFFER + RING_HEADER, 3, 60));
		ring_net_destroy(n);
	}
}

static void is_broken(struct ring_net *n)
{
	struct rte_mbuf *m = ring_frame(n, 1, 60, 60), *got;
	struct vring_start s = { .place = ring_place(&n->driver),
				 .features = n->driver.features,
				 .base = vring_base(&n->ring),
				 .memory = &n->guest.memory };

	assert_non_null(n->ring.broken);
	/* It is left alone: no more is read, written or said. */
	assert_int_equal(vring_dequeue(&n->ring, n->pool, &got, 1), 0);
	assert_int_equal(vring_enqueue(&n->ring, &m, 1), 0);
	assert_int_equal(vring_available(&n->ring, 10), 0);
	assert_false(vring_wants_call(&n->ring));
	vring_want_kicks(&n->ring, true);
	rte_pktmbuf_free(m);
	/* Until somebody begins anew. */
	ring_driver_init(&n->driver, n->guest.at, SIZE, n->driver.features);
	s.base = 0x80008000;
	assert_int_equal(vring_start(&n->ring, &s, NULL), 0);
	assert_null(n->ring.broken);
	ring_send(n, 7, 100, NULL);
	ring_got(n, 7, 100);
}

static void test_split_rings_that_cannot_be(void **state)
{
	for (unsigned int turn = 0; turn < 6; turn++) {
		struct ring_net *n = ring_net_create(SIZE, MERGED);
		struct rte_mbuf *m = ring_frame(n, 1, 60, 60), *got;
		uint8_t *avail = n->guest.at + RING_DRIVER;

		put_le16(avail + 4, (uint16_t[]){ SIZE, 0xffff, 0, 0, 0, 0 }[turn]);
		put_le16(avail + 2, (uint16_t[]){ 1, 1, SIZE + 1, SIZE + 1, 0x8000, 0xffff }[turn]);
		if (turn % 2 == 0)
			assert_int_equal(vring_dequeue(&n->ring, n->pool, &got, 1), 0);
		else
			assert_int_equal(vring_enqueue(&n->ring, &m, 1), 0);
		rte_pktmbuf_free(m);
		is_broken(n);
		ring_net_destroy(n);
	}
}

/* Without an end, nobody can say where the next chain begins. */
static void test_packed_chains_without_an_end(void **state)
{
	for (unsigned int turn = 0; turn < 4; turn++) {
		struct ring_net *n = ring_net_create(SIZE, PACKED | INDIRECT | MERGED);
		struct raw raw = { turn < 2 ? BUFFER : OUTSIDE, 20, NEXT, 0 };
		struct rte_mbuf *m = ring_frame(n, 1, 3000, 60), *got;

		if (turn % 2 != 0)
			raw.flags |= WRITE;
		for (uint64_t i = 0; i < SIZE; i++)
			raw_put(n, RING_DESC + 16 * i, &raw, false);
		if (turn % 2 == 0)
			assert_int_equal(vring_dequeue(&n->ring, n->pool, &got, 1), 0);
		else
			assert_int_equal(vring_enqueue(&n->ring, &m, 1), 0);
		rte_pktmbuf_free(m);
		is_broken(n);
		ring_net_destroy(n);
	}
}

static void test_memory_that_is_taken_away(void **state)
{
	assert_int_equal(guest_memory_guard(), 0);
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(SIZE, kind);
		struct rte_mbuf *frames[4];

		ring_send(n, 30, 60, NULL);
		ring_send(n, 0, 60, NULL);
		/* What the first frame lies in goes, not the ring. */
		assert_int_equal(ftruncate(n->guest.fd, (off_t)(RING_BUFFERS + KIB(68))), 0);
		for (uint16_t got = vring_dequeue(&n->ring, n->pool, frames, 4); got > 0; got--)
			rte_pktmbuf_free(frames[got - 1]);
		assert_int_equal(vring_dequeue(&n->ring, n->pool, frames, 4), 0);
		assert_non_null(n->ring.broken);
		ring_net_destroy(n);
	}
}

/* Another vCPU of the guest, which writes over all of it while the device looks. */
struct scribbler {
	struct ring_net *n;
	atomic_bool is_over;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint8_t *at = s->n->guest.at;
	uint64_t x = 88172645463325252ULL;

	while (!s->is_over) {
		static const uint64_t addrs[] = { BUFFER, OUTSIDE - 8, MIB(4) - 8, UINT64_MAX,
						  TABLE };
		static const uint32_t lens[] = { 16, 60, 2000, 70000, UINT32_MAX, 0 };
		uint64_t desc;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		desc = (x & 1 ? RING_DESC : TABLE) + 16 * (x >> 8 & (SIZE - 1));
		*(volatile uint64_t *)(at + desc) = addrs[(x >> 16) % ARRAY_SIZE(addrs)];
		*(volatile uint32_t *)(at + desc + 8) = lens[(x >> 24) % ARRAY_SIZE(lens)];
		/* Links or flags, without and with it all. */
		if (x >> 63 != 0)
			*(volatile uint32_t *)(at + desc + 12) = (uint32_t)(x >> 32) & 0x8087001f;
		*(volatile uint32_t *)(at + BUFFER) = (uint32_t)x;
		*(volatile uint32_t *)(at + BUFFER + 4) = (uint32_t)(x >> 8);
	}
	return NULL;
}

static void scribbled_turn(struct ring_net *n, struct rte_mbuf *give)
{
	struct rte_mbuf *frames[8];
	uint16_t got = vring_dequeue(&n->ring, n->pool, frames, 8);

	for (uint16_t i = 0; i < got; i++) {
		assert_in_range(frames[i]->pkt_len, 1, VRING_MAX_FRAME);
		assert_int_equal(rte_mbuf_check(frames[i], 1, &(const char *){ NULL }), 0);
		if (frames[i]->ol_flags & RTE_MBUF_F_RX_LRO)
			assert_int_not_equal(frames[i]->tso_segsz, 0);
		rte_pktmbuf_free(frames[i]);
	}
	(void)vring_enqueue(&n->ring, &give, 1);
	(void)vring_available(&n->ring, 100);
	(void)vring_wants_call(&n->ring);
}

static void test_memory_that_changes_all_the_time(void **state)
{
	for_each_kind(kind)
	{
		struct ring_net *n = ring_net_create(SIZE, kind | INDIRECT | MERGED | EVENTS |
								   BIT_ULL(VIRTIO_NET_F_CSUM) |
								   BIT_ULL(VIRTIO_NET_F_HOST_TSO4));
		struct scribbler s = { .n = n };
		struct rte_mbuf *give = ring_frame(n, 1, 3000, 60);
		uint64_t end = now_ns() + 700000000;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
		while (now_ns() < end) {
			struct vring_start start = { .place = ring_place(&n->driver),
						     .features = n->driver.features,
						     .base = 0x80008000,
						     .memory = &n->guest.memory };

			assert_int_equal(vring_start(&n->ring, &start, NULL), 0);
			for (uint16_t i = 0; i < 200 && n->ring.broken == NULL; i++) {
				if (kind == SPLIT)
					put_le16(
						n->guest.at + RING_DRIVER + 2,
						(uint16_t)(get_le16(n->guest.at + RING_DEVICE + 2) +
							   3));
				scribbled_turn(n, give);
			}
		}
		s.is_over = true;
		pthread_join(thread, NULL);
		rte_pktmbuf_free(give);
		ring_net_destroy(n);
	}
}

/* The VMM shares the in-flight region: whatever it says is no more than a place in the ring. */
static void test_in_flight_regions_of_random_bytes(void **state)
{
	for_each_kind(kind)
	{
		size_t bytes = vring_inflight_bytes(SIZE, kind == PACKED);
		struct ring_net *n = ring_net_create(SIZE, kind);
		uint8_t *region = aligned_alloc(64, bytes); /* its end is known to the sanitizer */

		for (unsigned int turn = 0; turn < 20000; turn++) {
			struct vring_start s = { .place = ring_place(&n->driver),
						 .features = n->driver.features,
						 .base = (uint32_t)random(),
						 .inflight = region,
						 .memory = &n->guest.memory };
			struct rte_mbuf *m;

			for (size_t i = 0; i < bytes; i++)
				region[i] = (uint8_t)random();
			/* Often with a word that is taken for its own. */
			if (turn % 2 != 0) {
				put_le16(region + 10, SIZE);
				put_le16(region + 16, (uint16_t)(random() % (2 * SIZE)));
				put_le16(region + 18, (uint16_t)(random() % (2 * SIZE)));
			}
			for (size_t i = 0; i < SIZE * 16; i += 16)
				n->guest.at[RING_DESC + i + 14] = (uint8_t)random();
			assert_int_equal(vring_start(&n->ring, &s, NULL), 0);
			if (kind == PACKED)
				assert_in_range(vring_base(&n->ring) & 0x7fff, 0, SIZE - 1);
			if (vring_dequeue(&n->ring, n->pool, &m, 1) == 1)
				rte_pktmbuf_free(m);
		}
		free(region);
		ring_net_destroy(n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_chains_from_the_guest),
		cmocka_unit_test(test_tables_that_were_not_negotiated),
		cmocka_unit_test(test_bad_chains_to_the_guest),
		cmocka_unit_test(test_a_bad_chain_between_the_parts),
		cmocka_unit_test(test_split_rings_that_cannot_be),
		cmocka_unit_test(test_packed_chains_without_an_end),
		cmocka_unit_test(test_memory_that_is_taken_away),
		cmocka_unit_test(test_memory_that_changes_all_the_time),
		cmocka_unit_test(test_in_flight_regions_of_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
/* What is marked is exactly what was written, page for page. */
#include "ring_net.h"

#include "pmd-backends/vring_look.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGES	  (GUEST_BYTES / DIRTY_PAGE)
#define LOG_BYTES 4096U /* far more than the guest has pages */
#define LOG_AT	  136U /* in its file */
#define FAR_AWAY  0x5000000ULL /* where no guest has memory, but the log has bits */
#define PIECES	  5U
#define BUFFERS	  (GUEST_BYTES - RING_BUFFERS)

struct book {
	struct ring_net *n;
	struct dirty_log log;
	uint8_t *bits; /* the VMM's view of it */
	bool want[LOG_BYTES * 8];
	struct ring_piece pieces[RING_MAX][PIECES];
	uint32_t counts[RING_MAX];
	uint64_t seed;
};

static uint64_t chance(struct book *b, uint64_t n)
{
	b->seed = b->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (b->seed >> 33) % n;
}

static void log_make(struct book *b)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t *file;

	assert_int_equal(ftruncate(fd, 2 * LOG_BYTES), 0);
	file = mmap(NULL, 2 * LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	assert_int_equal(dirty_log_map(&b->log, fd, LOG_AT, LOG_BYTES, NULL), 0);
	b->bits = file + LOG_AT;
	close(fd);
}

static void marks_start(struct book *b, struct vring_marks marks)
{
	const struct vring_start s = { .place = ring_place(&b->n->driver),
				       .features = b->n->driver.features,
				       .base = 0x80008000,
				       .memory = &b->n->guest.memory,
				       .marks = marks };

	assert_int_equal(vring_start(&b->n->ring, &s, NULL), 0);
	memset(b->bits, 0, LOG_BYTES);
}

static struct book *book_open(uint64_t features)
{
	struct book *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->n = ring_net_create(64, features);
	b->seed = features + 1;
	log_make(b);
	marks_start(b, (struct vring_marks){ &b->log, true, true, RING_DEVICE });
	return b;
}

static void book_close(struct book *b)
{
	dirty_log_unmap(&b->log);
	munmap(b->bits - LOG_AT, 2 * LOG_BYTES);
	ring_net_destroy(b->n);
	free(b);
}

static void want(struct book *b, uint64_t gpa, uint64_t len)
{
	for (uint64_t at = gpa; at < gpa + len; at++)
		b->want[at / DIRTY_PAGE] = true;
}

/* The pages marked since the last time: these and no others. In front of and behind the log nothing ever changes. */
static void book_check(struct book *b)
{
	for (uint64_t page = 0; page < LOG_BYTES * 8; page++) {
		bool is_marked = (b->bits[page / 8] & 1U << page % 8) != 0;

		if (is_marked != b->want[page])
			fail_msg("page %llu is %s", (unsigned long long)page,
				 is_marked ? "marked" : "not marked");
	}
	for (unsigned int i = 0; i < LOG_AT; i++)
		assert_int_equal(b->bits[(int)i - (int)LOG_AT] | b->bits[LOG_BYTES + i], 0);
	memset(b->bits, 0, LOG_BYTES);
	memset(b->want, 0, sizeof(b->want));
}

/* A chain of pieces that lie anywhere, across pages and across the seam of the guest's memory. */
static bool chain_offer(struct book *b, uint32_t least, enum ring_way way)
{
	struct ring_piece pieces[PIECES];
	uint32_t count = (uint32_t)(1 + chance(b, PIECES)), sum = 0;
	int id;

	for (uint32_t i = 0; i < count; i++) {
		pieces[i].len = (uint32_t)(1 + chance(b, 5000));
		if (i + 1 == count && sum + pieces[i].len < least)
			pieces[i].len = least - sum;
		sum += pieces[i].len;
		pieces[i].gpa = RING_BUFFERS + chance(b, BUFFERS - pieces[i].len);
	}
	/* One in eight across the seam, so that every way through it is gone. */
	if (chance(b, 8) == 0)
		pieces[0].gpa = MIB(4) - pieces[0].len / 2;
	id = ring_offer(&b->n->driver, pieces, count, true, way);
	if (id < 0)
		return false;
	memcpy(b->pieces[id], pieces, sizeof(pieces));
	b->counts[id] = count;
	return true;
}

/* What the driver finds used has been written. */
static uint32_t written_want(struct book *b)
{
	uint32_t len, chains = 0;
	uint16_t id;

	while (ring_reap(&b->n->driver, &id, &len)) {
		chains++;
		for (uint32_t i = 0; i < b->counts[id] && len > 0; i++) {
			uint32_t part = (uint32_t)u64_min(len, b->pieces[id][i].len);

			want(b, b->pieces[id][i].gpa, part);
			len -= part;
		}
	}
	return chains;
}

static void ring_want(struct book *b)
{
	if (b->n->driver.is_packed)
		want(b, RING_DESC, 16ULL * b->n->driver.size);
	else
		want(b, RING_DEVICE, 6 + 8ULL * b->n->driver.size);
}

static void to_the_guest(uint64_t features, enum ring_way way)
{
	struct book *b = book_open(features);
	bool is_merged = (features & MERGED) != 0;

	for (uint64_t seq = 0; seq < 1500; seq++) {
		uint32_t len = (uint32_t)(1 + chance(b, is_merged ? 20000 : 1500));

		while (chain_offer(b, RING_HEADER + (is_merged ? 1 : 1500), way))
			;
		assert_true(ring_give(b->n, seq, len));
		assert_true(written_want(b) > 0);
		ring_want(b);
		book_check(b);
	}
	assert_int_equal(b->n->ring.counters.unfit + b->n->ring.counters.bad_chains, 0);
	book_close(b);
}

static void test_frames_to_the_guest(void **state)
{
	for_each_kind(kind)
	{
		to_the_guest(kind | MERGED, RING_DIRECT);
		to_the_guest(kind | INDIRECT, RING_INDIRECT);
		to_the_guest(kind | MERGED | INDIRECT | EVENTS, RING_INDIRECT);
	}
}

/* The guest's own pages are not written, the ring is. */
static void test_frames_from_the_guest(void **state)
{
	for_each_kind(kind)
	{
		struct book *b = book_open(kind | EVENTS);

		for (uint64_t seq = 0; seq < 500; seq++) {
			uint16_t id;
			uint32_t len;

			assert_true(ring_send(b->n, seq, 1000, NULL) >= 0);
			ring_got(b->n, seq, 1000);
			assert_true(ring_reap(&b->n->driver, &id, &len));
			ring_want(b);
			book_check(b);
		}
		book_close(b);
	}
}

/* A frame that finds no room, and one that no buffer holds: the bytes in buffers that go back to the driver changed, too. */
static void test_frames_that_come_to_nothing(void **state)
{
	for_each_kind(kind)
	{
		struct book *b = book_open(kind | MERGED);
		struct ring_piece small = { MIB(2) + 100, 2000 };

		assert_true(ring_offer(&b->n->driver, &small, 1, true, RING_DIRECT) >= 0);
		assert_false(ring_give(b->n, 1, 3000));
		assert_int_equal(
			b->bits[small.gpa / DIRTY_PAGE / 8] >> small.gpa / DIRTY_PAGE % 8 & 1, 1);
		book_close(b);

		b = book_open(kind);
		small.gpa += DIRTY_PAGE;
		assert_true(ring_offer(&b->n->driver, &small, 1, true, RING_DIRECT) >= 0);
		assert_true(ring_give(b->n, 1, 3000));
		want(b, small.gpa, small.len);
		ring_want(b);
		book_check(b);
		book_close(b);
	}
}

static void test_words_to_the_driver(void **state)
{
	for_each_kind(kind)
	{
		struct book *b = book_open(kind | EVENTS);

		for (unsigned int i = 0; i < 4; i++) {
			vring_want_kicks(&b->n->ring, i % 2 == 0);
			want(b, RING_DEVICE, 4);
			book_check(b);
		}
		book_close(b);
	}
}

/* Each kind of mark alone, or in a place that the VMM chose. */
static void test_what_is_wished(void **state)
{
	for_each_kind(kind)
	{
		struct book *b = book_open(kind | MERGED);
		const struct vring_marks wishes[] = {
			{ &b->log, false, false, 0 },
			{ &b->log, true, false, 0 },
			{ &b->log, false, true, FAR_AWAY + 4094 },
		};

		for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
			bool is_split = kind == SPLIT;

			marks_start(b, wishes[i]);
			ring_driver_init(&b->n->driver, b->n->guest.at, 64, kind | MERGED);
			marks_start(b, wishes[i]);
			assert_true(chain_offer(b, 2000, RING_DIRECT));
			assert_true(ring_give(b->n, i, 800));
			assert_int_equal(written_want(b), 1);
			if (!wishes[i].buffers)
				memset(b->want, 0, sizeof(b->want));
			if (!is_split && i > 0)
				ring_want(b);
			/* Index at 2 and the first entry from 4 on lie behind a page's end there. */
			if (is_split && wishes[i].device)
				want(b, FAR_AWAY + 4096, 10);
			book_check(b);
		}
		book_close(b);
	}
}

static void test_a_place_behind_the_end_of_the_log(void **state)
{
	for_each_kind(kind)
	{
		struct book *b = book_open(kind);
		uint64_t end = LOG_BYTES * 8ULL * DIRTY_PAGE;
		uint64_t bytes = kind == SPLIT ? 6 + 8 * 64 : 4;
		const uint64_t bad[] = { end - bytes + 1, end, UINT64_MAX - 1, UINT64_MAX };
		struct vring_start s = { .place = ring_place(&b->n->driver),
					 .features = b->n->driver.features,
					 .memory = &b->n->guest.memory,
					 .marks = { &b->log, true, true, end - bytes } };

		assert_int_equal(vring_start(&b->n->ring, &s, NULL), 0);
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			struct err e = { 0 };

			s.marks.device_at = bad[i];
			assert_int_equal(vring_start(&b->n->ring, &s, &e), -EINVAL);
			assert_non_null(strstr(e.text, "behind its end"));
		}
		book_close(b);
	}
}

/* The short way marks nothing, so it finds nothing in such a ring. */
static void test_no_short_way(void **state)
{
	struct book *b = book_open(SPLIT);
	struct vring_look l;

	assert_true(ring_send(b->n, 1, 100, NULL) >= 0);
	assert_false(vring_look_begin(&l, &b->n->ring, true));
	ring_got(b->n, 1, 100);
	marks_start(b, (struct vring_marks){ &b->log, false, false, 0 });
	assert_true(vring_look_begin(&l, &b->n->ring, true));
	book_close(b);
}

static void test_ranges(void **state)
{
	struct book *b = book_open(SPLIT);
	uint64_t end = LOG_BYTES * 8ULL * DIRTY_PAGE;

	for (unsigned int i = 0; i < 3000; i++) {
		uint64_t gpa = chance(b, MIB(40)), len = 1 + chance(b, i % 3 == 0 ? 10 : 200000);

		dirty_log_mark(&b->log, gpa, len);
		want(b, gpa, len);
		book_check(b);
	}
	dirty_log_mark(&b->log, end - 1, 5000);
	dirty_log_mark(&b->log, end, 1);
	dirty_log_mark(&b->log, UINT64_MAX, 1);
	want(b, end - 1, 1);
	book_check(b);
	assert_true(dirty_log_covers(&b->log, end - 1, 1));
	assert_true(dirty_log_covers(&b->log, 0, end));
	assert_false(dirty_log_covers(&b->log, end - 1, 2));
	assert_false(dirty_log_covers(&b->log, 1, UINT64_MAX));
	book_close(b);
}

static void test_all_of_a_guest(void **state)
{
	struct book *b = book_open(SPLIT);

	for (unsigned int i = 0; i < 300; i++) {
		struct guest_memory guest = { .count = 2 };

		for (unsigned int k = 0; k < 2; k++) {
			struct guest_region *r = &guest.regions[k];

			r->gpa = DIRTY_PAGE * (k * 1000 + chance(b, 500));
			r->size = DIRTY_PAGE * (1 + chance(b, i % 2 == 0 ? 20 : 400));
			want(b, r->gpa, r->size);
		}
		for (struct dirty_fill fill = DIRTY_FILL_START; fill.is_due;)
			dirty_log_fill(&b->log, &guest, &fill);
		book_check(b);
	}
	book_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_to_the_guest),
		cmocka_unit_test(test_frames_from_the_guest),
		cmocka_unit_test(test_frames_that_come_to_nothing),
		cmocka_unit_test(test_words_to_the_driver),
		cmocka_unit_test(test_what_is_wished),
		cmocka_unit_test(test_a_place_behind_the_end_of_the_log),
		cmocka_unit_test(test_no_short_way),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_all_of_a_guest),
	};

	return cmocka_run_group_tests_name("pmd-dirty-log", tests, NULL, NULL);
}

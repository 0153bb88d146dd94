// SPDX-License-Identifier: BSD-3-Clause
#include "../../fake/ring_driver.h"

#include "pmd-backends/block_request.h"
#include "pmd-backends/vring_core.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SIZE   256U
#define SEAM   MIB(4)
#define HEADER RING_BUFFERS
#define STATUS (RING_BUFFERS + 0x100)
#define DATA   (RING_BUFFERS + 0x1000)

static struct {
	struct ring_guest g;
	struct vring ring;
	struct block_file file;
	struct block_request q;
	unsigned int descs;
} t;

static int setup(void **state)
{
	struct ring_driver d;
	struct vring_start start;

	memset(&t, 0, sizeof(t));
	ring_guest_create(&t.g, SEAM);
	ring_driver_init(&d, t.g.at, SIZE, BIT_ULL(VIRTIO_F_VERSION_1));
	start = (struct vring_start){ .place = ring_place(&d),
				      .features = BIT_ULL(VIRTIO_F_VERSION_1) |
						  BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
				      .memory = &t.g.memory };
	assert_int_equal(vring_start(&t.ring, &start, NULL), 0);
	t.file = (struct block_file){ .size = MIB(1), .block_size = 512, .align = 512 };
	return 0;
}

static int teardown(void **state)
{
	ring_guest_destroy(&t.g);
	return 0;
}

static void header(uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr h = { type, 0, sector };

	memcpy(t.g.at + HEADER, &h, sizeof(h));
}

static void desc(uint64_t gpa, uint32_t len, uint16_t flags)
{
	uint8_t *p = t.g.at + RING_DESC + t.descs * DESC_BYTES;

	put_le64(p, gpa);
	put_le32(p + 8, len);
	put_le16(p + 12, flags);
	put_le16(p + 14, (uint16_t)++t.descs);
}

static int read_chain(void)
{
	struct vring_chain c = chain_at(&t.ring, 0, 0);

	c.turns = true;
	return block_request_read(&t.q, &c, &t.file);
}

/* Header, data, status, each in one descriptor; len 0: no data. */
static int request(uint32_t type, uint64_t sector, uint32_t len, bool to_guest)
{
	t.descs = 0;
	header(type, sector);
	desc(HEADER, 16, DESC_NEXT);
	if (len > 0)
		desc(DATA, len, (uint16_t)(DESC_NEXT | (to_guest ? DESC_WRITE : 0)));
	desc(STATUS, 1, DESC_WRITE);
	return read_chain();
}

static void refused(uint8_t status)
{
	assert_int_equal(t.q.kind, BLOCK_NOTHING);
	assert_int_equal(t.q.status, status);
	assert_ptr_equal(t.q.status_at, t.g.memory.regions[0].at + STATUS);
}

static void test_read_and_write(void **state)
{
	assert_int_equal(request(VIRTIO_BLK_T_IN, 8, 4096, true), 0);
	assert_int_equal(t.q.kind, BLOCK_READ);
	assert_int_equal(t.q.offset, 4096);
	assert_int_equal(t.q.len, 4096);
	assert_int_equal(t.q.written, 4097);
	assert_int_equal(t.q.iov_count, 1);
	assert_true(t.q.is_aligned);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 2047, 512, false), 0);
	assert_int_equal(t.q.kind, BLOCK_WRITE);
	assert_int_equal(t.q.written, 1);
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 0, false), 0);
	refused(VIRTIO_BLK_S_OK);
}

static void test_layouts(void **state)
{
	/* 2.7.4: no assumption about where one part ends: header in two pieces, with data behind it; status behind data. */
	header(VIRTIO_BLK_T_OUT, 1);
	desc(HEADER, 10, DESC_NEXT);
	desc(HEADER + 10, 6 + 512, DESC_NEXT);
	desc(STATUS, 1, DESC_WRITE);
	assert_int_equal(read_chain(), 0);
	assert_int_equal(t.q.kind, BLOCK_WRITE);
	assert_int_equal(t.q.len, 512);
	t.descs = 0;
	header(VIRTIO_BLK_T_IN, 1);
	desc(HEADER, 16, DESC_NEXT);
	desc(DATA, 513, DESC_WRITE);
	assert_int_equal(read_chain(), 0);
	assert_int_equal(t.q.len, 512);
	assert_ptr_equal(t.q.status_at, t.g.memory.regions[0].at + DATA + 512);
	/* Across two regions of memory: two pieces. */
	t.descs = 0;
	desc(HEADER, 16, DESC_NEXT);
	desc(SEAM - 256, 512, DESC_NEXT | DESC_WRITE);
	desc(STATUS, 1, DESC_WRITE);
	assert_int_equal(read_chain(), 0);
	assert_int_equal(t.q.iov_count, 2);
	assert_false(t.q.is_aligned);
}

static void test_no_request(void **state)
{
	header(VIRTIO_BLK_T_IN, 0);
	desc(HEADER, 16, 0);
	assert_int_equal(read_chain(), -EBADMSG);
	t.descs = 0;
	desc(HEADER, 15, DESC_NEXT);
	desc(STATUS, 1, DESC_WRITE);
	assert_int_equal(read_chain(), -EBADMSG);
	t.descs = 0;
	desc(STATUS, 1, DESC_WRITE | DESC_NEXT);
	desc(HEADER, 16, 0);
	assert_int_equal(read_chain(), -EBADMSG);
	t.descs = 0;
	desc(HEADER, 16, DESC_NEXT);
	desc(GUEST_BYTES - 1, 2, DESC_WRITE);
	assert_int_equal(read_chain(), -EBADMSG);
}

/* No driver makes what SEG_MAX forbids; who does has it read no further than a request could be. */
static void test_a_chain_is_read_no_further_than_a_request_goes(void **state)
{
	header(VIRTIO_BLK_T_IN, 0);
	desc(HEADER, 16, DESC_NEXT);
	while (t.descs < SIZE - 1)
		desc(DATA, 512, DESC_WRITE | DESC_NEXT);
	desc(STATUS, 1, DESC_WRITE);
	assert_int_equal(read_chain(), -EBADMSG);
	assert_int_equal(t.q.steps, 1 + BLOCK_IOVS + 1);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 512, true), 0);
	assert_int_equal(t.q.steps, 3);
}

static void test_bounds(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} bad[] = {
		{ 2048, 512 }, { 2047, 1024 }, { UINT64_MAX, 512 }, { 1ULL << 55, 512 }, { 0, 511 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(request(VIRTIO_BLK_T_IN, bad[i].sector, bad[i].len, true), 0);
		refused(VIRTIO_BLK_S_IOERR);
	}
	t.file.block_size = 4096;
	assert_int_equal(request(VIRTIO_BLK_T_IN, 1, 512, true), 0);
	refused(VIRTIO_BLK_S_IOERR);
}

/* With descriptors that name the same memory again and again, a guest can ask for any sum. */
static void test_a_request_moves_so_much_and_no_more(void **state)
{
	static const struct {
		unsigned int pieces;
		enum block_kind kind;
	} cases[] = { { 31, BLOCK_READ }, { 32, BLOCK_NOTHING } };

	t.file.size = GIB(1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t.descs = 0;
		header(VIRTIO_BLK_T_IN, 0);
		desc(HEADER, 16, DESC_NEXT);
		for (unsigned int k = 0; k < cases[i].pieces; k++)
			desc(SEAM, MIB(4), DESC_NEXT | DESC_WRITE);
		desc(STATUS, 1, DESC_WRITE);
		assert_int_equal(read_chain(), 0);
		assert_int_equal(t.q.kind, cases[i].kind);
		assert_int_equal(t.q.len, cases[i].kind == BLOCK_READ ? 31 * MIB(4) : 0);
	}
	refused(VIRTIO_BLK_S_IOERR);
}

static void test_kinds(void **state)
{
	assert_int_equal(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), 0);
	assert_int_equal(t.q.kind, BLOCK_FLUSH);
	assert_int_equal(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), 0);
	assert_int_equal(t.q.kind, BLOCK_ID);
	assert_int_equal(t.q.len, 20);
	assert_int_equal(request(77, 0, 512, true), 0);
	refused(VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(VIRTIO_BLK_T_IN, 0, 512, false), 0);
	refused(VIRTIO_BLK_S_IOERR);
	t.file.is_readonly = true;
	assert_int_equal(request(VIRTIO_BLK_T_OUT, 0, 512, false), 0);
	refused(VIRTIO_BLK_S_IOERR);
}

static void ranges_put(uint64_t sector, uint32_t sectors, uint32_t flags)
{
	put_le64(t.g.at + DATA, sector);
	put_le32(t.g.at + DATA + 8, sectors);
	put_le32(t.g.at + DATA + 12, flags);
}

static void test_ranges(void **state)
{
	ranges_put(8, 16, 1);
	assert_int_equal(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false), 0);
	assert_int_equal(t.q.kind, BLOCK_ZEROES);
	assert_int_equal(t.q.range_count, 1);
	assert_int_equal(t.q.ranges[0].offset, 4096);
	assert_int_equal(t.q.ranges[0].len, 8192);
	assert_true(t.q.ranges[0].unmap);
	/* Zeroes are written, perhaps: they count like data. A discard never is. */
	assert_int_equal(t.q.len, 8192);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 16, false), 0);
	refused(VIRTIO_BLK_S_UNSUPP);
	ranges_put(8, 16, 0);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 16, false), 0);
	assert_int_equal(t.q.kind, BLOCK_DISCARD);
	assert_int_equal(t.q.len, 0);
	ranges_put(2040, 9, 0);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 16, false), 0);
	refused(VIRTIO_BLK_S_IOERR);
	ranges_put(0, 8, 0);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 15, false), 0);
	refused(VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(VIRTIO_BLK_T_DISCARD, 0, 17 * 16, false), 0);
	refused(VIRTIO_BLK_S_IOERR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_read_and_write), T(test_layouts),
		T(test_no_request),	T(test_a_chain_is_read_no_further_than_a_request_goes),
		T(test_bounds),		T(test_kinds),
		T(test_ranges),		T(test_a_request_moves_so_much_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
/* The test is the worker and the kernel: what is asked of the ring is looked at, and answered. */
#include "pmd-backends/block_io.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define FLIGHTS 24
#define LARGE	MIB(20)

static struct {
	struct block_file file;
	struct block_io io;
	struct block_flight flights[FLIGHTS];
	uint8_t status[FLIGHTS];
	struct io_uring_sqe sqes[64];
	struct block_op *ops[64];
	unsigned int asked;
	uint8_t *data;
} t;

struct io_uring_sqe *block_worker_sqe(struct block_worker *w, struct block_op *op)
{
	assert_true(t.asked < ARRAY_SIZE(t.sqes));
	t.ops[t.asked] = op;
	memset(&t.sqes[t.asked], 0, sizeof(t.sqes[0]));
	return &t.sqes[t.asked++];
}

void block_worker_count(struct block_worker *w, int change)
{
}

static void done(struct block_io *io, struct block_flight *f)
{
	assert_int_not_equal(*f->q.status_at, 0xff);
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.file = (struct block_file){ .fd = -1, .size = MIB(64), .block_size = 512, .align = 1 };
	t.io = (struct block_io){ .file = &t.file, .done = done };
	t.data = malloc(LARGE);
	assert_non_null(t.data);
	for (size_t i = 0; i < LARGE; i++)
		t.data[i] = (uint8_t)(i >> 9 ^ i >> 17);
	return 0;
}

static int teardown(void **state)
{
	fd_close(&t.file.fd);
	free(t.data);
	return 0;
}

static struct block_request *request(unsigned int i, enum block_kind kind)
{
	struct block_request *q = &t.flights[i].q;

	t.flights[i].io = &t.io;
	t.status[i] = 0xff;
	*q = (struct block_request){ .kind = kind, .status_at = &t.status[i], .is_aligned = true };
	return q;
}

static void rw(unsigned int i, enum block_kind kind, uint8_t *data, uint64_t len)
{
	struct block_request *q = request(i, kind);

	q->len = len;
	q->iov[q->iov_count++] = (struct iovec){ data, len / 2 };
	q->iov[q->iov_count++] = (struct iovec){ data + len / 2, len - len / 2 };
	block_io_begin(&t.flights[i]);
}

static void zeroes(void)
{
	struct block_request *q = request(0, BLOCK_ZEROES);

	q->ranges[q->range_count++] = (struct block_range){ 4096, 8192, true };
	block_io_begin(&t.flights[0]);
}

static void flush(void)
{
	(void)request(0, BLOCK_FLUSH);
	block_io_begin(&t.flights[0]);
}

/* The kernel answers what it was asked last. */
static void answer(int32_t result)
{
	struct block_op *op = t.ops[t.asked - 1];

	op->done(op, result);
}

static void asked(unsigned int count, uint8_t opcode)
{
	assert_int_equal(t.asked, count);
	assert_int_equal(t.sqes[count - 1].opcode, opcode);
}

/* A driver that knows no flush has been promised the medium. */
static void test_without_flush_writes_go_to_the_medium(void **state)
{
	t.io.is_writethrough = true;
	rw(0, BLOCK_WRITE, t.data, 8192);
	asked(1, IORING_OP_WRITEV);
	assert_int_equal(t.sqes[0].rw_flags, RWF_DSYNC);
	answer(4096);
	asked(2, IORING_OP_WRITE);
	assert_int_equal(t.sqes[1].rw_flags, RWF_DSYNC);
	assert_int_equal(t.status[0], 0xff);
	answer(4096);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
	rw(0, BLOCK_READ, t.data, 8192);
	assert_int_equal(t.sqes[2].rw_flags, 0);
	answer(8192);
	t.io.is_writethrough = false;
	rw(0, BLOCK_WRITE, t.data, 8192);
	assert_int_equal(t.sqes[3].rw_flags, 0);
	answer(8192);
}

static void test_without_flush_zeroes_go_to_the_medium(void **state)
{
	t.io.is_writethrough = true;
	zeroes();
	asked(1, IORING_OP_FALLOCATE);
	assert_int_equal(t.sqes[0].len, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE);
	answer(0);
	asked(2, IORING_OP_FSYNC);
	assert_int_equal(t.sqes[1].fsync_flags, IORING_FSYNC_DATASYNC);
	assert_int_equal(t.status[0], 0xff);
	answer(0);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
	t.io.is_writethrough = false;
	zeroes();
	asked(3, IORING_OP_FALLOCATE);
	answer(0);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
}

/* What a cache lost cannot be flushed later, whoever found out. */
static void test_a_cache_that_failed_fails_each_flush(void **state)
{
	for (unsigned int way = 0; way < 2; way++) {
		t.asked = 0;
		t.io.flush_failed = false;
		t.io.is_writethrough = way == 1;
		if (way == 1) {
			zeroes();
			answer(0);
		} else {
			flush();
		}
		asked(way + 1, IORING_OP_FSYNC);
		answer(-EIO);
		assert_int_equal(t.status[0], VIRTIO_BLK_S_IOERR);
		flush();
		flush();
		assert_int_equal(t.status[0], VIRTIO_BLK_S_IOERR);
		assert_int_equal(t.asked, way + 1);
	}
}

static void test_a_device_that_failed_is_asked_again(void **state)
{
	t.file.is_direct = true;
	flush();
	answer(-EIO);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_IOERR);
	flush();
	asked(2, IORING_OP_FSYNC);
	answer(0);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
}

/* One whole round of requests, `count` of them at once in the kernel and the others behind, in their order. */
static void all_pass(enum block_kind kind, uint32_t count)
{
	t.asked = 0;
	for (unsigned int i = 0; i < FLIGHTS; i++) {
		struct block_request *q = request(i, kind);

		q->len = 4096;
		q->offset = 4096 * i;
		q->iov[q->iov_count++] = (struct iovec){ t.data + 4096 * i, 4096 };
		block_io_begin(&t.flights[i]);
	}
	assert_int_equal(t.asked, count);
	for (unsigned int i = 0; i < FLIGHTS; i++) {
		assert_int_equal(t.status[i], 0xff);
		assert_ptr_equal(t.ops[i], &t.flights[i].op);
		t.ops[i]->done(t.ops[i], kind == BLOCK_FLUSH ? 0 : 4096);
		assert_int_equal(t.status[i], VIRTIO_BLK_S_OK);
		assert_int_equal(t.asked, u64_min(count + i + 1, FLIGHTS));
	}
}

/* Threads of the kernel's are for all disks: with storage that hangs, no disk has more than its part of them. */
static void test_what_takes_a_thread_waits_in_the_disk(void **state)
{
	all_pass(BLOCK_FLUSH, BLOCK_BY_THREAD);
	all_pass(BLOCK_WRITE, BLOCK_BY_THREAD);
	all_pass(BLOCK_READ, FLIGHTS);
	t.file.always_waits = true;
	all_pass(BLOCK_READ, BLOCK_BY_THREAD);
	t.file = (struct block_file){ .fd = -1, .size = MIB(64), .align = 1, .is_direct = true };
	all_pass(BLOCK_WRITE, FLIGHTS);
}

/* What waits and then cannot be asked for fails by itself, and the next is asked for. */
static void test_what_waits_and_fails_keeps_no_other_waiting(void **state)
{
	for (unsigned int i = 0; i < BLOCK_BY_THREAD + 2; i++) {
		(void)request(i, BLOCK_FLUSH);
		block_io_begin(&t.flights[i]);
	}
	t.io.flush_failed = true;
	t.ops[0]->done(t.ops[0], 0);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
	assert_int_equal(t.status[BLOCK_BY_THREAD], VIRTIO_BLK_S_IOERR);
	assert_int_equal(t.status[BLOCK_BY_THREAD + 1], VIRTIO_BLK_S_IOERR);
}

static void memory_file(void)
{
	t.file.fd = memfd_create("image", MFD_CLOEXEC);
	assert_int_equal(ftruncate(t.file.fd, (off_t)t.file.size), 0);
	t.file.is_memory = true;
}

static unsigned int rounds_until(const uint8_t *status)
{
	unsigned int n = 0;

	for (; *status == 0xff; n++)
		assert_int_not_equal(block_io_round(&t.io), 0);
	return n;
}

/* A guest's large requests, or many, leave the worker to others in between; and its own small one passes. */
static void test_a_round_copies_so_much_and_no_more(void **state)
{
	uint8_t *back = malloc(LARGE), small[512];

	memory_file();
	rw(0, BLOCK_WRITE, t.data, LARGE);
	(void)block_io_round(&t.io);
	rw(1, BLOCK_READ, small, sizeof(small));
	assert_int_equal(t.status[1], 0xff);
	assert_int_equal(rounds_until(&t.status[1]), 1);
	assert_int_equal(t.status[0], 0xff);
	assert_memory_equal(small, t.data, sizeof(small));
	assert_int_equal(rounds_until(&t.status[0]), 1);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
	rw(0, BLOCK_READ, back, LARGE);
	assert_in_range(rounds_until(&t.status[0]), 1, 3);
	assert_memory_equal(back, t.data, LARGE);
	/* With nothing before it, a request is done at once. */
	(void)block_io_round(&t.io);
	rw(1, BLOCK_READ, small, sizeof(small));
	assert_int_equal(t.status[1], VIRTIO_BLK_S_OK);
	assert_int_equal(t.asked, 0);
	free(back);
}

static void test_a_file_in_memory_by_a_buffer_of_ours(void **state)
{
	uint8_t *back = malloc(LARGE);

	memory_file();
	for (unsigned int i = 0; i < 2; i++) {
		struct block_request *q = request(0, i == 0 ? BLOCK_WRITE : BLOCK_READ);

		q->len = LARGE - 512;
		q->is_aligned = false;
		q->iov[q->iov_count++] = (struct iovec){ (i == 0 ? t.data : back) + 1, q->len };
		block_io_begin(&t.flights[0]);
		assert_in_range(rounds_until(&t.status[0]), 2, 3);
		assert_int_equal(t.status[0], VIRTIO_BLK_S_OK);
	}
	assert_memory_equal(back + 1, t.data + 1, LARGE - 512);
	/* The image was made shorter behind our back. */
	assert_int_equal(ftruncate(t.file.fd, MIB(10)), 0);
	rw(0, BLOCK_READ, back, LARGE);
	assert_in_range(rounds_until(&t.status[0]), 1, 2);
	assert_int_equal(t.status[0], VIRTIO_BLK_S_IOERR);
	free(back);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_without_flush_writes_go_to_the_medium),
		T(test_without_flush_zeroes_go_to_the_medium),
		T(test_a_cache_that_failed_fails_each_flush),
		T(test_a_device_that_failed_is_asked_again),
		T(test_what_takes_a_thread_waits_in_the_disk),
		T(test_what_waits_and_fails_keeps_no_other_waiting),
		T(test_a_round_copies_so_much_and_no_more),
		T(test_a_file_in_memory_by_a_buffer_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

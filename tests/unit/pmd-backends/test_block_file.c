// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_config.h"
#include "pmd-backends/block_file.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/viaduct-block-XXXXXX";

static int setup(void **state)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	return close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static int take(struct block_file *f, int flags, bool readonly, struct err *e)
{
	int fd = open(path, flags | O_CLOEXEC), r;

	assert_true(fd >= 0);
	f->fd = -1;
	r = block_file_take(f, &fd, readonly, e);
	assert_int_equal(fd < 0, r == 0);
	fd_close(&fd);
	return r;
}

static void test_what_it_is(void **state)
{
	struct block_file f;
	struct err e = { 0 };

	assert_int_equal(take(&f, O_RDWR, false, &e), 0);
	assert_int_equal(f.size, 1 << 20);
	assert_int_equal(f.align, 1);
	assert_false(f.is_direct || f.is_device);
	block_file_close(&f);
	assert_int_equal(f.fd, -1);
	assert_int_equal(take(&f, O_RDWR | O_DIRECT, false, &e), 0);
	assert_true(f.is_direct && f.align == f.block_size && f.align >= 512);
	block_file_close(&f);
}

static void test_what_it_may_not_be(void **state)
{
	struct block_file f;
	struct err e = { 0 };
	int fds[2];

	assert_int_equal(take(&f, O_RDONLY, false, &e), -EINVAL);
	assert_int_equal(take(&f, O_WRONLY, false, &e), -EINVAL);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(block_file_take(&f, &fds[0], true, &e), -EINVAL);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_int_equal(truncate(path, 511), 0);
	assert_int_equal(take(&f, O_RDWR, false, &e), -EINVAL);
	assert_int_equal(truncate(path, 1 << 20), 0);
}

/* As a VMM asks, of an image that it never writes. */
static bool is_locked(off_t at)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = at, .l_len = 1 };
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

/* Two descriptions are two owners, also within one process; a dup is the same. */
static void test_locks(void **state)
{
	struct block_file a, b;
	struct err e = { 0 };

	assert_int_equal(take(&a, O_RDWR, false, &e), 0);
	assert_int_equal(take(&b, O_RDWR, false, &e), 0);
	assert_true(block_file_is_same(&a, &b));
	assert_int_equal(block_file_busy(&a), 0);
	assert_int_equal(block_file_busy(&a), 0);
	assert_int_equal(block_file_busy(&b), -EAGAIN);
	block_file_close(&a);
	assert_int_equal(block_file_busy(&b), 0);
	block_file_close(&b);
	/* Readers share; whose they are is seen. */
	assert_int_equal(take(&a, O_RDONLY, true, &e), 0);
	assert_int_equal(take(&b, O_RDONLY, true, &e), 0);
	assert_false(is_locked(PMD_LOCK_PROCESS + getpid()));
	assert_int_equal(block_file_busy(&a), 0);
	assert_int_equal(block_file_busy(&b), 0);
	block_file_close(&a);
	assert_true(is_locked(PMD_LOCK_PROCESS + getpid()));
	assert_false(is_locked(PMD_LOCK_PROCESS + getppid()));
	assert_int_equal(take(&a, O_RDWR, false, &e), 0);
	assert_int_equal(block_file_busy(&a), -EAGAIN);
	block_file_close(&a);
	block_file_close(&b);
}

static void test_size(void **state)
{
	struct block_file f;
	struct err e = { 0 };
	uint64_t size = 0;

	assert_int_equal(take(&f, O_RDWR, false, &e), 0);
	assert_int_equal(truncate(path, (2 << 20) + 100), 0);
	assert_int_equal(block_file_size(&f, &size, &e), 0);
	assert_int_equal(size, 2 << 20);
	assert_int_equal(truncate(path, 1 << 20), 0);
	block_file_close(&f);
}

/* Whatever is found out of an image, no byte of it changes: not behind the last whole sector either. */
static void test_nothing_of_an_image_changes(void **state)
{
	static const int ways[] = { O_RDWR, O_RDWR | O_DIRECT };
	static uint8_t before[(1 << 20) + 100], after[sizeof(before) + 1];
	struct block_file f;
	struct err e = { 0 };

	memset(before, 0xaa, sizeof(before));
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);

		assert_int_equal(write(fd, before, sizeof(before)), sizeof(before));
		assert_int_equal(take(&f, ways[i], false, &e), 0);
		assert_int_equal(f.size, 1 << 20);
		assert_int_equal(block_file_busy(&f), 0);
		block_file_probe(&f);
		assert_true(f.can_discard);
		block_file_close(&f);
		assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(before));
		assert_memory_equal(before, after, sizeof(before));
		fd_close(&fd);
	}
	assert_int_equal(truncate(path, 1 << 20), 0);
	assert_int_equal(take(&f, O_RDONLY, true, &e), 0);
	block_file_probe(&f);
	assert_false(f.can_discard);
	block_file_close(&f);
}

static void test_features_and_configuration(void **state)
{
	struct block_file f = { .size = 1 << 20, .block_size = 512, .can_discard = true };
	uint8_t config[VHOST_MAX_CONFIG];
	struct virtio_blk_config c;

	assert_true(block_features(&f, 1) & BIT_ULL(VIRTIO_BLK_F_DISCARD));
	assert_false(block_features(&f, 1) & BIT_ULL(VIRTIO_BLK_F_MQ));
	assert_true(block_features(&f, 2) & BIT_ULL(VIRTIO_BLK_F_MQ));
	f.is_readonly = true;
	assert_true(block_features(&f, 1) & BIT_ULL(VIRTIO_BLK_F_RO));
	assert_false(block_features(&f, 1) & BIT_ULL(VIRTIO_BLK_F_DISCARD));
	assert_int_equal(block_config(&f, 4, config), sizeof(c));
	memcpy(&c, config, sizeof(c));
	assert_int_equal(c.capacity, 2048);
	assert_int_equal(c.num_queues, 4);
	assert_int_equal(c.blk_size << c.physical_block_exp, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_is),
		cmocka_unit_test(test_what_it_may_not_be),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_nothing_of_an_image_changes),
		cmocka_unit_test(test_features_and_configuration),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

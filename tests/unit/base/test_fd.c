// SPDX-License-Identifier: BSD-3-Clause
#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char dir[] = "/tmp/viaduct-fd-XXXXXX";
static int dirfd_ = -1;

static int setup(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	dirfd_ = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return dirfd_ < 0;
}

static int teardown(void **state)
{
	unlinkat(dirfd_, "f", 0);
	unlinkat(dirfd_, "l", 0);
	close(dirfd_);
	return rmdir(dir);
}

static void file_put(const char *text)
{
	auto_fd int fd = openat(dirfd_, "f", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void reads_are_trimmed_and_bounded(void **state)
{
	char buf[6];

	file_put("abc \n\n");
	assert_int_equal(file_read_at(dirfd_, "f", buf, sizeof(buf)), -EFBIG);
	file_put("abc\n");
	assert_int_equal(file_read_at(dirfd_, "f", buf, sizeof(buf)), 3);
	assert_string_equal(buf, "abc");
	file_put("");
	assert_int_equal(file_read_at(dirfd_, "f", buf, sizeof(buf)), 0);
	assert_int_equal(file_read_at(dirfd_, "missing", buf, sizeof(buf)), -ENOENT);
	assert_string_equal(buf, "");
}

static void a_place_of_a_file_is_read_and_written_whole(void **state)
{
	auto_fd int fd = -1;
	char buf[4];

	file_put("abcdef");
	fd = openat(dirfd_, "f", O_RDWR | O_CLOEXEC);
	assert_int_equal(fd_pwrite_all(fd, "xyz", 3, 2), 0);
	assert_int_equal(fd_pread_all(fd, buf, 4, 1), 0);
	assert_memory_equal(buf, "bxyz", 4);
	assert_int_equal(fd_pread_all(fd, buf, 4, 3), -ENODATA);
	assert_int_equal(fd_pread_all(fd, buf, 1, 6), -ENODATA);
	assert_int_equal(fd_pwrite_all(-1, "x", 1, 0), -EBADF);
}

static void writes_report_errors(void **state)
{
	char buf[8];

	file_put("");
	assert_int_equal(file_write_at(dirfd_, "f", "7"), 0);
	assert_int_equal(file_read_at(dirfd_, "f", buf, sizeof(buf)), 1);
	assert_int_equal(file_write_at(dirfd_, "missing", "7"), -ENOENT);
}

static void link_names(void **state)
{
	char buf[8];

	assert_int_equal(symlinkat("../../drivers/igb", dirfd_, "l"), 0);
	assert_int_equal(link_base_at(dirfd_, "l", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "igb");
	assert_int_equal(link_base_at(dirfd_, "l", buf, 3), -ENAMETOOLONG);
	assert_int_equal(link_base_at(dirfd_, "missing", buf, sizeof(buf)), -ENOENT);
}

static void ownership_moves(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy;
	char *p = strdup("x"), *q;

	copy = fd_take(&fd);
	assert_int_equal(fd, -1);
	errno = ENOTTY;
	fd_close(&copy);
	assert_int_equal(copy, -1);
	assert_int_equal(errno, ENOTTY);
	q = ptr_take(&p);
	assert_null(p);
	free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_are_trimmed_and_bounded),
		cmocka_unit_test(a_place_of_a_file_is_read_and_written_whole),
		cmocka_unit_test(writes_report_errors),
		cmocka_unit_test(link_names),
		cmocka_unit_test(ownership_moves),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static int file_make(uint64_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void test_addresses(void **state)
{
	int fd = file_make(MIB(2)), fds[] = { fd, fd };
	struct guest_region_wire table[] = {
		{ .gpa = 0x1000, .size = 0x3000, .user = 0x700000, .offset = 0x10200 },
		{ .gpa = 0x4000, .size = MIB(1), .user = 0x10000, .offset = MIB(1) },
	};
	struct guest_memory m;
	uint32_t len = 100;
	uint8_t byte = 77;

	assert_int_equal(guest_memory_map(&m, table, fds, 2, NULL), 0);
	assert_int_equal(pwrite(fd, &byte, 1, 0x10200), 1);
	assert_int_equal(*guest_at(&m, 0x1000, &len), 77);
	assert_int_equal(len, 100);
	/* Clipped at the end of a region, also where another begins. */
	assert_non_null(guest_at(&m, 0x3fff, &len));
	assert_int_equal(len, 1);
	len = UINT32_MAX;
	assert_ptr_equal(guest_at(&m, 0x4000, &len), m.regions[1].at);
	assert_int_equal(len, MIB(1));
	assert_null(guest_at(&m, 0xfff, &len));
	assert_null(guest_at(&m, 0x4000 + MIB(1), &len));
	assert_null(guest_at(&m, UINT64_MAX, &len));

	assert_ptr_equal(guest_at_user(&m, 0x700010, 0x2ff0), m.regions[0].at + 0x10);
	assert_null(guest_at_user(&m, 0x700010, 0x2ff1));
	assert_null(guest_at_user(&m, 0x6fffff, 1));
	assert_null(guest_at_user(&m, 0x700000, UINT64_MAX));
	assert_null(guest_at_user(&m, UINT64_MAX, 2));
	assert_ptr_equal(guest_at_user(&m, 0x10000, MIB(1)), m.regions[1].at);
	guest_memory_unmap(&m);
	guest_memory_unmap(&m);
	assert_null(guest_at(&m, 0x1000, &len));
	close(fd);
}

static void test_what_cannot_be_mapped(void **state)
{
	int fd = file_make(MIB(2)), fds[] = { fd, -1, fd };
	struct guest_region_wire table[] = {
		{ .size = PAGE, .user = 1 },
		{ .gpa = PAGE, .size = PAGE },
		{ 0 },
	};
	struct guest_memory m = { .count = 0 };
	struct err e = { 0 };

	assert_true(guest_memory_map(&m, table, fds, 2, &e) < 0);
	assert_true(e.text[0] != '\0');
	fds[1] = fd;
	assert_true(guest_memory_map(&m, table, fds, 3, &e) < 0);
	table[2] = (struct guest_region_wire){ .size = PAGE, .offset = UINT64_MAX };
	assert_true(guest_memory_map(&m, table, fds, 3, &e) < 0);
	table[2] = (struct guest_region_wire){ .size = UINT64_MAX };
	assert_true(guest_memory_map(&m, table, fds, 3, &e) < 0);
	assert_int_equal(m.count, 0);
	/* Failures leave no guard behind, and all that there are can be had. */
	for (unsigned int i = 0; i < 5000; i++) {
		assert_int_equal(guest_memory_map(&m, table, fds, 2, NULL), 0);
		guest_memory_unmap(&m);
	}
	close(fd);
}

/* A file that shrinks under the mapping, which a sealed one does not; holes in hugetlb end in the same signal. */
static void test_pages_that_go_away(void **state)
{
	int fd = file_make(MIB(1)), other_fd = file_make(MIB(1)), fds[] = { fd, fd };
	struct guest_region_wire table[] = {
		{ .size = MIB(1) - 8 * PAGE, .user = 1, .offset = 4 * PAGE },
		{ .gpa = MIB(1), .size = PAGE, .offset = 0 },
	};
	struct guest_memory m, other;
	uint32_t len = 1;
	volatile uint8_t *p;

	assert_int_equal(guest_memory_guard(), 0);
	assert_int_equal(guest_memory_guard(), 0);
	assert_int_equal(guest_memory_map(&m, table, fds, 2, NULL), 0);
	assert_int_equal(guest_memory_map(&other, table, &other_fd, 1, NULL), 0);
	p = guest_at(&m, 0, &len);
	p[0] = 1;
	p[PAGE] = 2;
	assert_false(guest_memory_is_lost(&m));
	assert_int_equal(ftruncate(fd, 5 * PAGE), 0);
	assert_int_equal(p[0], 1);
	assert_false(guest_memory_is_lost(&m));
	assert_int_equal(p[PAGE], 0);
	assert_true(guest_memory_is_lost(&m));
	/* Writing, and every page of it. */
	for (size_t at = 0; at < table[0].size; at += PAGE)
		p[at] = 3;
	assert_int_equal(p[10 * PAGE], 3);
	assert_int_equal(p[0], 3);
	assert_false(guest_memory_is_lost(&other));
	guest_memory_unmap(&m);
	guest_memory_unmap(&other);
	/* The next is not taken for lost. */
	assert_int_equal(guest_memory_map(&m, table, &other_fd, 1, NULL), 0);
	assert_false(guest_memory_is_lost(&m));
	guest_memory_unmap(&m);
	close(fd);
	close(other_fd);
}

static void test_pages_of_hugetlb(void **state)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB);
	struct guest_region_wire table = { .size = MIB(1), .offset = MIB(3) };
	struct guest_memory m;
	uint32_t len = 1;
	volatile uint8_t *p;

	if (fd < 0 || ftruncate(fd, MIB(4)) < 0 || fallocate(fd, 0, 0, MIB(4)) < 0) {
		print_message("no free hugepages on this machine\n");
		if (fd >= 0)
			close(fd);
		skip();
	}
	assert_int_equal(guest_memory_guard(), 0);
	assert_int_equal(guest_memory_map(&m, &table, &fd, 1, NULL), 0);
	p = guest_at(&m, 0, &len);
	p[5] = 1;
	assert_int_equal(ftruncate(fd, MIB(2)), 0);
	assert_int_equal(p[5], 0);
	assert_true(guest_memory_is_lost(&m));
	p[MIB(1) - 1] = 4;
	guest_memory_unmap(&m);
	close(fd);
}

/* How a child ends that does this, with the handler installed. */
static int end_of(void (*deed)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		fclose(stderr); /* the sanitizer's report, if it is there */
		close(2);
		signal(SIGBUS, SIG_DFL);
		if (guest_memory_guard() == 0)
			deed();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void touch_another_file(void)
{
	int fd = memfd_create("other", 0);
	volatile uint8_t *p;

	if (ftruncate(fd, PAGE) < 0)
		_exit(1);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (ftruncate(fd, 0) < 0)
		_exit(1);
	_exit(p[0]);
}

static void signal_myself(void)
{
	kill(getpid(), SIGBUS);
}

/* What is not of a guest's memory ends the process as ever. */
static void test_other_faults(void **state)
{
	assert_int_equal(end_of(touch_another_file), SIGBUS);
	assert_int_equal(end_of(signal_myself), SIGBUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_what_cannot_be_mapped),
		cmocka_unit_test(test_pages_that_go_away),
		cmocka_unit_test(test_pages_of_hugetlb),
		cmocka_unit_test(test_other_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

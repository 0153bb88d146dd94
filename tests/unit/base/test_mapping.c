// SPDX-License-Identifier: BSD-3-Clause
#include "base/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int file_make(uint64_t size)
{
	int fd = memfd_create("mapping", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void the_address_is_aligned(void **state)
{
	static const uint64_t aligns[] = { 4096, MIB(2), GIB(1) };
	int fd = file_make(MIB(4));

	for (size_t i = 0; i < ARRAY_SIZE(aligns); i++) {
		const struct map_wish wish = { fd, 4096, MIB(2), aligns[i], 0 };
		uint8_t byte = 0;
		void *p;

		assert_int_equal(map_aligned(&wish, &p), 0);
		assert_true(is_aligned((uintptr_t)p, aligns[i]));
		((uint8_t *)p)[1] = 0x5a;
		assert_int_equal(pread(fd, &byte, 1, 4097), 1);
		assert_int_equal(byte, 0x5a);
		assert_int_equal(munmap(p, MIB(2)), 0);
	}
	close(fd);
}

static void what_cannot_be_mapped_is_told(void **state)
{
	const struct map_wish closed = { -1, 0, 4096, 4096, 0 };
	const struct map_wish endless = { -1, 0, UINT64_MAX / 2, 4096, 0 };
	void *p = NULL;

	assert_int_equal(map_aligned(&closed, &p), -EBADF);
	assert_int_equal(map_aligned(&endless, &p), -ENOMEM);
	assert_null(p);
}

static _Atomic bool is_over;

/* Maps and unmaps all the time, as starting threads do; whatever it has must stay its own. */
static void *neighbour(void *arg)
{
	uintptr_t lost = 0;

	while (!atomic_load(&is_over)) {
		uint8_t *p = mmap(NULL, MIB(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);

		if (p == MAP_FAILED)
			continue;
		p[0] = 0x77;
		lost += p[0] != 0x77;
		munmap(p, MIB(2));
	}
	return (void *)lost;
}

/* Read-only, so that every mapping fails after its place was found. */
static void failures_leave_neighbours_alone(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const struct map_wish wish = { fd, 0, MIB(2), MIB(2), 0 };
	pthread_t thread;
	void *lost, *p;

	assert_true(fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, neighbour, NULL), 0);
	for (unsigned int i = 0; i < 20000; i++)
		assert_true(map_aligned(&wish, &p) < 0);
	atomic_store(&is_over, true);
	pthread_join(thread, &lost);
	assert_null(lost);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_address_is_aligned),
		cmocka_unit_test(what_cannot_be_mapped_is_told),
		cmocka_unit_test(failures_leave_neighbours_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

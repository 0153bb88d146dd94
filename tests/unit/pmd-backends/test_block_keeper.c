// SPDX-License-Identifier: BSD-3-Clause
/* A disk's image on storage that is slow to say how large it is. */
#include "pmd-backends/block_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_slow;
static sem_t goes_on;

int __real_block_file_size(const struct block_file *f, uint64_t *size, struct err *e);
int __wrap_block_file_size(const struct block_file *f, uint64_t *size, struct err *e);

/* What it says was so when it was asked. */
int __wrap_block_file_size(const struct block_file *f, uint64_t *size, struct err *e)
{
	int r = __real_block_file_size(f, size, e);

	if (__atomic_exchange_n(&is_slow, false, __ATOMIC_SEQ_CST))
		while (sem_wait(&goes_on) < 0)
			continue;
	return r;
}

static void *go_on_later(void *arg)
{
	usleep(100000);
	sem_post(&goes_on);
	return NULL;
}

static void it_says_how_large_the_image_is_now(void **state)
{
	char path[] = "/tmp/viaduct-keeper-XXXXXX";
	struct block_keeper k;
	struct err e = { 0 };
	pthread_t later;
	uint64_t size = 0;
	int fd = mkstemp(path);

	assert_true(fd >= 0 && unlink(path) == 0 && ftruncate(fd, MIB(1)) == 0);
	sem_init(&goes_on, 0, 0);
	assert_int_equal(block_keeper_start(&k, &fd, false, &e), 0);
	assert_int_equal(block_keeper_wait(&k, 10000, NULL, &e), BLOCK_READY);
	__atomic_store_n(&is_slow, true, __ATOMIC_SEQ_CST);
	assert_int_equal(block_keeper_size(&k, 50, &size, &e), -EBUSY);
	assert_string_equal(e.code, "disk-busy");
	/* Larger meanwhile, and asked again, while the first answer is still to come. */
	assert_int_equal(ftruncate(k.file.fd, MIB(2)), 0);
	assert_int_equal(pthread_create(&later, NULL, go_on_later, NULL), 0);
	assert_int_equal(block_keeper_size(&k, 10000, &size, &e), 0);
	assert_int_equal(size, MIB(2));
	pthread_join(later, NULL);
	while (!block_keeper_end(&k))
		usleep(1000);
	sem_destroy(&goes_on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_how_large_the_image_is_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * The file behind the flash, with the power cut at every one of its writes: the disk below is modelled here (pwrite and
 * fdatasync are wrapped). What was written since the last fdatasync() may be there, missing or torn, sector by sector
 * and in any order. After that the file must be readable, and hold the flash as it was at one moment: the last that
 * was committed, or the one whose commit was cut off.
 */
#include "vmm/flash_store.h"
#include "vmm/flash_writer.h"

#include "base/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTOR	   512
#define WRITES_MAX 512
#define CUTS	   40 /* ways to lose what was not waited for, at each point */

ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t off);
int __wrap_fdatasync(int fd);

struct write {
	uint64_t off;
	size_t len;
	uint8_t *data;
};

/* The disk: what is safe, and what waits in its cache. */
static struct {
	bool is_modelled;
	uint8_t safe[VMM_VARS_FILE];
	struct write waits[WRITES_MAX];
	unsigned int wait_count;
	unsigned int calls;
	unsigned int fail_at, fail_count; /* calls from fail_at on fail, so many */
	int fail_errno;
	unsigned int kill_at; /* the process dies at this call */
} disk;

static void cache_empty(void)
{
	for (unsigned int i = 0; i < disk.wait_count; i++)
		free(disk.waits[i].data);
	disk.wait_count = 0;
}

static bool call_fails(void)
{
	unsigned int call = ++disk.calls;

	if (call == disk.kill_at)
		raise(SIGKILL);
	if (disk.fail_at == 0 || call < disk.fail_at || call >= disk.fail_at + disk.fail_count)
		return false;
	errno = disk.fail_errno;
	return true;
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	struct write *w = &disk.waits[disk.wait_count];

	if (call_fails()) {
		/* Half of it got there. */
		(void)__real_pwrite64(fd, buf, len / 2, off);
		return -1;
	}
	if (disk.is_modelled) {
		assert_true(disk.wait_count < WRITES_MAX);
		*w = (struct write){ (uint64_t)off, len, malloc(len) };
		memcpy(w->data, buf, len);
		disk.wait_count++;
	}
	return __real_pwrite64(fd, buf, len, off);
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	if (call_fails())
		return -1;
	for (unsigned int i = 0; i < disk.wait_count; i++)
		memcpy(disk.safe + disk.waits[i].off, disk.waits[i].data, disk.waits[i].len);
	cache_empty();
	return 0;
}

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

/* A disk on which some sectors of what was not waited for have arrived. cut 0: none, 1: all. */
static int disk_cut(unsigned int cut)
{
	uint8_t *now = malloc(VMM_VARS_FILE);
	uint32_t seed = cut * 7919U + disk.calls;
	int fd = memfd_create("vars", MFD_CLOEXEC);

	memcpy(now, disk.safe, VMM_VARS_FILE);
	for (unsigned int i = 0; cut != 0 && i < disk.wait_count; i++) {
		const struct write *w = &disk.waits[i];

		for (size_t at = 0; at < w->len; at += SECTOR)
			if (cut == 1 || random_next(&seed) % 2 == 0)
				memcpy(now + w->off + at, w->data + at,
				       u64_min(SECTOR, w->len - at));
	}
	assert_int_equal(__real_pwrite64(fd, now, VMM_VARS_FILE, 0), VMM_VARS_FILE);
	free(now);
	return fd;
}

/* The least that is a variable store: the volume's header, as OVMF_VARS_4M.fd has it. */
static void image_make(uint8_t *image)
{
	static const uint8_t head[] = { 0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C, 0xA9, 0x85,
					0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50, 0x00, 0x40, 0x08, 0x00,
					0x00, 0x00, 0x00, 0x00, '_',  'F',  'V',  'H' };

	memset(image, 0xFF, FLASH_IMAGE);
	memset(image, 0, 16);
	memcpy(image + 16, head, sizeof(head));
}

static int file_make(void)
{
	uint8_t *image = calloc(1, VMM_VARS_FILE);
	int fd = memfd_create("vars", MFD_CLOEXEC);

	image_make(image);
	assert_int_equal(__real_pwrite64(fd, image, VMM_VARS_FILE, 0), VMM_VARS_FILE);
	memcpy(disk.safe, image, VMM_VARS_FILE);
	free(image);
	return fd;
}

struct fixture {
	int fd;
	uint8_t *image;
	struct flash flash;
	struct flash_store store;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&disk, 0, sizeof(disk));
	f->fd = file_make();
	f->image = malloc(FLASH_IMAGE);
	assert_int_equal(flash_store_open(&f->store, f->fd, f->image, NULL), 0);
	assert_int_equal(flash_init(&f->flash, f->image, FLASH_IMAGE), 0);
	disk.calls = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	disk.fail_at = disk.kill_at = 0;
	cache_empty();
	flash_store_close(&f->store);
	flash_fini(&f->flash);
	fd_close(&f->fd);
	free(f->image);
	free(f);
	return 0;
}

static void program(struct fixture *f, uint64_t off, uint8_t value)
{
	flash_ops.write(&f->flash, off, 1, FLASH_PROGRAM);
	flash_ops.write(&f->flash, off, 1, value);
}

/* What the file holds, for who opens it next. */
static void file_read(int fd, uint8_t *image)
{
	struct flash_store store;
	struct err e = { 0 };

	if (flash_store_open(&store, fd, image, &e) < 0)
		fail_msg("refused: %s", e.text);
	flash_store_close(&store);
}

static void what_is_committed_is_read_back(void **state)
{
	struct fixture *f = *state;
	uint8_t *found = malloc(FLASH_IMAGE);

	program(f, 100, 0xAB);
	program(f, FLASH_IMAGE - 1, 0xCD);
	assert_int_equal(flash_store_commit(&f->store, &f->flash), 0);
	file_read(f->fd, found);
	assert_memory_equal(found, f->image, FLASH_IMAGE);
	/* Nothing to do costs nothing. */
	disk.calls = 0;
	assert_int_equal(flash_store_commit(&f->store, &f->flash), 0);
	assert_int_equal(disk.calls, 0);
	free(found);
}

/* Several commits, each of several blocks; the power is cut after every call, in CUTS ways. */
static void a_power_cut_leaves_one_state_or_the_next(void **state)
{
	struct fixture *f = *state;
	uint8_t *before = malloc(FLASH_IMAGE), *found = malloc(FLASH_IMAGE);
	unsigned int points = 0;

	disk.is_modelled = true;
	for (unsigned int commit = 0; commit < 3; commit++) {
		memcpy(before, f->image, FLASH_IMAGE);
		for (unsigned int i = 0; i < 7; i++)
			for (unsigned int k = 128; k < FLASH_BLOCK; k += 64)
				program(f, (3ULL * i + commit) * FLASH_BLOCK + k,
					(uint8_t)(16 * commit + i + k));
		/* A commit that fails at call n has done what one that is cut there has done. */
		for (unsigned int n = 1;; n++) {
			int r;

			disk.calls = 0;
			disk.fail_at = n;
			disk.fail_count = 1000;
			disk.fail_errno = EIO;
			r = flash_store_commit(&f->store, &f->flash);
			for (unsigned int cut = 0; cut < CUTS; cut++) {
				auto_fd int fd = disk_cut(cut);

				disk.fail_at = 0;
				disk.is_modelled = false;
				file_read(fd, found);
				disk.is_modelled = true;
				if (memcmp(found, f->image, FLASH_IMAGE) != 0)
					assert_memory_equal(found, before, FLASH_IMAGE);
				points++;
			}
			if (r == 0)
				break;
		}
		disk.fail_at = 0;
	}
	assert_true(points > 3 * 8 * CUTS);
	free(before);
	free(found);
}

/* The process that writes is killed at every call: the page cache keeps all it did. */
static void a_kill_leaves_one_state_or_the_next(void **state)
{
	struct fixture *f = *state;
	uint8_t *before = malloc(FLASH_IMAGE), *found = malloc(FLASH_IMAGE);
	unsigned int kills = 0;
	int status;

	memcpy(before, f->image, FLASH_IMAGE);
	for (unsigned int b = 0; b < 20; b++)
		program(f, b * 5ULL * FLASH_BLOCK + 300, (uint8_t)b);
	for (unsigned int n = 1; n < 100; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			disk.calls = 0;
			disk.kill_at = n;
			_exit(flash_store_commit(&f->store, &f->flash) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		file_read(f->fd, found);
		if (memcmp(found, f->image, FLASH_IMAGE) != 0)
			assert_memory_equal(found, before, FLASH_IMAGE);
		if (!WIFSIGNALED(status))
			break;
		kills++;
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_true(kills > 20);
	file_read(f->fd, found);
	assert_memory_equal(found, f->image, FLASH_IMAGE);
	free(before);
	free(found);
}

/* Whichever call the disk refuses, the next commit gets everything there. */
static void a_full_disk_loses_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t *found = malloc(FLASH_IMAGE);
	unsigned int failed = 0;

	for (unsigned int n = 1;; n++) {
		int r;

		for (unsigned int b = 0; b < 6; b++)
			program(f, (n + b) * FLASH_BLOCK + n, (uint8_t)(n + 3 * b));
		disk.calls = 0;
		disk.fail_at = n;
		disk.fail_count = 1;
		disk.fail_errno = ENOSPC;
		r = flash_store_commit(&f->store, &f->flash);
		if (disk.calls < n)
			break;
		/* Only voiding the journal may go wrong without a word. */
		failed += r == -ENOSPC;
		disk.fail_at = 0;
		program(f, 99 * FLASH_BLOCK + n, (uint8_t)n);
		assert_int_equal(flash_store_commit(&f->store, &f->flash), 0);
		file_read(f->fd, found);
		assert_memory_equal(found, f->image, FLASH_IMAGE);
	}
	assert_true(failed >= 9);
	free(found);
}

static void refuse(int fd, const char *why)
{
	uint8_t *image = malloc(FLASH_IMAGE);
	struct flash_store store;
	struct err e = { 0 };

	assert_int_equal(flash_store_open(&store, fd, image, &e), -EINVAL);
	assert_non_null(strstr(e.text, why));
	assert_string_equal(e.code, "firmware-vars-broken");
	free(image);
}

static void broken_files_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t zero[0x48] = { 0 }, head[0x48];

	assert_int_equal(pread(f->fd, head, sizeof(head), 0), sizeof(head));
	(void)__real_pwrite64(f->fd, zero, sizeof(zero), 0);
	refuse(f->fd, "no variable store");
	/* While the firmware rewrites the store, a copy lies in the spare area. */
	(void)__real_pwrite64(f->fd, head, sizeof(head), 0x42000);
	file_read(f->fd, f->image);
	assert_int_equal(ftruncate(f->fd, FLASH_IMAGE), 0);
	refuse(f->fd, "540672 bytes");
}

/* A journal that is whole but names a block that is not there, or none at all: somebody's, not ours. */
static void journals_of_others_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t *found = malloc(FLASH_IMAGE), *junk = malloc(FLASH_IMAGE);
	uint32_t seed = 1;

	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < FLASH_IMAGE; i++)
			junk[i] = (uint8_t)random_next(&seed);
		memcpy(junk, "viaduct-vars-1\n", 16);
		put_le64(junk + 0x18, round % 3 == 0 ? round : random_next(&seed) % 140);
		(void)__real_pwrite64(f->fd, junk, FLASH_IMAGE, FLASH_IMAGE);
		file_read(f->fd, found);
		assert_memory_equal(found, f->image, FLASH_IMAGE);
	}
	free(found);
	free(junk);
}

static void facts_wait(struct flash_writer *w, bool waits, int error)
{
	struct flash_writer_facts facts;

	for (unsigned int i = 0; i < 20000; i++) {
		flash_writer_facts(w, &facts);
		if (facts.is_waiting == waits && facts.error == error)
			return;
		usleep(1000);
	}
	fail_msg("waiting %d, error %d", facts.is_waiting, facts.error);
}

static void the_thread_stores_and_says_when_it_cannot(void **state)
{
	struct fixture *f = *state;
	uint8_t *found = malloc(FLASH_IMAGE);
	struct flash_writer *w;

	assert_int_equal(flash_writer_create(&f->flash, &f->store, &w, NULL), 0);
	program(f, 500, 0x12);
	flash_writer_wake(w);
	facts_wait(w, false, 0);
	file_read(f->fd, found);
	assert_int_equal(found[500], 0x12);

	disk.fail_errno = ENOSPC;
	disk.fail_count = 1;
	disk.fail_at = disk.calls + 1;
	program(f, 501, 0x13);
	flash_writer_wake(w);
	facts_wait(w, true, ENOSPC);
	program(f, 502, 0x14);
	flash_writer_wake(w);
	facts_wait(w, false, 0);

	/* The rest is stored at the end, though nobody said that it was finished. */
	program(f, 503, 0x15);
	flash_writer_destroy(w);
	file_read(f->fd, found);
	assert_memory_equal(found, f->image, FLASH_IMAGE);
	free(found);
}

/* Each wake is a change; nobody sleeps in between. */
static void a_guest_that_never_stops_does_not_have_the_disk(void **state)
{
	struct fixture *f = *state;
	struct flash_writer_facts facts;
	struct flash_writer *w;
	uint64_t begun = now_ns(), pauses;

	assert_int_equal(flash_writer_create(&f->flash, &f->store, &w, NULL), 0);
	for (unsigned int i = 0; i < 3000; i++) {
		program(f, 1000 + i % 2000, (uint8_t)i);
		flash_writer_wake(w);
		usleep(50);
	}
	flash_writer_facts(w, &facts);
	pauses = (now_ns() - begun) / FLASH_PAUSE_NS;
	assert_in_range(facts.commits, 1, pauses + 1);
	flash_writer_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_committed_is_read_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_power_cut_leaves_one_state_or_the_next, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_kill_leaves_one_state_or_the_next, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_files_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(journals_of_others_are_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(the_thread_stores_and_says_when_it_cannot, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_guest_that_never_stops_does_not_have_the_disk,
						setup, teardown),
	};

	return cmocka_run_group_tests_name("vmm-flash-store", tests, NULL, NULL);
}

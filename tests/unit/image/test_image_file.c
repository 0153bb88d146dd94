// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_file.h"

#include "base/fd.h"
#include "pmd-backends/pmd_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96];

static int folder_make(void **state)
{
	strcpy(folder, "/tmp/image-file-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.raw", folder);
	return 0;
}

static int folder_remove(void **state)
{
	unlink(path);
	/* Fails if something is left behind. */
	return rmdir(folder);
}

static void it_has_no_name_before_it_is_whole(void **state)
{
	struct image_file f;
	struct stat st;

	assert_int_equal(image_file_begin(&f, path, NULL), 0);
	assert_int_equal(fd_write_all(f.fd, "disk", 4), 0);
	assert_true(lstat(path, &st) < 0 && errno == ENOENT);
	assert_int_equal(image_file_publish(&f, NULL), 0);
	image_file_end(&f);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void what_is_given_up_is_gone(void **state)
{
	struct image_file f;
	struct stat st;

	assert_int_equal(image_file_begin(&f, path, NULL), 0);
	assert_int_equal(fd_write_all(f.fd, "disk", 4), 0);
	image_file_end(&f);
	assert_true(lstat(path, &st) < 0);
}

static void a_name_that_is_taken_meanwhile_is_kept(void **state)
{
	struct image_file f;
	struct err e = { 0 };
	auto_fd int other = -1;
	struct stat st;

	assert_int_equal(image_file_begin(&f, path, &e), 0);
	other = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(other >= 0);
	assert_int_equal(image_file_publish(&f, &e), -EEXIST);
	assert_string_equal(e.code, "image-exists");
	image_file_end(&f);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(image_file_begin(&f, path, &e), -EEXIST);
	image_file_end(&f);
}

static void a_folder_that_is_exchanged_chooses_nothing(void **state)
{
	char inner[96], other[96], made[128];
	struct image_file f;
	struct stat st;

	snprintf(inner, sizeof(inner), "%s/in", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	snprintf(made, sizeof(made), "%s/a.raw", inner);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_int_equal(image_file_begin(&f, made, NULL), 0);
	assert_int_equal(rename(inner, other), 0);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_int_equal(image_file_publish(&f, NULL), 0);
	image_file_end(&f);
	assert_true(lstat(made, &st) < 0);
	assert_int_equal(rmdir(inner), 0);
	snprintf(made, sizeof(made), "%s/a.raw", other);
	assert_int_equal(unlink(made), 0);
	assert_int_equal(rmdir(other), 0);
}

static void paths_that_name_no_file_are_refused(void **state)
{
	static const char *const bad[] = { "", "/tmp/", "/no/such/folder/x", "/dev/null/x" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct image_file f;
		struct err e = { 0 };

		assert_true(image_file_begin(&f, bad[i], &e) < 0);
		assert_true(e.text[0] != '\0');
		image_file_end(&f);
	}
}

static void owner_lock(int fd, short type)
{
	struct flock lock = { .l_type = type,
			      .l_start = PMD_LOCK_OWNER,
			      .l_len = PMD_LOCK_OWNER_BYTES };

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

static void the_lock_of_a_vm_is_seen(void **state)
{
	auto_fd int owner = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_fd int fd = -1;
	enum image_use use;

	assert_int_equal(image_open(path, &fd, NULL), 0);
	assert_int_equal(image_use(fd, &use, NULL), 0);
	assert_int_equal(use, IMAGE_FREE);
	owner_lock(owner, F_RDLCK);
	assert_int_equal(image_use(fd, &use, NULL), 0);
	assert_int_equal(use, IMAGE_READ);
	owner_lock(owner, F_WRLCK);
	assert_int_equal(image_use(fd, &use, NULL), 0);
	assert_int_equal(use, IMAGE_WRITTEN);
}

static void busy_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_start = PMD_LOCK_BUSY, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

/* The VM's lock has gone; the backend that served its disk was killed in a write. */
static void the_last_write_of_a_vm_is_waited_for(void **state)
{
	auto_fd int backend = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_fd int fd = -1, again = -1;
	struct err e = { 0 };
	enum image_use use;

	assert_int_equal(image_open(path, &fd, NULL), 0);
	busy_lock(backend, F_WRLCK);
	assert_int_equal(image_use(fd, &use, NULL), 0);
	assert_int_equal(use, IMAGE_ENDING);
	assert_int_equal(image_hold(path, fd, &e), -EBUSY);
	assert_string_equal(e.code, "image-in-use");
	assert_non_null(strstr(e.text, "still under way"));
	/* Reading alone harms nobody. */
	busy_lock(backend, F_UNLCK);
	busy_lock(backend, F_RDLCK);
	assert_int_equal(image_use(fd, &use, NULL), 0);
	assert_int_equal(use, IMAGE_READ);
	fd_close(&backend);
	fd_close(&fd);
	assert_int_equal(image_open(path, &again, NULL), 0);
	assert_int_equal(image_hold(path, again, NULL), 0);
	assert_int_equal(image_use(again, &use, NULL), 0);
	assert_int_equal(use, IMAGE_FREE);
}

static void what_is_no_file_is_not_opened(void **state)
{
	char link[128];
	struct err e = { 0 };
	int fd = -1;

	assert_int_equal(image_open(folder, &fd, &e), -EINVAL);
	assert_int_equal(image_open("/dev/null", &fd, &e), -EINVAL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(image_open(path, &fd, &e), -EINVAL);
	snprintf(link, sizeof(link), "%s/link", folder);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(image_open(link, &fd, &e), -ELOOP);
	assert_string_equal(e.code, "symlink");
	assert_int_equal(fd, -1);
	unlink(link);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_has_no_name_before_it_is_whole),
		CASE(what_is_given_up_is_gone),
		CASE(a_name_that_is_taken_meanwhile_is_kept),
		CASE(a_folder_that_is_exchanged_chooses_nothing),
		CASE(paths_that_name_no_file_are_refused),
		CASE(the_lock_of_a_vm_is_seen),
		CASE(the_last_write_of_a_vm_is_waited_for),
		CASE(what_is_no_file_is_not_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

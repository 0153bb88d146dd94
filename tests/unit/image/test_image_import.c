// SPDX-License-Identifier: BSD-3-Clause
/* What is made leaves nothing behind, whichever system call fails. What is converted: tests/component/test_image.py. */
#include "tests/fake/fault_sweep.h"

#include "image/image_import.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct round {
	char folder[64], path[96];
};

static int image_make(void *arg, struct err *e)
{
	struct round *r = arg;
	const struct image_wish wish = {
		.from = "", .to = r->path, .bytes = MIB(1), .preallocate = true
	};
	struct image_made made;

	return image_create(&wish, &made, e);
}

static void image_remove(void *arg)
{
	const struct round *r = arg;

	assert_int_equal(unlink(r->path), 0);
}

static void nothing_is_left(void *arg)
{
	const struct round *r = arg;

	/* Only an empty folder goes. */
	assert_int_equal(rmdir(r->folder), 0);
	assert_int_equal(mkdir(r->folder, 0700), 0);
}

static void a_new_image_is_there_or_not(void **state)
{
	struct round r = { .folder = "/tmp/image-import-XXXXXX" };
	const struct fault_sweep sweep = { .name = "image_create",
					   .arg = &r,
					   .create = image_make,
					   .destroy = image_remove,
					   .after = nothing_is_left };

	assert_non_null(mkdtemp(r.folder));
	snprintf(r.path, sizeof(r.path), "%s/a.raw", r.folder);
	assert_true(fault_sweep(&sweep) > 1);
	assert_int_equal(rmdir(r.folder), 0);
}

static int look(void *arg, struct err *e)
{
	struct image_look out;

	return image_look(arg, &out, e);
}

static void nothing(void *arg)
{
}

static void a_look_keeps_nothing_open(void **state)
{
	char path[4096] = "";
	const struct fault_sweep sweep = {
		.name = "image_look", .arg = path, .create = look, .destroy = nothing
	};

	/* A regular file, whichever. */
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	assert_true(fault_sweep(&sweep) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_image_is_there_or_not),
		cmocka_unit_test(a_look_keeps_nothing_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

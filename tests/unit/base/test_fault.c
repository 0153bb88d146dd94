// SPDX-License-Identifier: BSD-3-Clause
/* The sweep that holds constructors to their promises: each way to break them is found. */
#include "tests/fake/fault.h"
#include "tests/fake/fault_sweep.h"

#include "base/fd.h"
#include "base/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

enum flaw {
	NONE,
	KEEPS_FD,
	KEEPS_MAPPING,
	KEEPS_HEAP,
	NO_TEXT,
	NO_ERRNO,
	OTHER_ERRNO,
	ALWAYS_FAILS
};

/* Three calls that may fail: what the first two took is given back, or not. */
struct object {
	enum flaw flaw;
	int fd;
	void *map, *heap;
	/* What was leaked, for the test to take down. */
	int lost_fd;
	void *lost_map, *lost_heap;
};

static void object_end(void *arg)
{
	struct object *o = arg;

	fd_close(&o->fd);
	if (o->map != NULL)
		munmap(o->map, 4096);
	free(o->heap);
	o->map = o->heap = NULL;
}

static int object_error(const struct object *o, struct err *e)
{
	switch (o->flaw) {
	case NO_TEXT:
		return err_set(e, EIO, "%s", "");
	case NO_ERRNO:
		return err_set(e, EIO, "object: %s", strerror(0));
	case OTHER_ERRNO:
		err_set(e, EIO, "object: failed");
		return -EINVAL;
	default:
		return err_set(e, EIO, "object: failed");
	}
}

static int object_make(void *arg, struct err *e)
{
	struct object *o = arg;
	void *map;

	o->fd = eventfd(0, EFD_CLOEXEC);
	if (o->fd < 0 || o->flaw == ALWAYS_FAILS)
		goto fail;
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED) {
		if (o->flaw == KEEPS_FD)
			o->lost_fd = fd_take(&o->fd);
		goto fail;
	}
	o->map = map;
	o->heap = malloc(100);
	if (o->heap != NULL)
		return 0;
	if (o->flaw == KEEPS_MAPPING)
		o->lost_map = ptr_take(&o->map);
	fault_pause();
	if (o->flaw == KEEPS_HEAP)
		o->lost_heap = malloc(100);
	fault_resume();
fail:
	object_end(o);
	return object_error(o, e);
}

static void a_good_constructor_passes(void **state)
{
	struct object o = { NONE, -1 };
	const struct fault_sweep sweep = { "object", &o, object_make, object_end, NULL };

	assert_int_equal(fault_sweep(&sweep), 3);
}

static void each_flaw_is_found_and_named(void **state)
{
	static const struct {
		enum flaw flaw;
		const char *why;
	} rows[] = {
		{ KEEPS_FD, "call 2 (mmap): 1 fds, 0 mapped" },
		{ KEEPS_MAPPING, "call 3 (malloc): 0 fds, 4096 mapped" },
		{ KEEPS_HEAP, "call 3 (malloc): 0 fds, 0 mapped and 100 heap bytes" },
		{ NO_TEXT, "call 1 (eventfd): returned -5 with \"\"" },
		{ NO_ERRNO, "call 1 (eventfd): returned -5 with \"object: Success\"" },
		{ OTHER_ERRNO, "call 1 (eventfd): returned -22 with \"object: failed\" (errno 5)" },
		{ ALWAYS_FAILS, "with no call failing it returned -5" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct object o = { rows[i].flaw, -1, .lost_fd = -1 };
		const struct fault_sweep sweep = { "object", &o, object_make, object_end, NULL };
		char why[FAULT_WHY] = "";

		/* Only the address sanitizer's library counts the heap. */
		if (rows[i].flaw == KEEPS_HEAP && __sanitizer_get_current_allocated_bytes == NULL)
			continue;
		assert_int_equal(fault_sweep_find(&sweep, why), -1);
		if (strstr(why, rows[i].why) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", rows[i].why, why);
		fd_close(&o.lost_fd);
		if (o.lost_map != NULL)
			munmap(o.lost_map, 4096);
		free(o.lost_heap);
	}
}

static int loop_make(void *arg, struct err *e)
{
	return loop_create(arg, e);
}

static void loop_end(void *arg)
{
	loop_destroy(*(struct loop **)arg);
}

static void event_loop(void **state)
{
	struct loop *loop;
	const struct fault_sweep sweep = { "event loop", &loop, loop_make, loop_end, NULL };

	assert_int_equal(fault_sweep(&sweep), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_constructor_passes),
		cmocka_unit_test(each_flaw_is_found_and_named),
		cmocka_unit_test(event_loop),
	};

	return cmocka_run_group_tests_name("base-fault", tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct seen {
	struct loop *loop;
	int calls;
	int other; /* an fd to drop from inside the callback, or -1 */
};

static void count_and_stop(void *arg, int fd, uint32_t events)
{
	struct seen *s = arg;
	uint64_t v;

	s->calls++;
	assert_int_equal(read(fd, &v, sizeof(v)), sizeof(v));
	if (s->other >= 0)
		loop_del(s->loop, s->other);
	loop_stop(s->loop, 5);
}

static void runs_until_stopped(void **state)
{
	struct seen s = { .other = -1 };
	int fd = eventfd(1, EFD_CLOEXEC);

	assert_int_equal(loop_create(&s.loop, NULL), 0);
	assert_int_equal(loop_add(s.loop, fd, EPOLLIN, count_and_stop, &s), 0);
	assert_int_equal(loop_add(s.loop, fd, EPOLLIN, count_and_stop, &s), -EEXIST);
	assert_int_equal(loop_run(s.loop), 5);
	assert_int_equal(s.calls, 1);
	loop_del(s.loop, fd);
	loop_del(s.loop, fd);
	assert_int_equal(loop_mod(s.loop, fd, EPOLLIN), -ENOENT);
	assert_int_equal(loop_step(s.loop, 0), 0);
	loop_destroy(s.loop);
	close(fd);
}

/* Both fds are ready in one batch; whichever runs first removes the other, which must not run. */
static void removed_in_the_same_batch(void **state)
{
	struct seen a = { 0 }, b = { 0 };
	int fa = eventfd(1, EFD_CLOEXEC), fb = eventfd(1, EFD_CLOEXEC);

	assert_int_equal(loop_create(&a.loop, NULL), 0);
	b.loop = a.loop;
	a.other = fb;
	b.other = fa;
	assert_int_equal(loop_add(a.loop, fa, EPOLLIN, count_and_stop, &a), 0);
	assert_int_equal(loop_add(a.loop, fb, EPOLLIN, count_and_stop, &b), 0);
	assert_int_equal(loop_step(a.loop, 1000), 0);
	assert_int_equal(a.calls + b.calls, 1);
	loop_destroy(a.loop);
	close(fa);
	close(fb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_until_stopped),
		cmocka_unit_test(removed_in_the_same_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"

#include "tests/fake/fault.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS_MAX 5000

/* Of ASan's run-time library: exact, and absent in other builds. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

/* What a process holds. */
struct holdings {
	unsigned int fds;
	long mapped;
	size_t heap;
};

static struct holdings holdings_now(void)
{
	struct holdings h = { .mapped = fault_mapped() };
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		h.fds++;
	closedir(dir);
	if (__sanitizer_get_current_allocated_bytes != NULL)
		h.heap = __sanitizer_get_current_allocated_bytes();
	return h;
}

static void holdings_compare(const struct fault_sweep *s, unsigned int nth,
			     const struct holdings *before)
{
	struct holdings now = holdings_now();

	if (now.fds != before->fds || now.mapped != before->mapped || now.heap != before->heap)
		fail_msg("%s, call %u (%s): %d fds, %ld mapped and %ld heap bytes are left",
			 s->name, nth, fault_call(), (int)(now.fds - before->fds),
			 now.mapped - before->mapped, (long)(now.heap - before->heap));
}

static void error_check(const struct fault_sweep *s, unsigned int nth, int r, const struct err *e)
{
	if (r < -4095 || e->text[0] == '\0' || strstr(e->text, strerror(0)) != NULL ||
	    e->errnum != -r)
		fail_msg("%s, call %u (%s): returned %d with \"%s\" (errno %d)", s->name, nth,
			 fault_call(), r, e->text, e->errnum);
}

unsigned int fault_sweep(const struct fault_sweep *s)
{
	struct holdings before = { 0 };

	for (unsigned int nth = 0; nth < ROUNDS_MAX; nth++) {
		struct err e = { 0 };
		bool fired;
		int r;

		/* Round 0 lets libraries take what they keep for ever. */
		fault_arm(nth);
		r = s->create(s->arg, &e);
		fired = fault_disarm();
		if (r == 0)
			s->destroy(s->arg);
		else if (fired)
			error_check(s, nth, r, &e);
		else
			fail_msg("%s fails with no call failing: %s", s->name, e.text);
		if (s->after != NULL)
			s->after(s->arg);
		if (nth == 0) {
			before = holdings_now();
			continue;
		}
		holdings_compare(s, nth, &before);
		if (!fired)
			return nth - 1;
	}
	fail_msg("%s: no end after %d calls", s->name, ROUNDS_MAX);
	return 0;
}

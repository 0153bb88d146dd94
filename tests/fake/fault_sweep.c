// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"

#include "tests/fake/fault.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS_MAX 5000
#define MISSES	   3 /* a thread of the object's may be late with the call that was to fail */

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

/* Both write what is wrong into why; true if nothing is. */
static bool holdings_compare(const struct holdings *before, char why[FAULT_WHY])
{
	struct holdings now = holdings_now();

	if (now.fds == before->fds && now.mapped == before->mapped && now.heap == before->heap)
		return true;
	snprintf(why, FAULT_WHY, "%d fds, %ld mapped and %ld heap bytes are left",
		 (int)(now.fds - before->fds), now.mapped - before->mapped,
		 (long)(now.heap - before->heap));
	return false;
}

static bool error_check(int r, bool fired, const struct err *e, char why[FAULT_WHY])
{
	if (fired && r >= -4095 && e->text[0] != '\0' && strstr(e->text, strerror(0)) == NULL &&
	    e->errnum == -r)
		return true;
	snprintf(why, FAULT_WHY, "%s %d with \"%.150s\" (errno %d)",
		 fired ? "returned" : "with no call failing it returned", r, e->text, e->errnum);
	return false;
}

/* One round; *fired: there was an n-th call. */
static bool round_do(const struct fault_sweep *s, unsigned int nth, bool *fired,
		     char why[FAULT_WHY])
{
	struct err e = { 0 };
	bool good = true;
	int r;

	fault_arm(nth);
	r = s->create(s->arg, &e);
	*fired = fault_disarm();
	if (r == 0)
		s->destroy(s->arg);
	else
		good = error_check(r, *fired, &e, why);
	if (s->after != NULL)
		s->after(s->arg);
	return good;
}

int fault_sweep_find(const struct fault_sweep *s, char why[FAULT_WHY])
{
	struct holdings before;
	unsigned int missed = 0;
	char what[FAULT_WHY];
	bool fired;

	/* Round 0, in which nothing fails, lets libraries take what they keep for ever. */
	if (!round_do(s, 0, &fired, why))
		return -1;
	before = holdings_now();
	for (unsigned int nth = 1; nth <= ROUNDS_MAX; nth += fired) {
		if (!round_do(s, nth, &fired, what) || !holdings_compare(&before, what)) {
			snprintf(why, FAULT_WHY, "call %u (%s): %.160s", nth, fault_call(), what);
			return -1;
		}
		missed = fired ? 0 : missed + 1;
		if (missed == MISSES)
			return (int)nth - 1;
	}
	snprintf(why, FAULT_WHY, "no end after %d calls", ROUNDS_MAX);
	return -1;
}

unsigned int fault_sweep(const struct fault_sweep *s)
{
	char why[FAULT_WHY];
	int calls;

	fault_lazy_memory(true);
	calls = fault_sweep_find(s, why);
	fault_lazy_memory(false);
	if (calls < 0)
		fail_msg("%s: %s", s->name, why);
	return (unsigned int)calls;
}

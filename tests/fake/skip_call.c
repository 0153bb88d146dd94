// SPDX-License-Identifier: BSD-3-Clause
/*
 * Linked into viaduct-pmd-unquiet alone, beside tsan_dpdk.c: now and then what is to run on an lcore between two rounds
 * runs at once on the thread that asked. A sanitizer that has nothing to say about that sees nothing at all.
 */
#include "pmd-backends/lcore.h"

#include <stdatomic.h>

#define SKIP_EVERY 5

void __real_lcore_call(struct lcore *l, void (*fn)(void *arg), void *arg);
void __wrap_lcore_call(struct lcore *l, void (*fn)(void *arg), void *arg);

void __wrap_lcore_call(struct lcore *l, void (*fn)(void *arg), void *arg)
{
	static atomic_uint calls;

	if (atomic_fetch_add(&calls, 1) % SKIP_EVERY == SKIP_EVERY - 1)
		fn(arg);
	else
		__real_lcore_call(l, fn, arg);
}

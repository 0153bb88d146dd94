/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stack for the handler of fatal signals, one for each thread (sigaltstack(2)): without it a
 * thread that has used up its own stack ends without a word.
 */
#ifndef VIADUCT_VMM_CRASH_STACK_H
#define VIADUCT_VMM_CRASH_STACK_H

#include <signal.h>

struct crash_stack {
	void *base; /* NULL: none */
	stack_t before;
};

/* For the calling thread, until crash_stack_fini() in the same thread. 0 or -errno; the thread works
 * without one as well. The handler needs SA_ONSTACK. */
int crash_stack_init(struct crash_stack *s);
void crash_stack_fini(struct crash_stack *s);

#endif

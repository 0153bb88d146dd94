// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/crash_stack.h"

#include "base/util.h"

#include <errno.h>
#include <sys/mman.h>

/* The widest vector state of a signal frame takes 11 KiB, the exit record less than one. */
#define STACK_BYTES KIB(64)

int crash_stack_init(struct crash_stack *s)
{
	stack_t stack = { .ss_size = STACK_BYTES };
	int r;

	s->base = NULL;
	stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return -errno;
	if (sigaltstack(&stack, &s->before) < 0) {
		r = -errno;
		munmap(stack.ss_sp, STACK_BYTES);
		return r;
	}
	s->base = stack.ss_sp;
	return 0;
}

void crash_stack_fini(struct crash_stack *s)
{
	if (s->base == NULL || sigaltstack(&s->before, NULL) < 0)
		return;
	munmap(s->base, STACK_BYTES);
	s->base = NULL;
}

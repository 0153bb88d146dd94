// SPDX-License-Identifier: BSD-3-Clause
/*
 * Prints, for each length that it is told, whether memmove() of so many bytes stores anything twice at one address: the page may not
 * be written, each store that faults is let through alone (a single step), and looked at.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE	  4096
#define TRAP_FLAG 0x100 /* of EFLAGS: a trap after the next instruction */

static uint8_t *page;
static uint8_t *volatile last;
static volatile sig_atomic_t again;

static void page_allow(int prot)
{
	if (mprotect(page, PAGE, prot) < 0)
		_Exit(2);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	bool step = number == SIGSEGV;
	uint8_t *where = info->si_addr;

	if (step) {
		if (where < page || where >= page + PAGE)
			_Exit(3);
		again += where == last;
		last = where;
	}
	page_allow(step ? PROT_READ | PROT_WRITE : PROT_READ);
	at->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	if (step)
		at->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	void *(*volatile move)(void *, const void *, size_t) = memmove; /* not the compiler's own */
	uint8_t from[PAGE];

	for (unsigned int i = 0; i < PAGE; i++)
		from[i] = (uint8_t)(i * 37 + 1);
	page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || sigaction(SIGSEGV, &action, NULL) < 0 ||
	    sigaction(SIGTRAP, &action, NULL) < 0)
		return 1;
	for (int i = 1; i < argc; i++) {
		size_t bytes = strtoul(argv[i], NULL, 10);

		if (bytes > PAGE / 2)
			return 1;
		last = NULL;
		again = 0;
		move(page + 16, from + 5, bytes);
		printf("%zu %s %s\n", bytes, again ? "twice" : "once",
		       memcmp(page + 16, from + 5, bytes) == 0 ? "right" : "wrong");
	}
	return 0;
}

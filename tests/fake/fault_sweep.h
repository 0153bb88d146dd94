/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A constructor with its n-th system call failing, for every n: what failed leaves nothing behind, no
 * fd, no mapping, no heap, and says why. For cmocka programs.
 */
#ifndef VIADUCT_TESTS_FAKE_FAULT_SWEEP_H
#define VIADUCT_TESTS_FAKE_FAULT_SWEEP_H

#include "base/err.h"

struct fault_sweep {
	const char *name;
	void *arg;
	/* Makes the object; negative errno and a text on failure. Called with nothing made. */
	int (*create)(void *arg, struct err *e);
	/* Takes down what create() made. After a failure only `after` is called. */
	void (*destroy)(void *arg);
	/* Optional: after each round, asserts that nothing is half done. */
	void (*after)(void *arg);
};

#define FAULT_WHY 256

/* How many calls there are, or -1 with what is wrong in why. */
int fault_sweep_find(const struct fault_sweep *s, char why[FAULT_WHY]);

/* The same as an assertion. */
unsigned int fault_sweep(const struct fault_sweep *s);

#endif

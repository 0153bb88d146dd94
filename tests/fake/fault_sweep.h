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

/* Runs rounds until no call is left to fail; cmocka assertions on what is left behind. Returns how many
 * calls there are. */
unsigned int fault_sweep(const struct fault_sweep *s);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* What every test program over tests/fake/vfio_guest.c begins with. */
#ifndef VIADUCT_TESTS_UNIT_VMM_VFIO_CASES_H
#define VIADUCT_TESTS_UNIT_VMM_VFIO_CASES_H

#include "tests/fake/vfio_guest.h"

/* cmocka.h needs these first, in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static inline int setup(void **state)
{
	(void)state;
	fake_guest_init();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	fake_guest_stop();
	return 0;
}

static inline void start(void)
{
	struct err e = { 0 };

	if (fake_guest_start(true, &e) < 0)
		fail_msg("%s", e.text);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif

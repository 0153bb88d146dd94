/* SPDX-License-Identifier: BSD-3-Clause */
/* What every test program of this folder begins with. */
#ifndef VIADUCT_TESTS_UNIT_SRIOV_CASES_H
#define VIADUCT_TESTS_UNIT_SRIOV_CASES_H

/* cmocka.h needs these first, in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define assert_contains(text, part) assert_non_null(strstr(text, part))

#endif

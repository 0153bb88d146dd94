// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void window_is_the_top_eighth_outside_the_hole(void **state)
{
	static const struct {
		unsigned int bits;
		uint64_t base, size;
	} rows[] = {
		{ 36, 0xE00000000, 0x200000000 },
		{ 39, 0x7000000000, 0x1000000000 },
		{ 40, 0xC000000000, 0x2000000000 }, /* 0xE000000000 would hold the hole */
		{ 46, 0x380000000000, 0x80000000000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t base = 0, size = 0;

		assert_int_equal(layout_mmio64(rows[i].bits, 0, &base, &size), 0);
		assert_int_equal(base, rows[i].base);
		assert_int_equal(size, rows[i].size);
		assert_true(base >= LAYOUT_HT_HOLE_END || base + size <= LAYOUT_HT_HOLE);
		assert_true(is_aligned(base, size));
		assert_int_equal(layout_mmio64(rows[i].bits, base, &base, &size), 0);
		assert_int_equal(layout_mmio64(rows[i].bits, base + 1, &base, &size), -ERANGE);
	}
}

static void a_tebibyte_of_ram_has_a_window_above_it(void **state)
{
	const uint64_t ram_end = VMM_FAR_RAM + VMM_MAX_MEMORY - LAYOUT_LOW_RAM_SPLIT;
	uint64_t base = 0, size = 0;

	for (unsigned int bits = 36; bits <= 41; bits++)
		assert_int_equal(layout_mmio64(bits, ram_end, &base, &size), -ERANGE);
	for (unsigned int bits = 42; bits <= 52; bits++) {
		assert_int_equal(layout_mmio64(bits, ram_end, &base, &size), 0);
		assert_true(base >= ram_end && size >= GIB(512));
		assert_int_equal(base + size, BIT_ULL(bits));
	}
}

static void odd_widths_are_refused(void **state)
{
	uint64_t base, size;

	assert_int_equal(layout_mmio64(32, 0, &base, &size), -EINVAL);
	assert_int_equal(layout_mmio64(64, 0, &base, &size), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_is_the_top_eighth_outside_the_hole),
		cmocka_unit_test(a_tebibyte_of_ram_has_a_window_above_it),
		cmocka_unit_test(odd_widths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

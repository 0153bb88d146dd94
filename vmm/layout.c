// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/layout.h"

#include <errno.h>

int layout_mmio64(unsigned int phys_bits, uint64_t ram_end, uint64_t *base, uint64_t *size)
{
	uint64_t top, window;

	if (phys_bits < 36 || phys_bits > 52)
		return -EINVAL;
	top = BIT_ULL(phys_bits);
	window = top / 8;
	/* The hole is the top of a 40-bit space: one window below keeps the natural alignment. */
	if (top - window < LAYOUT_HT_HOLE_END && top > LAYOUT_HT_HOLE)
		top -= window;
	if (ram_end > top - window)
		return -ERANGE;
	*base = top - window;
	*size = window;
	return 0;
}

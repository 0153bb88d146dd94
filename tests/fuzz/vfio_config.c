// SPDX-License-Identifier: BSD-3-Clause
/*
 * A function whose configuration space says anything at all, then a guest that reads and writes all of
 * it: what is hidden must stay so, and what cannot be understood must be refused. Input: sizes of the
 * BARs (6 bytes, powers of two), then the configuration space.
 */
#include "tests/fake/vfio_guest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fact)
{
	if (!fact)
		abort();
}

/* The list of standard capabilities ends, and never names one that no table knows. */
static void list_check(void)
{
	unsigned int at = fake_cfg_read(0x34, 1), step = 0;

	for (; at != 0 && step < 64; step++) {
		unsigned int id = fake_cfg_read(at, 1);

		check(id == 1 || id == 3 || id == 5 || id == 9 || id == 0x10 || id == 0x11);
		at = fake_cfg_read(at + 1, 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fake_guest_init();
	for (unsigned int i = 0; i < 6 && i < size; i++)
		fake_guest.region_bytes[i] = data[i] == 0 ? 0 : 1ULL << (data[i] % 20);
	if (size > 6)
		memcpy(fake_guest.config, data + 6, u64_min(size - 6, sizeof(fake_guest.config)));
	if (fake_guest_start(true, NULL) == 0) {
		list_check();
		for (unsigned int off = 0; off < 4096; off += 4) {
			fake_cfg_write(off, 4, UINT32_MAX);
			fake_cfg_read(off, 4);
			fake_cfg_write(off, 4, 0);
		}
		list_check();
	}
	fake_guest_stop();
	check(fake_slot_count() <= 1 && fake_guest.irqfds == 0 && fake_guest.dma_maps == 0);
	return 0;
}

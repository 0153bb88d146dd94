// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a guest does to a VFIO function: any accesses to configuration space, BARs and the MSI-X table,
 * through the real root complex. Row of input: kind, offset (2 bytes), value (4 bytes). Afterwards
 * nothing of the function may be left: no slot, no irqfd, no DMA map.
 */
#include "tests/fake/vfio_guest.h"

#include <stdlib.h>

#define ROW_BYTES 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void row_do(const uint8_t *row)
{
	unsigned int off = get_le16(row + 1), len = 1U << (row[0] >> 4 & 1) << (row[0] >> 5 & 1);
	uint32_t value = get_le32(row + 3);
	uint8_t bytes[8] = { 0 };
	uint64_t at;

	put_le32(bytes, value);
	switch (row[0] & 7) {
	case 0:
		fake_cfg_read(off & 0xFFF, len);
		break;
	case 1:
	case 2:
		fake_cfg_write(off & 0xFFF, len, value);
		break;
	case 3:
		fake_cfg_write((off & 0xFF) & ~3U, 4, value); /* BARs, capabilities */
		break;
	case 4:
		pci_host_reset(fake_guest.pci);
		(void)pci_host_assign(fake_guest.pci, NULL);
		break;
	default:
		at = fake_bar(row[0] & 1 ? 3 : 0) + (off & 0x7FFF);
		if ((row[0] & 7) == 7)
			bus_read(&fake_guest.mmio, 0, at, bytes, 2 * len);
		else
			bus_write(&fake_guest.mmio, 0, at, bytes, 2 * len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fake_guest_init();
	if (size > 0)
		fake_guest.msix_noresize = data[0] & 1;
	if (fake_guest_start(true, NULL) < 0)
		abort();
	for (size_t i = 1; range_fits(i, ROW_BYTES, size); i += ROW_BYTES)
		row_do(data + i);
	fake_guest_stop();
	if (fake_slot_count() != 1 || fake_guest.irqfds != 0 || fake_guest.dma_maps != 0 ||
	    fake_guest.dma_hole)
		abort();
	return 0;
}

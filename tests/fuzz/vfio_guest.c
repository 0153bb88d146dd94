// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a guest does to a VFIO function: any accesses to configuration space, BARs and the MSI-X table,
 * through the real root complex, and to the root complex and the port above the function, while the
 * host asks for the function or pulls it. Row of input: kind, offset (2 bytes), value (4 bytes).
 * Afterwards nothing of the function may be left: no slot, no irqfd, no DMA map, no file descriptor.
 */
#include "tests/fake/vfio_guest.h"

#include "vmm/pci_host.h"

#include <stdlib.h>
#include <unistd.h>

#define ROW_BYTES 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Host bridge, or the first root port, through CF8/CFC. */
static void board_write(unsigned int off, unsigned int len, uint32_t value)
{
	unsigned int devfn = (off & 0x8000) != 0 ? PCI_PORT_DEV_FIRST << 3 : 0;
	uint8_t select[4], bytes[4];

	put_le32(select, 0x80000000U | devfn << 8 | (off & 0xFC));
	put_le32(bytes, value);
	bus_write(&fake_guest.pio, 0, 0xCF8, select, 4);
	bus_write(&fake_guest.pio, 0, 0xCFC + (off & 3 & ~(len - 1)), bytes, len);
}

/* The host's side, between two accesses. */
static void host_acts(unsigned int what)
{
	struct pci_dev *dev = fake_guest.pci->ports[0]->bus.devs[0];

	if (dev != NULL && what % 8 == 0)
		(void)pci_host_unplug_request(fake_guest.pci, dev);
	else if (dev != NULL && what % 64 == 1)
		(void)pci_host_pull(fake_guest.pci, dev);
	(void)loop_step(fake_guest.loop, 0);
}

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
	case 5:
		if ((row[0] & 0x80) != 0)
			host_acts(value);
		else
			board_write(off, len, value);
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
	int lowest = dup(STDERR_FILENO);

	close(lowest);
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
	if (dup(STDERR_FILENO) != lowest)
		abort();
	close(lowest);
	return 0;
}

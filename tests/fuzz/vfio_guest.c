// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a guest does to a VFIO function: any accesses to configuration space, BARs and the MSI-X table,
 * through the real root complex, and to the root complex and the port above the function, while the
 * host asks for the function or pulls it. The first byte says how the host is and whether the function has
 * the shape of the next bytes: sizes and kinds of its BARs, MSI-X table and pending bits anywhere. Row of
 * input: kind, offset (2 bytes), value (4 bytes). Afterwards nothing of the function may be left: no slot,
 * no irqfd, no DMA map, no file descriptor.
 */
#include "tests/fake/vfio_guest.h"

#include "base/log.h"
#include "vmm/pci_host.h"

#include <stdlib.h>
#include <unistd.h>

#define ROW_BYTES   7
#define SHAPE_BYTES (6 + 2 + 4 + 4 + 1)
#define IS_NORESIZE 0x01
#define IS_SHAPED   0x02

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

/* Of each BAR the low 5 bits are the size's logarithm (0: absent), the others those of its register. */
static void shape_load(const uint8_t *shape)
{
	static const uint8_t kinds[] = { 0x0, 0x4, 0x8, 0xC, 0x1, 0x0, 0x4, 0xC };
	uint16_t vectors = get_le16(shape + 6) & 0x7FF;
	unsigned int areas = shape[16] & 3;

	for (unsigned int i = 0; i < 6; i++) {
		unsigned int bits = shape[i] & 0x1F;

		/* The fake's regions are 16 MiB apart. */
		fake_bar_set(i, bits > 1 && bits < 20 ? 1U << bits : 0, kinds[shape[i] >> 5]);
		fake_guest.no_mmap[i] = (shape[16] >> 2 & 7) == i;
	}
	put_le16(&fake_guest.config[FAKE_MSIX + 2], vectors);
	put_le32(&fake_guest.config[FAKE_MSIX + 4], get_le32(shape + 8) & 0xFFFFF);
	put_le32(&fake_guest.config[FAKE_MSIX + 8], get_le32(shape + 12) & 0xFFFFF);
	fake_guest.irq_count[VFIO_IRQ_MSIX] = vectors + 1U;
	fake_guest.host_vectors_left = vectors;
	fake_guest.area_count[0] = areas;
	for (unsigned int i = 0; i < areas; i++)
		fake_guest.areas[0][i] = (struct vfio_area){ i * 0x2000U, 0x1000 };
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
		at = fake_bar(((row[0] & 1) + (row[0] >> 5 & 6)) % 6) + off;
		if ((row[0] & 7) == 7)
			bus_read(&fake_guest.mmio, 0, at, bytes, 2 * len);
		else
			bus_write(&fake_guest.mmio, 0, at, bytes, 2 * len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first = size > SHAPE_BYTES && (data[0] & IS_SHAPED) != 0 ? 1 + SHAPE_BYTES : 1;
	int lowest = dup(STDERR_FILENO);
	bool is_up;

	close(lowest);
	log_init("fuzz", LOG_LEVEL_ERROR);
	fake_guest_init();
	if (size > 0)
		fake_guest.msix_noresize = (data[0] & IS_NORESIZE) != 0;
	if (first > 1)
		shape_load(data + 1);
	/* Impossible shapes are refused, the card's own never. */
	is_up = fake_guest_start(true, NULL) == 0;
	if (!is_up && first == 1)
		abort();
	for (size_t i = first; is_up && range_fits(i, ROW_BYTES, size); i += ROW_BYTES)
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

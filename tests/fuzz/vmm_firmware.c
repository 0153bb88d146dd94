// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a guest can do to fw_cfg (ports, and DMA requests wherever it likes), to its variable flash and to ECAM before it
 * asks for the ACPI files. Eight bytes are one access; at the end the flash is what a naive copy of it is.
 */
#include "fake_board.h"

#include "vmm/flash.h"
#include "vmm/fwcfg_acpi.h"

#define STEP	   8
#define FLASH_AT   0xFFC00000ULL
#define FLASH_SIZE (4 * FLASH_BLOCK)
#define REQUEST	   0x2000U

struct board {
	struct machine m;
	struct fwcfg *fw;
	struct fwcfg_acpi acpi;
	struct flash flash;
	uint8_t image[FLASH_SIZE], copy[FLASH_SIZE], taken[FLASH_SIZE];
	bool slot;
};

static void show(void *arg, bool array)
{
	struct board *b = arg;

	if (b->slot == array)
		abort();
	b->slot = array;
}

/* What changed is what is taken, or the file behind it would be wrong. */
static void settled(void *arg)
{
	struct board *b = arg;
	uint16_t blocks[FLASH_BLOCKS];
	unsigned int n = flash_changes_take(&b->flash, b->taken, blocks);

	for (unsigned int i = 0; i < n; i++)
		memcpy(b->copy + blocks[i] * (size_t)FLASH_BLOCK,
		       b->taken + i * (size_t)FLASH_BLOCK, FLASH_BLOCK);
	if (memcmp(b->copy, b->image, FLASH_SIZE) != 0)
		abort();
}

static void dma(struct board *b, const uint8_t *p)
{
	static const uint64_t targets[] = { 0x100000, VMM_MIN_MEMORY - 16, VMM_MIN_MEMORY,
					    UINT64_MAX - 8, REQUEST };
	/* Big-endian: control, length, address */
	uint8_t request[16] = { 0, p[2], 0, p[3], p[4], p[5], p[6], p[7] };
	uint64_t target = targets[p[1] % ARRAY_SIZE(targets)];
	uint32_t low = 0;

	for (unsigned int i = 0; i < 8; i++)
		request[8 + i] = (uint8_t)(target >> (56 - 8 * i));
	(void)gmem_write(&b->m.gmem, REQUEST, request, sizeof(request));
	for (unsigned int i = 0; i < 4; i++)
		low |= (REQUEST >> (24 - 8 * i) & 0xFF) << 8 * i;
	bus_write(&b->m.pio, 0, FWCFG_PORT + 8, &low, 4);
}

static void step(struct board *b, const uint8_t *p)
{
	unsigned int len = 1U << (p[0] >> 3 & 3);
	uint64_t value = get_le32(p + 4), off = get_le16(p + 1);

	switch (p[0] & 7) {
	case 0:
		bus_write(&b->m.pio, 0, FWCFG_PORT + off % FWCFG_SIZE, &value, len);
		break;
	case 1:
		bus_read(&b->m.pio, 0, FWCFG_PORT + off % FWCFG_SIZE, &value, len);
		break;
	case 2:
		dma(b, p);
		break;
	case 3:
		bus_write(&b->m.mmio, 0, FLASH_AT + off % FLASH_SIZE, &value, len);
		break;
	case 4:
		bus_read(&b->m.mmio, 0, FLASH_AT + off % FLASH_SIZE, &value, len);
		break;
	case 5: /* configuration of any function, by CF8 and CFC */
		off = 0x80000000 | (off & 0xFFFC);
		bus_write(&b->m.pio, 0, 0xCF8, &off, 4);
		bus_write(&b->m.pio, 0, 0xCFC + (p[3] & 3), &value, len);
		break;
	case 6:
		bus_read(&b->m.mmio, 0, 0xB0000000 + value % 0x50000000, &value, len);
		break;
	default:
		pci_host_reset(b->m.pci);
		fwcfg_reset(b->fw);
		fwcfg_acpi_reset(&b->acpi);
		flash_reset(&b->flash);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct board board;
	struct board *b = &board;
	struct io_region flash = {
		.name = "flash", .base = FLASH_AT, .size = FLASH_SIZE, .ops = &flash_ops
	};

	memset(b, 0, sizeof(*b));
	board_init(&b->m);
	b->slot = true;
	flash.owner = &b->flash;
	if (gmem_create(&b->m.gmem, VMM_MIN_MEMORY, 0, 0, NULL) < 0 ||
	    pci_host_add_ports(b->m.pci, 2, NULL) < 0 ||
	    fwcfg_create(&b->m.gmem, &b->m.pio, &b->fw, NULL) < 0 ||
	    fwcfg_acpi_init(&b->acpi, b->m.pci, 2, b->fw) < 0 ||
	    fwcfg_add_bytes(b->fw, 0, "etc/e820", "12345678901234567890", 20) < 0 ||
	    flash_init(&b->flash, b->image, FLASH_SIZE) < 0 || bus_add(&b->m.mmio, &flash) < 0)
		abort();
	b->flash.show = show;
	b->flash.settled = settled;
	b->flash.arg = b;
	for (; size >= STEP; data += STEP, size -= STEP)
		step(b, data);
	flash_reset(&b->flash);
	if (!b->slot || memcmp(b->copy, b->image, FLASH_SIZE) != 0)
		abort();
	bus_del(&b->m.mmio, &flash);
	flash_fini(&b->flash);
	fwcfg_destroy(b->fw);
	gmem_destroy(&b->m.gmem);
	board_fini(&b->m);
	return 0;
}

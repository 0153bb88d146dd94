// SPDX-License-Identifier: BSD-3-Clause
/* A guest's accesses to I/O ports with the whole chipset behind them. Eight bytes are one access. */
#include "fake_board.h"

#include "vmm/chipset.h"
#include "vmm/layout.h"

#define STEP 8

void machine_end_request(struct machine *m, enum machine_end why, const char *fmt, ...)
{
}

void machine_reset_request(struct machine *m, enum reset_cause cause)
{
}

void machine_panic_request(struct machine *m, unsigned int events)
{
}

void machine_watchdog_request(struct machine *m, unsigned int seconds)
{
}

static void step(struct machine *m, const uint8_t *p)
{
	static const uint16_t bases[] = { 0x3F8, 0x70, 0x60, 0x600, 0xCF8, 0x620, 0x660, 0 };
	unsigned int base = p[0] >> 5, len = 1U << (p[0] >> 1 & 3);
	uint16_t port = (uint16_t)(bases[base] + (base == 7 ? get_le16(p + 1) : p[1] & 0x1F));
	uint64_t value = get_le32(p + 3);

	if ((p[0] & 1) != 0)
		bus_write(&m->pio, 0, port, &value, len);
	else
		bus_read(&m->pio, 0, port, &value, len);
	if (p[7] == 0xFF)
		chipset_power_button(m->chipset);
	if (p[7] == 0xFD)
		chipset_pause(m->chipset, (p[6] & 1) != 0);
	if (p[7] == 0xFC) /* what RCBA points to at direct boot */
		bus_write(&m->mmio, 0, LAYOUT_RCBA + (get_le16(p + 1) & 0x3FFF), &value, len);
	if (p[7] == 0xFE) {
		pci_host_reset(m->pci);
		chipset_reset(m->chipset);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmm_spec spec = { .console_fd = -1, .console_log_fd = -1, .console_log_old_fd = -1 };
	struct machine m = { .vm_fd = -1, .spec = &spec };

	board_init(&m);
	/* The reset vector is RAM. */
	if (gmem_create(&m.gmem, VMM_MIN_MEMORY, 0, 0, NULL) < 0)
		abort();
	if (loop_create(&m.loop, NULL) < 0 || chipset_create(&m, &m.chipset, NULL) < 0 ||
	    chipset_boot_direct(m.chipset, NULL) < 0)
		abort();
	for (; size >= STEP; data += STEP, size -= STEP)
		step(&m, data);
	loop_step(m.loop, 0);
	chipset_destroy(m.chipset);
	board_fini(&m);
	gmem_destroy(&m.gmem);
	loop_destroy(m.loop);
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
/* Configuration space, and the board put in order again so that there is something to work on. */
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define CF8	     0xCF8
#define CFC	     0xCFC
#define CF8_ENABLE   0x80000000U
#define WINDOW	     0xC0000000ULL
#define WINDOW_STEP  0x200000ULL
#define BRIDGE_CLASS 0x0604
#define CAP_EXP	     0x10
#define CAP_MSIX     0x11

struct vf_place vf_places[VFS];
unsigned int vf_count;
volatile uint64_t ecam_guess = ECAM_BASE;

uint32_t cfg_get(unsigned int bdf, unsigned int off, unsigned int len)
{
	uint16_t data = (uint16_t)(CFC + (off & 3));

	out32(CF8, CF8_ENABLE | bdf << 8 | (off & 0xFC));
	return len == 1 ? in8(data) : len == 2 ? in16(data) : in32(data);
}

void cfg_put(unsigned int bdf, unsigned int off, unsigned int len, uint32_t v)
{
	uint16_t data = (uint16_t)(CFC + (off & 3));

	out32(CF8, CF8_ENABLE | bdf << 8 | (off & 0xFC));
	if (len == 1)
		out8(data, (uint8_t)v);
	else if (len == 2)
		out16(data, (uint16_t)v);
	else
		out32(data, v);
}

unsigned int cap_find(unsigned int bdf, unsigned int id)
{
	unsigned int at = cfg_get(bdf, 0x34, 1) & 0xFC;

	for (int step = 0; at >= 0x40 && step < 48; step++) {
		if (cfg_get(bdf, at, 1) == id)
			return at;
		at = cfg_get(bdf, at + 1, 1) & 0xFC;
	}
	return 0;
}

static void bars_place(unsigned int bdf, struct vf_place *p, uint64_t at)
{
	for (unsigned int i = 0; i < 6; i++) {
		unsigned int reg = 0x10 + 4 * i;
		uint32_t kind = cfg_get(bdf, reg, 4) & 0xF;
		uint64_t size;

		cfg_put(bdf, reg, 4, 0xFFFFFFFF);
		size = (uint32_t) - (int32_t)(cfg_get(bdf, reg, 4) & 0xFFFFFFF0);
		p->bar[i] = p->size[i] = 0;
		if (size == 0 || size > WINDOW_STEP / 2)
			continue;
		at = (at + size - 1) & ~(size - 1);
		cfg_put(bdf, reg, 4, (uint32_t)at);
		p->bar[i] = at;
		p->size[i] = size;
		at += size;
		if ((kind & 4) != 0 && i < 5) {
			cfg_put(bdf, reg + 4, 4, 0);
			p->bar[++i] = 0;
		}
	}
}

static void port_tidy(unsigned int slot, unsigned int bus, uint64_t window)
{
	unsigned int bdf = slot << 3, exp = cap_find(bdf, CAP_EXP);

	cfg_put(bdf, 0x18, 1, 0);
	cfg_put(bdf, 0x19, 1, bus);
	cfg_put(bdf, 0x1A, 1, bus);
	cfg_put(bdf, 0x20, 4, (uint32_t)(((window + WINDOW_STEP - 1) & 0xFFF00000) | window >> 16));
	cfg_put(bdf, 0x3E, 2, 0);
	cfg_put(bdf, 0x04, 2, 6);
	if (exp == 0)
		return;
	cfg_put(bdf, exp + 0x10, 2, 0); /* link on */
	cfg_put(bdf, exp + 0x18, 2, 0); /* power on, no slot interrupts */
}

static void vf_tidy(unsigned int bdf, struct vf_place *p, uint64_t window)
{
	unsigned int msix = cap_find(bdf, CAP_MSIX);
	uint32_t table;

	cfg_put(bdf, 0x04, 2, 0);
	bars_place(bdf, p, window);
	cfg_put(bdf, 0x04, 2, 6);
	p->msix = (uint8_t)msix;
	if (msix == 0)
		return;
	table = cfg_get(bdf, msix + 4, 4);
	p->msix_bar = (table & 7) % 6;
	p->msix_offset = table & ~7U;
	cfg_put(bdf, msix + 2, 2, 0x8000);
}

void board_tidy(void)
{
	unsigned int n = 0;

	cfg_put(0, 0x64, 4, 0);
	cfg_put(0, 0x60, 4, (uint32_t)ECAM_BASE | 1);
	ecam_guess = ECAM_BASE;
	for (unsigned int slot = 1; slot < 31 && n < VFS; slot++) {
		uint64_t window = WINDOW + slot * WINDOW_STEP;

		if (cfg_get(slot << 3, 0x0A, 2) != BRIDGE_CLASS)
			continue;
		port_tidy(slot, slot, window);
		if (cfg_get(slot << 8, 0, 4) == 0xFFFFFFFF)
			continue;
		vf_places[n].bus = (uint8_t)slot;
		vf_tidy(slot << 8, &vf_places[n++], window);
	}
	if (n > vf_count)
		vf_count = n;
}

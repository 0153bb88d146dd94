// SPDX-License-Identifier: BSD-3-Clause
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define CAP_PM	 0x01
#define CAP_MSI	 0x05
#define CAP_EXP	 0x10
#define LPC_BDF	 (0x1F << 3)
#define PM1_CNT	 4
#define MSI_GOOD 0xFEE00000U

static struct vf_place *any_vf(struct cpu *c)
{
	return &vf_places[random_below(c, vf_count == 0 ? 1 : vf_count)];
}

static unsigned int any_port(struct cpu *c)
{
	return (1 + random_below(c, 4)) << 3;
}

/* Mostly a function that is there. */
static unsigned int any_function(struct cpu *c)
{
	switch (random_below(c, 8)) {
	case 0:
		return 0;
	case 1:
		return LPC_BDF;
	case 2:
	case 3:
		return any_port(c);
	case 4:
		return (unsigned int)random_get(c) & 0xFFFF;
	case 5: /* behind a port, wherever it thinks that it is */
		return (cfg_get(any_port(c), 0x19, 1) & 0xFF) << 8;
	default:
		return (unsigned int)any_vf(c)->bus << 8;
	}
}

static unsigned int any_register(struct cpu *c)
{
	switch (random_below(c, 4)) {
	case 0:
		return random_below(c, 4096);
	case 1:
		return random_below(c, 0x40);
	default:
		return random_below(c, 256);
	}
}

/* Through ECAM or CF8/CFC, of any width, at any offset. */
void op_cfg_write(struct cpu *c)
{
	unsigned int bdf = any_function(c), reg = any_register(c), len = random_width(c);
	uint64_t value = random_value(c), ecam = ecam_guess + ((uint64_t)bdf << 12) + reg;

	if (bdf == LPC_BDF && reg >= 0x3D && reg < 0x48)
		return; /* the way to the power-off bit: op_pm_base() goes there */
	if (one_in(c, 2) || ram_overlaps(ecam, len))
		cfg_put(bdf, reg, len & 7, (uint32_t)value);
	else
		mmio_write(ecam, len, value);
}

void op_cfg_read(struct cpu *c)
{
	unsigned int bdf = any_function(c), reg = any_register(c), len = random_width(c);

	if (one_in(c, 2))
		(void)cfg_get(bdf, reg, len);
	else
		(void)mmio_read(ecam_guess + ((uint64_t)bdf << 12) + reg, len);
}

void op_bar_move(struct cpu *c)
{
	struct vf_place *p = any_vf(c);
	unsigned int bdf = (unsigned int)p->bus << 8, i = random_below(c, 6);
	uint64_t to = random_address(c);

	if (one_in(c, 4))
		cfg_put(bdf, 0x04, 2, 0);
	cfg_put(bdf, 0x10 + 4 * i, 4, (uint32_t)to);
	if (i < 5 && one_in(c, 2))
		cfg_put(bdf, 0x14 + 4 * i, 4, (uint32_t)(to >> 32));
	cfg_put(bdf, 0x04, 2, 6);
	p->bar[i] = to & ~0xFULL;
}

void op_bar_size(struct cpu *c)
{
	unsigned int bdf = any_function(c), reg = 0x10 + 4 * random_below(c, 6);
	uint32_t old = cfg_get(bdf, reg, 4);

	cfg_put(bdf, reg, 4, 0xFFFFFFFF);
	(void)cfg_get(bdf, reg, 4);
	cfg_put(bdf, reg, 4, old);
}

/* Registers of a BAR that the other vCPU may be moving at this moment. */
void op_bar_touch(struct cpu *c)
{
	struct vf_place *p = any_vf(c);

	for (int n = 0; n < 16; n++) {
		unsigned int i = random_below(c, 6), len = random_width(c);
		uint64_t size = p->size[i] == 0 ? 0x4000 : p->size[i];
		uint64_t at = p->bar[i] + random_get(c) % (size + 8);

		if (p->bar[i] == 0 || ram_overlaps(at, 16))
			continue;
		if (one_in(c, 2))
			mmio_write(at, len, random_value(c));
		else
			(void)mmio_read(at, len);
	}
}

void op_command(struct cpu *c)
{
	unsigned int bdf = any_function(c);

	for (int n = 0; n < 4; n++)
		cfg_put(bdf, 0x04, 2, (uint32_t)random_get(c));
	if (!one_in(c, 4))
		cfg_put(bdf, 0x04, 2, 6);
}

void op_power_state(struct cpu *c)
{
	unsigned int bdf = any_function(c), pm = cap_find(bdf, CAP_PM);

	if (pm != 0)
		cfg_put(bdf, pm + 4, 2, random_below(c, 4));
}

void op_flr(struct cpu *c)
{
	unsigned int bdf = (unsigned int)any_vf(c)->bus << 8, exp = cap_find(bdf, CAP_EXP);

	if (exp == 0)
		return;
	if (one_in(c, 4)) /* by its byte alone */
		cfg_put(bdf, exp + 9, 1, 0x80);
	else
		cfg_put(bdf, exp + 8, 2, 0x8000 | (uint32_t)(random_get(c) & 0x7FFF));
}

void op_msix_control(struct cpu *c)
{
	struct vf_place *p = any_vf(c);
	unsigned int bdf = (unsigned int)p->bus << 8;

	if (p->msix == 0)
		return;
	for (int n = 0; n < 4; n++)
		cfg_put(bdf, p->msix + 2U, 2, (uint32_t)random_get(c));
	cfg_put(bdf, p->msix + 2U, 2, 0x8000);
}

/* Vectors aimed, masked and unmasked; most at the local APIC, some at nonsense. */
void op_msix_table(struct cpu *c)
{
	struct vf_place *p = any_vf(c);
	uint64_t table = p->bar[p->msix_bar] + p->msix_offset;

	if (p->msix == 0 || p->bar[p->msix_bar] == 0 || ram_overlaps(table, 0x1000))
		return;
	for (int n = 0; n < 8; n++) {
		uint64_t entry = table + 16ULL * random_below(c, 4);
		bool nonsense = one_in(c, 3);

		mmio_write(entry + 12, 4, random_get(c) & 1);
		mmio_write(entry, 4,
			   nonsense ? random_value(c) : MSI_GOOD | random_below(c, 2) << 12);
		mmio_write(entry + 4, 4, nonsense ? random_value(c) : 0);
		mmio_write(entry + 8, 4, nonsense ? random_value(c) : 0x40 + random_below(c, 0x80));
		mmio_write(entry + 12, 4, random_get(c) & 1);
		if (one_in(c, 4))
			mmio_write(entry + random_below(c, 32), random_width(c), random_value(c));
	}
}

void op_msi(struct cpu *c)
{
	unsigned int bdf = any_function(c), msi = cap_find(bdf, CAP_MSI);

	if (msi == 0)
		return;
	cfg_put(bdf, msi + 4, 4, one_in(c, 2) ? MSI_GOOD : (uint32_t)random_value(c));
	cfg_put(bdf, msi + 8, 4, one_in(c, 2) ? 0 : (uint32_t)random_value(c));
	cfg_put(bdf, msi + 12, 2, (uint32_t)random_value(c));
	cfg_put(bdf, msi + 2, 2, (uint32_t)random_get(c));
}

void op_bridge(struct cpu *c)
{
	unsigned int bdf = any_port(c);

	for (int n = 0; n < 4; n++)
		cfg_put(bdf, 0x18 + random_below(c, 0x28), 1U << random_below(c, 3),
			(uint32_t)random_value(c));
}

void op_slot(struct cpu *c)
{
	unsigned int bdf = any_port(c), exp = cap_find(bdf, CAP_EXP);

	if (exp == 0)
		return;
	for (int n = 0; n < 3; n++)
		cfg_put(bdf, exp + 0x10 + random_below(c, 0x10), 2, (uint32_t)random_value(c));
	if (one_in(c, 2)) { /* power off and on, with every interrupt asked for */
		cfg_put(bdf, exp + 0x18, 2, 0x1FFF);
		cfg_put(bdf, exp + 0x18, 2, 0x1BFF);
	}
}

void op_pciexbar(struct cpu *c)
{
	uint64_t to = random_address(c) & ~0x3FFFFFFULL;
	uint32_t length = random_below(c, 4) << 1;

	if (one_in(c, 2))
		to = ECAM_BASE;
	cfg_put(0, 0x64, 4, (uint32_t)(to >> 32));
	cfg_put(0, 0x60, 4, (uint32_t)to | length | !one_in(c, 8));
	ecam_guess = to;
}

void op_tidy(struct cpu *c)
{
	(void)c;
	board_tidy();
}

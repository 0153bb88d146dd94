// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_pm.h"

#include "vmm/layout.h"

#include <assert.h>
#include <errno.h>

#define PM1_CNT_SLP_EN	  0x20 /* in the second byte, like the type */
#define PM1_CNT_SLP_TYPE  0x1C
#define PM1_CNT_SLP_BYTE  (PM1_CNT + 1)
#define PM1_CNT_S5_TYPE	  0x00 /* as the DSDT and stock OVMF have it */
#define PM_TIMER_TOP_MASK 0x80000000U

static const struct pci_cfg_reg pm_regs[] = {
	{ PM1_STS, 2, 0, 0, 0xC731 },	   { PM1_EN, 2, 0, 0x4721 },
	{ PM1_CNT, 4, 0x0001, 0x1C02 }, /* there is no SMI: SCI_EN is always on */
	{ GPE0_STS, 4, 0, 0, 0xFFFFFFFF }, { GPE0_STS + 4, 4, 0, 0, 0xFFFFFFFF },
	{ GPE0_EN, 4, 0, 0xFFFFFFFF },	   { GPE0_EN + 4, 4, 0, 0xFFFFFFFF },
};

/* What each of the regions starts with and holds. */
static const struct {
	uint8_t off;
	uint8_t size;
} pm_parts[] = {
	{ 0, PM_TMR },
	{ PM_TMR, 4 },
	{ PM_TMR + 4, PM_TCO - PM_TMR - 4 },
	{ PM_TCO, TCO_SIZE },
};

static_assert(PM_TCO + TCO_SIZE == PM_SIZE, "the watchdog's registers are the block's last");

uint32_t pm_timer_ticks(uint64_t now_ns)
{
	return (uint32_t)((unsigned __int128)now_ns * PM_TIMER_HZ / 1000000000U);
}

static uint32_t pm_timer_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return pm_timer_ticks((uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec);
}

static uint64_t pm_timer_read(void *owner, uint64_t off, unsigned int len)
{
	(void)owner;
	(void)len;
	return pm_timer_now() >> 8 * off;
}

static void sci_update(struct pm *pm)
{
	uint16_t pm1 = pci_cfg_get16(&pm->regs, PM1_STS) & pci_cfg_get16(&pm->regs, PM1_EN) &
		       (uint16_t)~PM1_TMROF;
	uint64_t gpe = get_le64(&pm->regs.value[GPE0_STS]) & get_le64(&pm->regs.value[GPE0_EN]);
	bool sci = pm1 != 0 || gpe != 0;

	if (sci != pm->sci && irq_line_set(pm->irq, LAYOUT_IRQ_SCI, sci) == 0)
		pm->sci = sci;
}

static void timer_overflow_note(struct pm *pm)
{
	bool msb = (pm_timer_now() & PM_TIMER_TOP_MASK) != 0;

	if (msb != pm->timer_msb)
		pm->regs.value[PM1_STS] |= PM1_TMROF;
	pm->timer_msb = msb;
}

static uint64_t pm_read(struct pm *pm, unsigned int off, unsigned int len)
{
	if (pci_cfg_touches(off, len, PM1_STS, 2))
		timer_overflow_note(pm);
	if (len == 8)
		return pci_cfg_read(&pm->regs, off, 4) |
		       (uint64_t)pci_cfg_read(&pm->regs, off + 4, 4) << 32;
	return pci_cfg_read(&pm->regs, off, len);
}

static void pm_write(struct pm *pm, unsigned int off, unsigned int len, uint64_t value)
{
	uint8_t sleep;

	if (len > 4) /* ports have no such access */
		return;
	pci_cfg_write(&pm->regs, off, len, (uint32_t)value);
	sci_update(pm);
	if (!pci_cfg_touches(off, len, PM1_CNT_SLP_BYTE, 1))
		return;
	sleep = (uint8_t)(value >> 8 * (PM1_CNT_SLP_BYTE - off));
	if ((sleep & PM1_CNT_SLP_EN) != 0 && (sleep & PM1_CNT_SLP_TYPE) == PM1_CNT_S5_TYPE)
		pm->power_off(pm->arg);
}

static uint64_t pm_low_read(void *owner, uint64_t off, unsigned int len)
{
	return pm_read(owner, (unsigned int)off, len);
}

static void pm_low_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	pm_write(owner, (unsigned int)off, len, value);
}

static uint64_t pm_high_read(void *owner, uint64_t off, unsigned int len)
{
	return pm_read(owner, (unsigned int)off + pm_parts[2].off, len);
}

static void pm_high_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	pm_write(owner, (unsigned int)off + pm_parts[2].off, len, value);
}

static uint64_t pm_tco_read(void *owner, uint64_t off, unsigned int len)
{
	struct pm *pm = owner;

	return pm->tco != NULL ? tco_read(pm->tco, (unsigned int)off, len) : 0;
}

static void pm_tco_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct pm *pm = owner;

	if (pm->tco != NULL)
		tco_write(pm->tco, (unsigned int)off, len, value);
}

static const struct io_ops pm_ops[] = {
	{ .read = pm_low_read, .write = pm_low_write },
	{ .read = pm_timer_read },
	{ .read = pm_high_read, .write = pm_high_write },
	{ .read = pm_tco_read, .write = pm_tco_write },
};

static void pm_unmap(struct pm *pm)
{
	if (!pm->mapped)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(pm->parts); i++)
		bus_del(pm->pio, &pm->parts[i]);
	pm->mapped = false;
}

int pm_map(struct pm *pm, bool decoded, uint16_t base)
{
	int r = 0;

	pm_unmap(pm);
	if (!decoded || base == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(pm->parts); i++) {
		pm->parts[i] = (struct io_region){
			.name = "power management",
			.base = (uint64_t)base + pm_parts[i].off,
			.size = pm_parts[i].size,
			.ops = &pm_ops[i],
			.owner = pm,
			.unlocked = pm_parts[i].off == PM_TMR,
		};
		r = bus_add(pm->pio, &pm->parts[i]);
		if (r < 0) {
			while (i-- > 0)
				bus_del(pm->pio, &pm->parts[i]);
			return r;
		}
	}
	pm->mapped = true;
	return 0;
}

void pm_reset(struct pm *pm)
{
	pm_unmap(pm);
	pci_cfg_init(&pm->regs, pm_regs, ARRAY_SIZE(pm_regs));
	pm->timer_msb = (pm_timer_now() & PM_TIMER_TOP_MASK) != 0;
	sci_update(pm);
}

void pm_init(struct pm *pm)
{
	pm->mapped = false;
	pm->sci = false;
	pm_reset(pm);
}

void pm_fini(struct pm *pm)
{
	pm_unmap(pm);
}

void pm_power_button(struct pm *pm)
{
	put_le16(&pm->regs.value[PM1_STS], pci_cfg_get16(&pm->regs, PM1_STS) | PM1_PWRBTN);
	sci_update(pm);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ICH9 power management block (ICH9 datasheet 13.8.3; ACPI 6.4, 4.8): PM1 event and control, PM
 * timer, GPE0. The SCI is level GSI 9. The timer is read without the machine's lock: firmware polls
 * it millions of times. Its overflow sets its status bit but raises no SCI. The TCO watchdog's registers
 * (chipset_tco.h) are part of the block.
 */
#ifndef VIADUCT_VMM_CHIPSET_PM_H
#define VIADUCT_VMM_CHIPSET_PM_H

#include "vmm/bus.h"
#include "vmm/chipset_tco.h"
#include "vmm/irq.h"
#include "vmm/pci_cfg.h"

#define PM_SIZE 128

/* Offsets from PMBASE */
#define PM1_STS	 0x00
#define PM1_EN	 0x02
#define PM1_CNT	 0x04
#define PM_TMR	 0x08
#define GPE0_STS 0x20
#define GPE0_EN	 0x28
#define PM_TCO	 0x60

#define PM1_TMROF  0x0001
#define PM1_PWRBTN 0x0100

#define PM_TIMER_HZ 3579545

struct pm {
	struct bus *pio; /* borrowed, like irq */
	struct irq_router *irq;
	void (*power_off)(void *arg); /* the guest entered S5 */
	void *arg;
	struct pci_cfg regs; /* PM_SIZE bytes of it */
	struct tco *tco; /* borrowed; NULL: its registers read 0 */
	struct io_region parts[4]; /* before, with and after the timer; the watchdog */
	bool mapped;
	bool sci;
	bool timer_msb; /* as last seen, for the overflow bit */
};

void pm_init(struct pm *pm);
void pm_fini(struct pm *pm);
void pm_reset(struct pm *pm);

/* Follows PMBASE and ACPI_CNTL. -EEXIST: the ports are taken, nothing is decoded. */
int pm_map(struct pm *pm, bool decoded, uint16_t base);

/* Lock held. */
void pm_power_button(struct pm *pm);

/* The timer's value at a time of CLOCK_MONOTONIC. */
uint32_t pm_timer_ticks(uint64_t now_ns);

#endif

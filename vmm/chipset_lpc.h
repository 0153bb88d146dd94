/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ICH9 LPC bridge (8086:2918, 00:1f.0; ICH9 datasheet 13.1): where firmware and the OS find the
 * power management block. Interrupt routing and other registers are plain storage.
 */
#ifndef VIADUCT_VMM_CHIPSET_LPC_H
#define VIADUCT_VMM_CHIPSET_LPC_H

#include "vmm/chipset_pm.h"
#include "vmm/pci.h"

#define LPC_DEVFN     0xF8
#define LPC_PMBASE    0x40
#define LPC_ACPI_CNTL 0x44
#define LPC_RCBA      0xF0

struct lpc {
	struct pci_dev dev; /* first */
	struct pci_cfg cfg;
	struct pm *pm; /* borrowed; NULL once the chipset has gone */
};

/* The PCI host that it is plugged into destroys it. */
int lpc_create(struct pm *pm, struct lpc **out);

#endif

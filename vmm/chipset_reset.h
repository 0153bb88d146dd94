/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports by which a guest resets itself (ICH9 datasheet 13.7: 0xCF9, 0x64, 0x92) or says that its
 * kernel has crashed (pvpanic at 0x505, docs/specs/pvpanic of QEMU). There is no keyboard controller:
 * 0x64 reads as all ones. Machine's lock held.
 */
#ifndef VIADUCT_VMM_CHIPSET_RESET_H
#define VIADUCT_VMM_CHIPSET_RESET_H

#include "vmm/bus.h"

struct machine;

#define RESET_REGIONS 3

struct reset_ports {
	struct machine *m; /* borrowed */
	uint8_t cf9, port92;
	struct io_region regions[RESET_REGIONS];
};

/* 0xCF9 sits amidst PCI's configuration ports: m->pci passes it on. */
int reset_ports_init(struct reset_ports *rp, struct machine *m, struct err *e);
void reset_ports_fini(struct reset_ports *rp); /* half-built-safe once rp->m is set */
void reset_ports_reset(struct reset_ports *rp);

/* Direct boot: what a CPU finds at its reset vector when the guest jumps there to reboot. */
int reset_vector_load(struct machine *m, struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the root complex, for pci_host.c (configuration accesses, plugging), pci_assign.c
 * (addresses at direct boot) and pci_windows.c. Everybody else uses pci.h.
 */
#ifndef VIADUCT_VMM_PCI_HOST_H
#define VIADUCT_VMM_PCI_HOST_H

#include "vmm/pci.h"
#include "vmm/pci_cfg.h"
#include "vmm/pci_port.h"

/* Root ports are 00:01.0 to 00:1e.0; 00:1f.0 is the LPC bridge. */
#define PCI_PORTS_MAX	   30
#define PCI_PORT_DEV_FIRST 1

/* Q35 host bridge (Intel 3 Series, 5.1.13): where ECAM is */
#define MCH_PCIEXBAR	0x60
#define MCH_PCIEXBAR_HI 0x64

struct pci_host {
	struct pci_host_env env;
	struct pci_bus root;
	struct pci_dev mch;
	struct pci_cfg mch_cfg;
	struct pci_port *ports[PCI_PORTS_MAX];
	unsigned int port_count;
	bool is_assigned; /* by pci_host_assign(), since the last reset */

	uint32_t cf8;
	struct io_region cf8_region;
	const struct io_ops *cf9_ops; /* NULL: nobody listens */
	void *cf9_owner;

	struct io_region ecam_region; /* size 0: not decoded */
};

#endif

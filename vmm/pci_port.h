/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hot-pluggable PCI Express root port (PCIe Base 5.0, 6.7 and 7.5.3): a bridge with one slot that
 * has attention button, indicators and power controller. Events are signalled by MSI; there is no
 * INTx. All functions need the machine's lock.
 */
#ifndef VIADUCT_VMM_PCI_PORT_H
#define VIADUCT_VMM_PCI_PORT_H

#include "vmm/pci.h"
#include "vmm/pci_cfg.h"

/* Type 1 header */
#define PCI_BRIDGE_PRIMARY	 0x18
#define PCI_BRIDGE_SECONDARY	 0x19
#define PCI_BRIDGE_SUBORDINATE	 0x1A
#define PCI_BRIDGE_MEM_BASE	 0x20
#define PCI_BRIDGE_MEM_LIMIT	 0x22
#define PCI_BRIDGE_PREF_BASE	 0x24
#define PCI_BRIDGE_PREF_LIMIT	 0x26
#define PCI_BRIDGE_PREF_BASE_HI	 0x28
#define PCI_BRIDGE_PREF_LIMIT_HI 0x2C
#define PCI_BRIDGE_CONTROL	 0x3E

/* Capabilities of the port */
#define PCI_PORT_EXP 0x40
#define PCI_PORT_PM  0x80
#define PCI_PORT_MSI 0x90

#define PCI_PORT_LNKCTL (PCI_PORT_EXP + 0x10)
#define PCI_PORT_LNKSTA (PCI_PORT_EXP + 0x12)
#define PCI_PORT_SLTCAP (PCI_PORT_EXP + 0x14)
#define PCI_PORT_SLTCTL (PCI_PORT_EXP + 0x18)
#define PCI_PORT_SLTSTA (PCI_PORT_EXP + 0x1A)

struct pci_port {
	struct pci_dev dev; /* first */
	struct pci_bus bus; /* behind the port */
	struct irq_router *irq; /* borrowed */
	struct pci_cfg cfg;
	unsigned int slot; /* slot number, from 1 */
	bool events_signalled; /* the condition of 6.7.3.4 holds: the next MSI is sent when it rises anew */
	bool unplug_pending;
	char name[24];
};

int pci_port_create(unsigned int slot, struct irq_router *irq, struct pci_port **out);

static inline bool pci_port_is_empty(const struct pci_port *port)
{
	return port->bus.devs[0] == NULL;
}

/* Puts dev into the empty slot; hot: the guest runs and is told. */
void pci_port_insert(struct pci_port *port, struct pci_dev *dev, bool hot);

void pci_port_unplug_request(struct pci_port *port);

/* The card is pulled: the device is destroyed now, presence and link change are signalled. */
void pci_port_pull(struct pci_port *port);

/* True if configuration accesses to bus_nr go through this port. */
static inline bool pci_port_routes(const struct pci_port *port, unsigned int bus_nr)
{
	return bus_nr != 0 && bus_nr >= port->cfg.value[PCI_BRIDGE_SECONDARY] &&
	       bus_nr <= port->cfg.value[PCI_BRIDGE_SUBORDINATE];
}

/* The function that answers at bus_nr, devfn behind the port; NULL: nobody. */
struct pci_dev *pci_port_find(struct pci_port *port, unsigned int bus_nr, unsigned int devfn);

#endif

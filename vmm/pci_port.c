// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/pci_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* PCIe Base 5.0, 7.5.3.6 to 7.5.3.11 */
#define LNKCTL_DISABLE 0x0010
#define LNKSTA_UP      0x2103 /* link active, x16, 8 GT/s */
#define LNKSTA_ACTIVE  0x2000

#define SLTCTL_ENABLES 0x001F /* the five events that have the same bit in Slot Status */
#define SLTCTL_HPIE    0x0020
#define SLTCTL_PCC     0x0400 /* 1: power off */
#define SLTCTL_DLLSCE  0x1000

#define SLTSTA_ABP   0x0001
#define SLTSTA_PDC   0x0008
#define SLTSTA_CC    0x0010
#define SLTSTA_PDS   0x0040
#define SLTSTA_DLLSC 0x0100

#define SLTCAP_SLOT_SHIFT 19

#define MSI_ENABLE	 0x0001
#define BRIDGE_BUS_RESET 0x0040

#define EXP(off) (PCI_PORT_EXP + (off))
#define PM(off)	 (PCI_PORT_PM + (off))
#define MSI(off) (PCI_PORT_MSI + (off))

/* Root port 0 of Intel's 5520, as far as software can tell. Windows read as closed (base above
 * limit) until somebody sets them; there is no I/O window. */
static const struct pci_cfg_reg port_regs[] = {
	{ PCI_CFG_ID, 4, 0x34208086 },
	{ PCI_CFG_COMMAND, 2, 0, 0x0546 },
	{ PCI_CFG_STATUS, 2, PCI_STATUS_CAPS, 0, 0xF900 },
	{ PCI_CFG_CLASS, 4, 0x06040002 },
	{ 0x0C, 1, 0, 0xFF },
	{ PCI_CFG_HEADER, 1, 0x01 },
	{ PCI_BRIDGE_PRIMARY, 4, 0, 0x00FFFFFF },
	{ 0x1E, 2, 0, 0, 0xF900 },
	{ PCI_BRIDGE_MEM_BASE, 2, 0xFFF0, 0xFFF0 },
	{ PCI_BRIDGE_MEM_LIMIT, 2, 0, 0xFFF0 },
	{ PCI_BRIDGE_PREF_BASE, 2, 0xFFF1, 0xFFF0 },
	{ PCI_BRIDGE_PREF_LIMIT, 2, 0x0001, 0xFFF0 },
	{ PCI_BRIDGE_PREF_BASE_HI, 4, 0, 0xFFFFFFFF },
	{ PCI_BRIDGE_PREF_LIMIT_HI, 4, 0, 0xFFFFFFFF },
	{ PCI_CFG_CAPS, 1, PCI_PORT_EXP },
	{ 0x3C, 1, 0, 0xFF },
	{ PCI_BRIDGE_CONTROL, 2, 0, 0x0043 },

	{ EXP(0x00), 4, 0x01420010 | PCI_PORT_MSI << 8 }, /* version 2, root port with slot */
	{ EXP(0x04), 4, 0x00008000 }, /* DevCap: role-based errors, 128 bytes */
	{ EXP(0x08), 2, 0, 0x00FF },
	{ EXP(0x0A), 2, 0, 0, 0x000F },
	{ EXP(0x0C), 4, 0x00100103 }, /* LnkCap: active reporting, x16, 8 GT/s */
	{ PCI_PORT_LNKCTL, 2, 0, 0x00DB },
	{ PCI_PORT_LNKSTA, 2, 0x0103 },
	/* button, power controller, both indicators, hot-pluggable, 25 W, commands complete */
	{ PCI_PORT_SLTCAP, 4, 0x00000CDB },
	{ PCI_PORT_SLTCTL, 2, 0x03C0, 0x17FF },
	{ PCI_PORT_SLTSTA, 2, 0, 0, 0x011F },
	{ EXP(0x1C), 2, 0, 0x000F },
	{ EXP(0x20), 4, 0, 0, 0x00010000 },
	{ EXP(0x2C), 4, 0x0000000E }, /* LnkCap2: 2.5, 5 and 8 GT/s */
	{ EXP(0x30), 2, 0x0003, 0x000F },

	{ MSI(0x00), 4, 0x00800005 | PCI_PORT_PM << 8, 0x00010000 }, /* 64-bit, one vector */
	{ MSI(0x04), 4, 0, 0xFFFFFFFC },
	{ MSI(0x08), 4, 0, 0xFFFFFFFF },
	{ MSI(0x0C), 2, 0, 0xFFFF },

	{ PM(0x00), 4, 0x00030001 }, /* version 3, D0 and D3hot, no PME */
	{ PM(0x04), 2, 0x0008, 0x0003 }, /* no soft reset */
};

static struct pci_port *port_of(struct pci_dev *dev)
{
	return container_of(dev, struct pci_port, dev);
}

static void bits_set(struct pci_port *port, unsigned int reg, uint16_t bits)
{
	put_le16(&port->cfg.value[reg], pci_cfg_get16(&port->cfg, reg) | bits);
}

static void bits_clear(struct pci_port *port, unsigned int reg, uint16_t bits)
{
	put_le16(&port->cfg.value[reg], pci_cfg_get16(&port->cfg, reg) & (uint16_t)~bits);
}

/* PCIe Base, 6.7.3.4: one MSI each time that the condition becomes true. */
static void events_signal(struct pci_port *port)
{
	uint16_t ctl = pci_cfg_get16(&port->cfg, PCI_PORT_SLTCTL);
	uint16_t sta = pci_cfg_get16(&port->cfg, PCI_PORT_SLTSTA);
	bool enabled = (sta & ctl & SLTCTL_ENABLES) != 0 ||
		       ((sta & SLTSTA_DLLSC) != 0 && (ctl & SLTCTL_DLLSCE) != 0);
	bool condition = enabled && (ctl & SLTCTL_HPIE) != 0;
	bool rises = condition && !port->events_signalled;

	port->events_signalled = condition;
	/* A guest that programs a nonsense message loses its own interrupt, nothing else. */
	if (rises && (pci_cfg_get16(&port->cfg, MSI(2)) & MSI_ENABLE) != 0)
		irq_msi_send(port->irq,
			     pci_cfg_get32(&port->cfg, MSI(4)) |
				     (uint64_t)pci_cfg_get32(&port->cfg, MSI(8)) << 32,
			     pci_cfg_get16(&port->cfg, MSI(12)));
}

static bool slot_has_power(const struct pci_port *port)
{
	return (pci_cfg_get16(&port->cfg, PCI_PORT_SLTCTL) & SLTCTL_PCC) == 0;
}

static bool link_is_up(const struct pci_port *port)
{
	return (pci_cfg_get16(&port->cfg, PCI_PORT_LNKSTA) & LNKSTA_ACTIVE) != 0;
}

/* Brings presence and link in line with what is plugged, powered and enabled. */
static void slot_update(struct pci_port *port)
{
	bool present = !pci_port_is_empty(port);
	bool was_present = (pci_cfg_get16(&port->cfg, PCI_PORT_SLTSTA) & SLTSTA_PDS) != 0;
	bool disabled = (pci_cfg_get16(&port->cfg, PCI_PORT_LNKCTL) & LNKCTL_DISABLE) != 0;
	bool up = present && slot_has_power(port) && !disabled;

	if (present != was_present) {
		bits_set(port, PCI_PORT_SLTSTA, SLTSTA_PDC);
		if (present)
			bits_set(port, PCI_PORT_SLTSTA, SLTSTA_PDS);
		else
			bits_clear(port, PCI_PORT_SLTSTA, SLTSTA_PDS);
	}
	if (up != link_is_up(port)) {
		bits_set(port, PCI_PORT_SLTSTA, SLTSTA_DLLSC);
		if (up)
			bits_set(port, PCI_PORT_LNKSTA, LNKSTA_UP);
		else
			bits_clear(port, PCI_PORT_LNKSTA, LNKSTA_ACTIVE);
	}
}

static void child_reset(struct pci_port *port)
{
	struct pci_dev *dev = port->bus.devs[0];

	if (dev != NULL && dev->ops->reset != NULL)
		dev->ops->reset(dev);
}

static void child_remove(struct pci_port *port)
{
	struct pci_dev *dev = port->bus.devs[0];

	port->unplug_pending = false;
	if (dev == NULL)
		return;
	port->bus.devs[0] = NULL;
	dev->bus = NULL;
	dev->ops->destroy(dev);
}

static uint32_t port_cfg_read(struct pci_dev *dev, unsigned int off, unsigned int len)
{
	return pci_cfg_read(&port_of(dev)->cfg, off, len);
}

static void slot_control_written(struct pci_port *port, bool had_power)
{
	bool has_power = slot_has_power(port);

	if (had_power && !has_power) {
		if (port->unplug_pending)
			child_remove(port);
		else
			child_reset(port);
	}
	slot_update(port);
	bits_set(port, PCI_PORT_SLTSTA, SLTSTA_CC);
}

static void port_cfg_write(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value)
{
	struct pci_port *port = port_of(dev);
	bool had_power = slot_has_power(port);
	bool was_reset = (port->cfg.value[PCI_BRIDGE_CONTROL] & BRIDGE_BUS_RESET) != 0;

	pci_cfg_write(&port->cfg, off, len, value);
	if (!was_reset && (port->cfg.value[PCI_BRIDGE_CONTROL] & BRIDGE_BUS_RESET) != 0)
		child_reset(port);
	if (pci_cfg_touches(off, len, PCI_PORT_LNKCTL, 2))
		slot_update(port);
	if (pci_cfg_touches(off, len, PCI_PORT_SLTCTL, 2))
		slot_control_written(port, had_power);
	events_signal(port);
}

/* As at power on; a device that was on its way out is gone. */
static void port_reset(struct pci_dev *dev)
{
	struct pci_port *port = port_of(dev);
	uint32_t slot = (uint32_t)port->slot << SLTCAP_SLOT_SHIFT;

	if (port->unplug_pending)
		child_remove(port);
	else
		child_reset(port);
	pci_cfg_init(&port->cfg, port_regs, ARRAY_SIZE(port_regs));
	put_le32(&port->cfg.value[PCI_PORT_SLTCAP],
		 pci_cfg_get32(&port->cfg, PCI_PORT_SLTCAP) | slot);
	port->cfg.value[EXP(0x0F)] = (uint8_t)port->slot; /* LnkCap: port number */
	slot_update(port);
	/* A device that was there before the guest is no event. */
	bits_clear(port, PCI_PORT_SLTSTA, SLTSTA_PDC | SLTSTA_DLLSC);
	port->events_signalled = false;
}

static void port_destroy(struct pci_dev *dev)
{
	struct pci_port *port = port_of(dev);

	child_remove(port);
	free(port);
}

static const struct pci_dev_ops port_ops = {
	.cfg_read = port_cfg_read,
	.cfg_write = port_cfg_write,
	.reset = port_reset,
	.destroy = port_destroy,
};

int pci_port_create(unsigned int slot, struct irq_router *irq, struct pci_port **out)
{
	struct pci_port *port = calloc(1, sizeof(*port));

	if (port == NULL)
		return -ENOMEM;
	snprintf(port->name, sizeof(port->name), "root port %u", slot);
	port->dev.ops = &port_ops;
	port->dev.name = port->name;
	port->bus.bridge = &port->dev;
	port->slot = slot;
	port->irq = irq;
	port_reset(&port->dev);
	*out = port;
	return 0;
}

void pci_port_insert(struct pci_port *port, struct pci_dev *dev, bool hot)
{
	dev->bus = &port->bus;
	dev->devfn = 0;
	port->bus.devs[0] = dev;
	slot_update(port);
	if (hot) {
		/* A slot whose power is off stays off until its button is pressed. */
		if (!slot_has_power(port))
			bits_set(port, PCI_PORT_SLTSTA, SLTSTA_ABP);
		events_signal(port);
	} else {
		bits_clear(port, PCI_PORT_SLTSTA, SLTSTA_PDC | SLTSTA_DLLSC);
	}
}

void pci_port_unplug_request(struct pci_port *port)
{
	if (port->unplug_pending)
		return; /* a second press would cancel the first */
	if (!slot_has_power(port)) {
		child_remove(port);
		slot_update(port);
	} else {
		port->unplug_pending = true;
		bits_set(port, PCI_PORT_SLTSTA, SLTSTA_ABP);
	}
	events_signal(port);
}

void pci_port_pull(struct pci_port *port)
{
	child_remove(port);
	slot_update(port);
	events_signal(port);
}

struct pci_dev *pci_port_find(struct pci_port *port, unsigned int bus_nr, unsigned int devfn)
{
	if (bus_nr != port->cfg.value[PCI_BRIDGE_SECONDARY] || devfn != 0 || !link_is_up(port))
		return NULL;
	return port->bus.devs[0];
}

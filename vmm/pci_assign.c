// SPDX-License-Identifier: BSD-3-Clause
/*
 * What firmware does to PCI, for direct boot: ECAM, bus numbers, bridge windows, BARs. Every port
 * gets a bus and windows with room for a device that comes later; a guest finds everything placed
 * and keeps it. Goes through the devices' own configuration registers, as firmware would.
 */
#include "vmm/layout.h"
#include "vmm/pci_host.h"

#include <errno.h>

#define BARS	     6
#define BAR_MIN_SIZE 16

/* Bridge windows come in units of 1 MiB. */
#define WINDOW_UNIT   MIB(1)
#define PORT_MMIO32   MIB(2) /* of each port at least, also of an empty one */
#define PORT_MMIO64   GIB(1) /* ... unless the whole window is small */
#define PORT_FRACTION 64

/* Free space of an address window of the root complex. */
struct space {
	uint64_t at;
	uint64_t end;
};

struct bar {
	unsigned int index;
	uint64_t size;
	bool is_64bit;
	bool in_mmio64;
};

struct bar_list {
	struct bar bars[BARS]; /* largest first: then each is aligned if the first one is */
	unsigned int count;
};

static int space_take(struct space *s, uint64_t size, uint64_t align, uint64_t *out)
{
	uint64_t at = align_up(s->at, align);

	if (at < s->at || at > s->end || size > s->end - at)
		return -ENOSPC;
	*out = at;
	s->at = at + size;
	return 0;
}

static void bar_list_add(struct bar_list *list, const struct bar *bar)
{
	unsigned int i = list->count++;

	while (i > 0 && list->bars[i - 1].size < bar->size) {
		list->bars[i] = list->bars[i - 1];
		i--;
	}
	list->bars[i] = *bar;
}

static int bar_list_read(struct bar_list *list, struct pci_dev *dev, bool have_mmio64,
			 struct err *e)
{
	list->count = 0;
	if (dev->ops->bar_size == NULL)
		return 0;
	for (unsigned int i = 0; i < BARS; i++) {
		struct bar bar = { .index = i };
		bool prefetchable = false;

		bar.size = dev->ops->bar_size(dev, i, &bar.is_64bit, &prefetchable);
		if (bar.size == 0)
			continue;
		if (!is_pow2(bar.size) || bar.size < BAR_MIN_SIZE ||
		    (bar.is_64bit && i == BARS - 1))
			return err_set(e, EINVAL,
				       "PCI device %s: BAR %u has an impossible size %#llx",
				       dev->name, i, (unsigned long long)bar.size);
		/* Behind a bridge only what is prefetchable can be above 4 GiB (PCI-to-PCI bridge
		 * specification 1.2, 4.5). */
		bar.in_mmio64 = bar.is_64bit && prefetchable && have_mmio64;
		bar_list_add(list, &bar);
		i += bar.is_64bit;
	}
	return 0;
}

static void bar_write(struct pci_dev *dev, const struct bar *bar, uint64_t addr)
{
	unsigned int reg = PCI_CFG_BAR0 + 4 * bar->index;

	dev->ops->cfg_write(dev, reg, 4, (uint32_t)addr);
	if (bar->is_64bit)
		dev->ops->cfg_write(dev, reg + 4, 4, (uint32_t)(addr >> 32));
}

/* Places the BARs of one kind in s, one after the other. */
static int bars_place(const struct bar_list *list, struct pci_dev *dev, bool mmio64,
		      struct space *s, struct err *e)
{
	for (unsigned int i = 0; i < list->count; i++) {
		const struct bar *bar = &list->bars[i];
		uint64_t addr;

		if (bar->in_mmio64 != mmio64)
			continue;
		if (space_take(s, bar->size, bar->size, &addr) < 0)
			return err_set(
				e, ENOSPC,
				"PCI device %s: BAR %u of %llu MiB does not fit the %s window",
				dev->name, bar->index, (unsigned long long)(bar->size >> 20),
				mmio64 ? "64-bit" : "32-bit");
		bar_write(dev, bar, addr);
	}
	return 0;
}

/* A bridge window that holds the BARs of one kind, with at least min bytes (a power of 2 or 0). */
static int window_take(struct space *s, const struct bar_list *list, bool mmio64, uint64_t min,
		       struct space *out)
{
	uint64_t sum = 0, align = WINDOW_UNIT, base;
	int r;

	for (unsigned int i = 0; i < list->count; i++) {
		if (list->bars[i].in_mmio64 != mmio64)
			continue;
		if (list->bars[i].size > s->end || sum > s->end)
			return -ENOSPC;
		sum += list->bars[i].size;
		align = u64_max(align, list->bars[i].size);
	}
	/* Room that a later device can use is room that is aligned. */
	align = u64_max(align, min);
	sum = u64_max(align_up(sum, WINDOW_UNIT), min);
	if (sum == 0) {
		*out = (struct space){ 0, 0 };
		return 0;
	}
	r = space_take(s, sum, align, &base);
	if (r < 0)
		return r;
	*out = (struct space){ base, base + sum };
	return 0;
}

static void bridge_write(struct pci_dev *dev, unsigned int reg, unsigned int len, uint64_t value)
{
	dev->ops->cfg_write(dev, reg, len, (uint32_t)value);
}

static void bridge_set(struct pci_dev *dev, unsigned int bus_nr, const struct space *mem,
		       const struct space *pref)
{
	bridge_write(dev, PCI_BRIDGE_PRIMARY, 1, 0);
	bridge_write(dev, PCI_BRIDGE_SECONDARY, 1, bus_nr);
	bridge_write(dev, PCI_BRIDGE_SUBORDINATE, 1, bus_nr);
	if (mem->end != 0) {
		bridge_write(dev, PCI_BRIDGE_MEM_BASE, 2, mem->at >> 16);
		bridge_write(dev, PCI_BRIDGE_MEM_LIMIT, 2, (mem->end - 1) >> 16);
	}
	if (pref->end != 0) {
		bridge_write(dev, PCI_BRIDGE_PREF_BASE, 2, pref->at >> 16 & 0xFFF0);
		bridge_write(dev, PCI_BRIDGE_PREF_LIMIT, 2, (pref->end - 1) >> 16 & 0xFFF0);
		bridge_write(dev, PCI_BRIDGE_PREF_BASE_HI, 4, pref->at >> 32);
		bridge_write(dev, PCI_BRIDGE_PREF_LIMIT_HI, 4, (pref->end - 1) >> 32);
	}
	bridge_write(dev, PCI_CFG_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
}

struct spaces {
	struct space mmio32;
	struct space mmio64;
	uint64_t port_mmio64; /* of each port at least */
};

static int port_assign(struct pci_port *port, unsigned int bus_nr, struct spaces *sp, struct err *e)
{
	bool have_mmio64 = sp->mmio64.end != 0;
	struct pci_dev *child = port->bus.devs[0];
	struct bar_list list = { .count = 0 };
	struct space mem, pref;
	int r;

	if (child != NULL) {
		r = bar_list_read(&list, child, have_mmio64, e);
		if (r < 0)
			return r;
	}
	r = window_take(&sp->mmio32, &list, false, PORT_MMIO32, &mem);
	if (r == 0)
		r = window_take(&sp->mmio64, &list, true, sp->port_mmio64, &pref);
	if (r < 0) {
		err_set(e, r, "%s: no room for the BARs of %s", port->name,
			child != NULL ? child->name : "a hot-plugged device");
		err_hint(e, "give the VM fewer devices; large BARs need a host CPU with more "
			    "physical address bits");
		return r;
	}
	bridge_set(&port->dev, bus_nr, &mem, &pref);
	if (child == NULL)
		return 0;
	r = bars_place(&list, child, false, &mem, e);
	return r < 0 ? r : bars_place(&list, child, true, &pref, e);
}

/* Devices on bus 0 that are no ports. */
static int root_devs_assign(struct pci_host *host, struct spaces *sp, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(host->root.devs); i++) {
		struct pci_dev *dev = host->root.devs[i];
		struct bar_list list;

		if (dev == NULL)
			continue;
		r = bar_list_read(&list, dev, sp->mmio64.end != 0, e);
		if (r == 0)
			r = bars_place(&list, dev, false, &sp->mmio32, e);
		if (r == 0)
			r = bars_place(&list, dev, true, &sp->mmio64, e);
	}
	return r;
}

int pci_host_assign(struct pci_host *host, struct err *e)
{
	const struct pci_host_env *env = &host->env;
	struct spaces sp = {
		.mmio32 = { LAYOUT_MMIO32, LAYOUT_MMIO32 + LAYOUT_MMIO32_SIZE },
		.mmio64 = { env->mmio64_base, env->mmio64_base + env->mmio64_size },
	};
	int r;

	sp.port_mmio64 = PORT_MMIO64;
	while (sp.port_mmio64 > env->mmio64_size / PORT_FRACTION)
		sp.port_mmio64 /= 2;
	if (sp.port_mmio64 < WINDOW_UNIT)
		sp.port_mmio64 = 0;

	bridge_write(&host->mch, MCH_PCIEXBAR, 4, 0);
	bridge_write(&host->mch, MCH_PCIEXBAR_HI, 4, LAYOUT_ECAM >> 32);
	bridge_write(&host->mch, MCH_PCIEXBAR, 4, LAYOUT_ECAM | 1);
	if (host->ecam_region.size != LAYOUT_ECAM_SIZE)
		return err_set(e, EBUSY, "ECAM at %#llx: the address is taken", LAYOUT_ECAM);

	host->is_assigned = true;
	r = root_devs_assign(host, &sp, e);
	for (unsigned int i = 0; r == 0 && i < host->port_count; i++)
		r = port_assign(host->ports[i], i + 1, &sp, e);
	return r;
}

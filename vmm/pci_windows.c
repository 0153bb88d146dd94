// SPDX-License-Identifier: BSD-3-Clause
/*
 * Where the root complex decodes memory. At direct boot pci_host_assign() has decided it; with firmware it is read off
 * what the firmware has programmed: a window is the room between RAM, ECAM and the chipset that its resources lie in.
 */
#include "vmm/layout.h"
#include "vmm/pci_host.h"

#define BARS	  6
#define BAR_IO	  0x1
#define BAR_64BIT 0x4
#define BAR_MASK  0xFFFFFFF0U
#define FOUR_GIB  0x100000000ULL
#define UNIT_MMIO64 \
	GIB(8) /* an eighth of the smallest address space that has a 64-bit window (36 bits) */

/* End of what the guest may use for 32-bit BARs when ECAM lies below it: IOAPIC and LAPIC follow. */
#define MMIO32_END 0xFC000000ULL

struct span {
	uint64_t first, last; /* first > last: empty */
};

struct spans {
	struct span low, high; /* resources below and above 4 GiB */
};

static void span_add(struct spans *s, uint64_t first, uint64_t size)
{
	struct span *span = first < FOUR_GIB ? &s->low : &s->high;

	if (first == 0 || size == 0 || first > UINT64_MAX - (size - 1))
		return; /* not programmed */
	span->first = u64_min(span->first, first);
	span->last = u64_max(span->last, first + (size - 1));
}

static void dev_bars_add(struct spans *s, struct pci_dev *dev)
{
	if (dev->ops->bar_size == NULL)
		return;
	for (unsigned int i = 0; i < BARS; i++) {
		bool is_64bit = false, prefetchable;
		uint64_t size = dev->ops->bar_size(dev, i, &is_64bit, &prefetchable);
		unsigned int reg = PCI_CFG_BAR0 + 4 * i;
		uint64_t addr;

		if (size == 0)
			continue;
		addr = dev->ops->cfg_read(dev, reg, 4);
		if ((addr & BAR_IO) == 0) {
			addr &= BAR_MASK;
			if (is_64bit)
				addr |= (uint64_t)dev->ops->cfg_read(dev, reg + 4, 4) << 32;
			span_add(s, addr, size);
		}
		i += is_64bit;
	}
}

/* A window whose limit lies below its base is off (PCI-to-PCI bridge 1.2, 3.2.5.8). */
static void bridge_add(struct spans *s, const struct pci_cfg *cfg)
{
	uint64_t mem = (uint64_t)(pci_cfg_get16(cfg, PCI_BRIDGE_MEM_BASE) & 0xFFF0) << 16;
	uint64_t mem_end = (uint64_t)(pci_cfg_get16(cfg, PCI_BRIDGE_MEM_LIMIT) & 0xFFF0) << 16;
	uint64_t pref = (uint64_t)(pci_cfg_get16(cfg, PCI_BRIDGE_PREF_BASE) & 0xFFF0) << 16 |
			(uint64_t)pci_cfg_get32(cfg, PCI_BRIDGE_PREF_BASE_HI) << 32;
	uint64_t pref_end = (uint64_t)(pci_cfg_get16(cfg, PCI_BRIDGE_PREF_LIMIT) & 0xFFF0) << 16 |
			    (uint64_t)pci_cfg_get32(cfg, PCI_BRIDGE_PREF_LIMIT_HI) << 32;

	if (mem_end >= mem)
		span_add(s, mem, mem_end - mem + MIB(1));
	if (pref_end >= pref)
		span_add(s, pref, pref_end - pref + MIB(1));
}

static void spans_find(const struct pci_host *host, struct spans *s)
{
	*s = (struct spans){ .low = { UINT64_MAX, 0 }, .high = { UINT64_MAX, 0 } };
	for (size_t i = 0; i < ARRAY_SIZE(host->root.devs); i++)
		if (host->root.devs[i] != NULL)
			dev_bars_add(s, host->root.devs[i]);
	for (unsigned int i = 0; i < host->port_count; i++) {
		bridge_add(s, &host->ports[i]->cfg);
		if (!pci_port_is_empty(host->ports[i]))
			dev_bars_add(s, host->ports[i]->bus.devs[0]);
	}
}

/* Firmware makes uncacheable what lies above the smallest power of two, counted down from 4 GiB, that clears RAM. */
static uint64_t uncached_base(uint64_t ram_end)
{
	uint64_t size = FOUR_GIB / 2;

	while (FOUR_GIB - size < ram_end)
		size /= 2;
	return FOUR_GIB - size;
}

/* Below or above ECAM, wherever the firmware has put its resources. */
static void mmio32_find(const struct pci_host *host, const struct span *used, struct pci_windows *w)
{
	uint64_t base = uncached_base(host->env.low_ram_end), end = MMIO32_END;

	if (w->ecam_size != 0 && w->ecam_base < FOUR_GIB) {
		uint64_t ecam_end = w->ecam_base + w->ecam_size;
		bool is_below = used->first > used->last ? w->ecam_base >= LAYOUT_ECAM
							 : used->last < w->ecam_base;

		if (is_below)
			end = w->ecam_base;
		else
			base = u64_max(base, ecam_end);
	}
	w->mmio32_base = base;
	w->mmio32_size = end > base ? end - base : 0;
}

/* What is used, with room around it that the firmware's own window has at least. */
static void mmio64_find(const struct pci_host *host, const struct span *used, struct pci_windows *w)
{
	uint64_t end;

	w->mmio64_base = host->env.mmio64_base;
	w->mmio64_size = host->env.mmio64_size;
	if (used->first > used->last)
		return;
	w->mmio64_base = align_down(used->first, UNIT_MMIO64);
	end = align_down(used->last, UNIT_MMIO64) + UNIT_MMIO64;
	w->mmio64_size = end > w->mmio64_base ? end - w->mmio64_base : 0;
}

void pci_host_windows(const struct pci_host *host, struct pci_windows *w)
{
	const struct io_region *ecam = &host->ecam_region;
	struct spans used;

	*w = (struct pci_windows){ .ecam_base = ecam->base, .ecam_size = ecam->size };
	if (host->is_assigned) {
		uint64_t end = MMIO32_END;

		if (ecam->size != 0 && ecam->base > LAYOUT_MMIO32)
			end = u64_min(end, ecam->base);
		w->mmio32_base = LAYOUT_MMIO32;
		w->mmio32_size = end - LAYOUT_MMIO32;
		w->mmio64_base = host->env.mmio64_base;
		w->mmio64_size = host->env.mmio64_size;
	} else {
		spans_find(host, &used);
		mmio32_find(host, &used.low, w);
		mmio64_find(host, &used.high, w);
	}
	for (unsigned int i = 0; i < host->port_count; i++) {
		unsigned int last = host->ports[i]->cfg.value[PCI_BRIDGE_SUBORDINATE];

		if (last > w->bus_last)
			w->bus_last = last;
	}
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vfio_bars.h"

#include <errno.h>
#include <linux/pci_regs.h>

#define PAGE 4096ULL

static uint64_t bar_read(void *owner, uint64_t off, unsigned int len)
{
	struct vfio_bar *bar = owner;
	struct vfio_bars *b = bar->bars;
	const struct vfio_access at = { bar->index, off, len };
	uint8_t bytes[8];

	if (vfio_msix_owns(b->msix, &at))
		return vfio_msix_read(b->msix, b->vectors, &at);
	vfio_traps_hit(bar, off);
	/* All ones when it fails or lies beyond a region smaller than a page. */
	(void)vfio_device_read(b->dev, (enum vfio_region)bar->index, off, bytes, len);
	return get_le(bytes, len);
}

static void bar_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct vfio_bar *bar = owner;
	struct vfio_bars *b = bar->bars;
	const struct vfio_access at = { bar->index, off, len };
	uint8_t bytes[8] = { 0 };
	int r;

	if (vfio_msix_owns(b->msix, &at)) {
		r = vfio_msix_write(b->msix, b->vectors, &at, value);
		if (r < 0)
			b->vector_failed(b->arg, r);
		return;
	}
	vfio_traps_hit(bar, off);
	put_le(bytes, len, value);
	(void)vfio_device_write(b->dev, (enum vfio_region)bar->index, off, bytes, len);
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write };

static void piece_add(struct vfio_bar *bar, const struct vfio_area *area, uint64_t from,
		      uint64_t to, uint8_t *host)
{
	if (from >= to || bar->piece_count == VFIO_PIECES)
		return;
	bar->pieces[bar->piece_count++] = (struct vfio_piece){
		.offset = from,
		.size = to - from,
		.host = host + (from - area->offset),
		.slot = VFIO_NO_SLOT,
	};
}

struct span {
	uint64_t from, to;
};

static struct span pages_of(uint64_t off, uint64_t size)
{
	return (struct span){ align_down(off, PAGE), align_up(off + size, PAGE) };
}

/* The pages of the MSI-X table and the pending bits as far as they are in this BAR, in order. */
static unsigned int msix_pages(const struct vfio_bar *bar, struct span out[2])
{
	const struct vfio_msix *m = bar->bars->msix;
	unsigned int n = 0;

	if (m->count != 0 && m->table_bar == bar->index)
		out[n++] = pages_of(m->table_off, m->count * MSIX_ENTRY_BYTES);
	if (m->count != 0 && m->pba_bar == bar->index)
		out[n++] = pages_of(m->pba_off, m->pba_bytes);
	if (n == 2 && out[1].from < out[0].from) {
		struct span first = out[1];

		out[1] = out[0];
		out[0] = first;
	}
	return n;
}

/* The area without those pages. */
static void pieces_add(struct vfio_bar *bar, const struct vfio_area *area, uint8_t *host)
{
	uint64_t at = area->offset, end = area->offset + area->size;
	struct span holes[2];
	unsigned int n = msix_pages(bar, holes);

	for (unsigned int i = 0; i < n; i++) {
		piece_add(bar, area, at, u64_min(end, holes[i].from), host);
		at = u64_max(at, holes[i].to);
	}
	piece_add(bar, area, at, end, host);
}

static int bar_map(struct vfio_bar *bar, struct err *e)
{
	const struct vfio_region_desc *d = &bar->bars->dev->regions[bar->index];

	for (unsigned int i = 0; i < d->area_count; i++) {
		int r = vfio_device_map(bar->bars->dev, (enum vfio_region)bar->index, &d->areas[i],
					&bar->maps[i], e);

		if (r < 0)
			return r;
		pieces_add(bar, &d->areas[i], bar->maps[i]);
	}
	return 0;
}

/* Absent are BARs without a region and those of I/O ports: the root ports have no I/O window. */
static int bar_init(struct vfio_bar *bar, struct vfio_config *c, struct err *e)
{
	int r;
	uint32_t reg = get_le32(&c->host[PCI_BASE_ADDRESS_0 + 4 * bar->index]);
	uint64_t size = bar->bars->dev->regions[bar->index].size;

	if (size == 0 || (reg & PCI_BASE_ADDRESS_SPACE_IO) != 0)
		return 0;
	bar->is_64bit = (reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
	bar->is_prefetchable = (reg & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0;
	if (!is_pow2(size) || (bar->is_64bit && bar->index == VFIO_BARS - 1) ||
	    (!bar->is_64bit && size > GIB(2)))
		return err_set(e, EBADMSG, "BAR %u has an impossible size of %llu bytes",
			       bar->index, (unsigned long long)size);
	bar->size = u64_max(size, VFIO_BAR_MIN);
	vfio_config_set_bar(c, bar->index, bar->size, bar->is_64bit);
	r = bar_map(bar, e);
	vfio_traps_find(bar);
	return r;
}

int vfio_bars_init(struct vfio_bars *b, struct vfio_config *c, struct err *e)
{
	for (unsigned int i = 0; i < VFIO_BARS; i++)
		b->bar[i] = (struct vfio_bar){ .bars = b, .index = i };
	for (unsigned int i = 0; i < VFIO_BARS; i++) {
		int r = bar_init(&b->bar[i], c, e);

		if (r < 0)
			return r;
		i += b->bar[i].is_64bit;
	}
	return 0;
}

/* True if nothing of the BAR is left in the guest. */
static bool bar_leave(struct vfio_bar *bar)
{
	bool left = true;

	for (unsigned int i = 0; i < bar->piece_count; i++) {
		struct vfio_piece *p = &bar->pieces[i];

		if (p->slot != VFIO_NO_SLOT && slots_del(bar->bars->slots, p->slot) == 0)
			p->slot = VFIO_NO_SLOT;
		left = left && p->slot == VFIO_NO_SLOT;
	}
	if (bar->decoded)
		bus_del(bar->bars->mmio, &bar->region);
	bar->decoded = false;
	return left;
}

static void bar_enter(struct vfio_bar *bar, uint64_t gpa)
{
	bar->region = (struct io_region){
		.name = bar->bars->name,
		.base = gpa,
		.size = bar->size,
		.ops = &bar_ops,
		.owner = bar,
	};
	if (bus_add(bar->bars->mmio, &bar->region) < 0)
		return;
	bar->decoded = true;
	for (unsigned int i = 0; i < bar->piece_count; i++) {
		struct vfio_piece *p = &bar->pieces[i];

		/* What finds no slot (out of slots, RAM there, beyond the CPU's width) stays trapped. */
		if (slots_add(bar->bars->slots, gpa + p->offset, p->size, p->host, &p->slot) < 0)
			p->slot = VFIO_NO_SLOT;
	}
}

void vfio_bars_fini(struct vfio_bars *b)
{
	for (unsigned int i = 0; i < VFIO_BARS; i++) {
		struct vfio_bar *bar = &b->bar[i];

		if (bar->bars == NULL || !bar_leave(bar))
			continue; /* KVM still points to the mapping: keep it, or something else moves in */
		for (unsigned int k = 0; k < VFIO_SPARSE_AREAS; k++) {
			vfio_device_unmap(bar->maps[k], b->dev->regions[i].areas[k].size);
			bar->maps[k] = NULL;
		}
		bar->piece_count = 0;
	}
}

/* Where the registers say that the BAR lies; 0: nowhere. */
static uint64_t bar_wanted(const struct vfio_bar *bar, const struct vfio_config *c)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar->index;
	uint64_t gpa = vfio_config_get32(c, at) & PCI_BASE_ADDRESS_MEM_MASK;

	if (bar->size == 0 || (vfio_config_get16(c, PCI_COMMAND) & PCI_COMMAND_MEMORY) == 0)
		return 0;
	if (bar->is_64bit)
		gpa |= (uint64_t)vfio_config_get32(c, at + 4) << 32;
	return gpa;
}

void vfio_bars_update(struct vfio_bars *b, const struct vfio_config *c)
{
	bool clear[VFIO_BARS];

	/* First out, then in: BARs may swap places. */
	for (unsigned int i = 0; i < VFIO_BARS; i++) {
		struct vfio_bar *bar = &b->bar[i];

		clear[i] = bar->decoded && bar->region.base == bar_wanted(bar, c) ? false
										  : bar_leave(bar);
	}
	for (unsigned int i = 0; i < VFIO_BARS; i++) {
		uint64_t gpa = bar_wanted(&b->bar[i], c);

		if (clear[i] && gpa != 0)
			bar_enter(&b->bar[i], gpa);
	}
}

bool vfio_bars_wait(const struct vfio_bars *b, const struct vfio_config *c)
{
	for (unsigned int i = 0; i < VFIO_BARS; i++)
		if (!b->bar[i].decoded && bar_wanted(&b->bar[i], c) != 0)
			return true;
	return false;
}

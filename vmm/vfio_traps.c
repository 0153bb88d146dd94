// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vfio_traps.h"

#include "vmm/vfio_bars.h"

#include "base/log.h"

#include <stdio.h>

#define MANY_ACCESSES 10000 /* more than a driver's set-up takes */

static uint64_t overlap(uint64_t from, uint64_t to, uint64_t off, uint64_t size)
{
	uint64_t start = u64_max(from, off), end = u64_min(to, off + size);

	return end > start ? end - start : 0;
}

/* Bytes of the MSI-X table and the pending bits in a part of the BAR. */
static uint64_t msix_bytes(const struct vfio_bar *bar, uint64_t from, uint64_t to)
{
	const struct vfio_msix *m = bar->bars->msix;
	uint64_t bytes = 0;

	if (m->count != 0 && m->table_bar == bar->index)
		bytes += overlap(from, to, m->table_off, m->count * MSIX_ENTRY_BYTES);
	if (m->count != 0 && m->pba_bar == bar->index)
		bytes += overlap(from, to, m->pba_off, m->pba_bytes);
	return bytes;
}

static void trap_add(struct vfio_bar *bar, uint64_t from, uint64_t to)
{
	if (from >= to || bar->trap_count == VFIO_TRAPS)
		return;
	bar->traps[bar->trap_count++] = (struct vfio_trap){
		.offset = from,
		.size = to - from,
		.has_table = msix_bytes(bar, from, to) != 0,
	};
}

void vfio_traps_find(struct vfio_bar *bar)
{
	uint64_t at = 0;

	bar->trap_count = 0;
	for (unsigned int i = 0; i < bar->piece_count; i++) {
		trap_add(bar, at, bar->pieces[i].offset);
		at = bar->pieces[i].offset + bar->pieces[i].size;
	}
	trap_add(bar, at, bar->size);
}

void vfio_traps_hit(struct vfio_bar *bar, uint64_t off)
{
	for (unsigned int i = 0; i < bar->trap_count; i++) {
		struct vfio_trap *t = &bar->traps[i];

		if (off < t->offset || off - t->offset >= t->size)
			continue;
		if (++t->accesses == MANY_ACCESSES)
			log_warn(
				"port %s: its driver works with registers of BAR %u at 0x%llx that %s: each "
				"access leaves the guest",
				bar->bars->name, bar->index, (unsigned long long)off,
				t->has_table ? "share a page with its interrupt table"
					     : "cannot be mapped");
		return;
	}
}

void vfio_traps_tell(const struct vfio_bars *b)
{
	char text[400] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < VFIO_BARS; i++) {
		const struct vfio_bar *bar = &b->bar[i];

		for (unsigned int k = 0; k < bar->trap_count && len < sizeof(text); k++) {
			const struct vfio_trap *t = &bar->traps[k];
			uint64_t end = t->offset + t->size;

			if (msix_bytes(bar, t->offset, end) != t->size)
				len += (size_t)snprintf(text + len, sizeof(text) - len,
							"%s BAR %u 0x%llx-0x%llx%s",
							len > 0 ? "," : "", i,
							(unsigned long long)t->offset,
							(unsigned long long)end - 1,
							t->has_table ? " (interrupt table)" : "");
		}
	}
	if (len > 0)
		log_info("port %s: accesses to registers here leave the guest:%s", b->name, text);
}

static int bar_status(const struct vfio_bar *bar, json_t *list)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < bar->trap_count; i++) {
		const struct vfio_trap *t = &bar->traps[i];

		r = json_array_append_new(
			list,
			json_pack("{s:i, s:I, s:I, s:b, s:I}", "bar", (int)bar->index, "offset",
				  (json_int_t)t->offset, "size", (json_int_t)t->size, "table",
				  t->has_table, "accesses", (json_int_t)t->accesses));
	}
	return r;
}

json_t *vfio_traps_status(const struct vfio_bars *b)
{
	json_t *list = json_array();
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < VFIO_BARS; i++)
		r = bar_status(&b->bar[i], list);
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/vtd_memory.h"

#include "iommu/vtd_regs.h"
#include "iommu/vtd_tables.h"

#include <errno.h>
#include <stdlib.h>

static int read_cb(void *arg, uint64_t hpa, void *buf, size_t len)
{
	struct vtd_memory *m = arg;

	if (++m->reads == m->change_at ||
	    (m->is_restless && hpa >> VTD_PAGE_SHIFT == m->rtaddr >> VTD_PAGE_SHIFT))
		vtd_memory_set(m, m->change_word,
			       vtd_memory_word(m, m->change_word) ^ BIT_ULL(m->change_bit));
	if (hpa < VTD_MEMORY_BASE ||
	    !range_fits(hpa - VTD_MEMORY_BASE, len, (uint64_t)m->used * VTD_PAGE))
		return -EFAULT;
	if (m->hole != 0 && hpa >> VTD_PAGE_SHIFT == m->hole >> VTD_PAGE_SHIFT)
		return -EFAULT;
	memcpy(buf, m->bytes + (hpa - VTD_MEMORY_BASE), len);
	return 0;
}

void vtd_memory_init(struct vtd_memory *m, size_t pages, bool is_scalable)
{
	memset(m, 0, sizeof(*m));
	m->bytes = calloc(pages, VTD_PAGE);
	m->pages = m->bytes != NULL ? pages : 0;
	m->reader = (struct physmem){ read_cb, m };
	m->rtaddr = vtd_memory_page(m) | (is_scalable ? (uint64_t)VTD_TTM_SCALABLE << 10 : 0);
}

void vtd_memory_fini(struct vtd_memory *m)
{
	free(m->bytes);
	m->bytes = NULL;
}

uint64_t vtd_memory_page(struct vtd_memory *m)
{
	if (m->used == m->pages)
		abort();
	return VTD_MEMORY_BASE + m->used++ * (uint64_t)VTD_PAGE;
}

uint8_t *vtd_memory_at(struct vtd_memory *m, uint64_t hpa)
{
	if (hpa < VTD_MEMORY_BASE || hpa - VTD_MEMORY_BASE >= (uint64_t)m->used * VTD_PAGE)
		abort();
	return m->bytes + (hpa - VTD_MEMORY_BASE);
}

uint64_t vtd_memory_word(struct vtd_memory *m, uint64_t hpa)
{
	return get_le64(vtd_memory_at(m, hpa));
}

void vtd_memory_set(struct vtd_memory *m, uint64_t hpa, uint64_t word)
{
	put_le64(vtd_memory_at(m, hpa), word);
}

/* The page that the entry at `at` points to; made if there is none. */
static uint64_t child(struct vtd_memory *m, uint64_t at, uint64_t flags)
{
	uint64_t word = vtd_memory_word(m, at);

	if ((word & VTD_ADDRESS_MASK) == 0) {
		word = vtd_memory_page(m) | flags;
		vtd_memory_set(m, at, word);
	}
	return word & VTD_ADDRESS_MASK;
}

static void pasid_set(struct vtd_memory *m, uint64_t at, const struct vtd_domain *d)
{
	static const uint64_t pgtt[] = { [VTD_FIRST_STAGE] = VTD_PGTT_FIRST,
					 [VTD_SECOND_STAGE] = VTD_PGTT_SECOND,
					 [VTD_NESTED] = VTD_PGTT_NESTED,
					 [VTD_PASS_THROUGH] = VTD_PGTT_PASS_THROUGH };
	uint64_t w0 = VTD_PASID_P | pgtt[d->kind] << 6;

	if (d->kind == VTD_SECOND_STAGE)
		w0 |= d->table | (uint64_t)(d->levels - 2) << 2;
	vtd_memory_set(m, at, w0);
	vtd_memory_set(m, at + 8, d->did);
	if (d->kind == VTD_FIRST_STAGE)
		vtd_memory_set(m, at + 16, d->table | (uint64_t)(d->levels - 4) << 2);
}

void vtd_memory_domain(struct vtd_memory *m, uint16_t sid, struct vtd_domain *d)
{
	uint64_t root = (m->rtaddr & VTD_ADDRESS_MASK) + (sid >> 8) * VTD_ROOT_SIZE, at, tt;

	d->is_scalable = VTD_RTADDR_TTM(m->rtaddr) == VTD_TTM_SCALABLE;
	if (d->table == 0 && d->kind != VTD_PASS_THROUGH)
		d->table = vtd_memory_page(m);
	if (d->is_scalable) {
		at = child(m, root + ((sid & 0x80) != 0 ? 8 : 0), VTD_SM_ROOT_P) +
		     (sid & 0x7FU) * VTD_SM_CONTEXT_SIZE;
		d->entry = at;
		at = child(m, at, VTD_SM_CONTEXT_P | (d->has_device_tlb ? VTD_SM_CONTEXT_DTE : 0));
		pasid_set(m, child(m, at, VTD_PASID_DIR_P), d);
		return;
	}
	at = child(m, root, VTD_ROOT_P) + (sid & 0xFFU) * VTD_CONTEXT_SIZE;
	tt = d->kind == VTD_PASS_THROUGH ? VTD_TT_PASS_THROUGH : d->has_device_tlb ? 1 : 0;
	d->entry = at;
	vtd_memory_set(m, at, d->table | tt << 2 | VTD_CONTEXT_P);
	vtd_memory_set(m, at + 8, (uint64_t)d->did << 8 | (d->levels != 0 ? d->levels - 2 : 2));
}

uint64_t vtd_memory_map(struct vtd_memory *m, const struct vtd_domain *d,
			const struct vtd_mapping *map)
{
	bool is_first = d->kind == VTD_FIRST_STAGE;
	uint64_t table = d->table, at, word = map->hpa;
	unsigned int level = d->levels;

	for (;; level--) {
		at = table + (map->iova / vtd_entry_span(level) % VTD_WORDS) * 8;
		if (vtd_entry_span(level) == map->page_size)
			break;
		table = child(m, at,
			      is_first ? VTD_FS_P | VTD_FS_RW | VTD_FS_US : VTD_SS_R | VTD_SS_W);
	}
	if (is_first)
		word |= VTD_FS_P | VTD_FS_US | VTD_FS_XD |
			((map->access & VTD_WRITE) != 0 ? VTD_FS_RW : 0);
	else
		word |= map->access & (VTD_READ | VTD_WRITE);
	vtd_memory_set(m, at, word | (level > 1 ? VTD_SS_PS : 0));
	return at;
}

void vtd_memory_irt(struct vtd_memory *m)
{
	m->irta = vtd_memory_page(m) | BIT_ULL(11) /* EIME */ | 7;
}

void vtd_memory_irte(struct vtd_memory *m, unsigned int index, uint16_t sid, uint32_t apic_id)
{
	uint64_t at = (m->irta & VTD_ADDRESS_MASK) + index * VTD_IRTE_SIZE;

	vtd_memory_set(m, at, VTD_IRTE_P | (uint64_t)apic_id << 32 | 0x31ULL << 16);
	vtd_memory_set(m, at + 8, (uint64_t)VTD_SVT_SID << 18 | sid);
}

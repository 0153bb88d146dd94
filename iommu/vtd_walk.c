// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vtd_walk.h"

#include "iommu/vtd_regs.h"
#include "iommu/vtd_tables.h"

#include <errno.h>

typedef unsigned long long ull;

static int mem_read(const struct physmem *mem, uint64_t hpa, void *buf, size_t len, struct err *e)
{
	if (mem->read(mem->arg, hpa, buf, len) == 0)
		return 0;
	return err_set(e, EFAULT, "memory at 0x%llx cannot be read", (ull)hpa);
}

static int reserved(struct err *e, const char *what, uint64_t hpa, uint64_t word)
{
	return err_set(e, EBADMSG, "%s at 0x%llx has reserved bits or values: 0x%llx", what,
		       (ull)hpa, (ull)word);
}

/* FNV-1a over whole words: tells two readings apart, proves nothing to an enemy of the kernel. */
static uint64_t digest_add(uint64_t digest, uint64_t word)
{
	return (digest ^ word) * 0x100000001B3ULL;
}

static bool page_is_zero(const uint8_t *page, size_t len)
{
	return page[0] == 0 && memcmp(page, page + 1, len - 1) == 0;
}

/* ---- root, context, PASID ---- */

static int stage_set(struct vtd_domain *d, uint64_t aw, uint64_t pointer, uint64_t at,
		     struct err *e)
{
	d->levels = vtd_aw_levels(aw);
	if (d->levels == 0)
		return reserved(e, "the address width of the entry", at, aw);
	d->kind = VTD_SECOND_STAGE;
	d->table = pointer & VTD_ADDRESS_MASK;
	return 0;
}

/* Of both modes: len bytes where d->entry is to be; their first two words are kept. */
static int context_read(const struct physmem *mem, uint8_t *raw, size_t len, struct vtd_domain *d,
			struct err *e)
{
	uint64_t at = d->entry;

	d->entry = 0;
	if (mem_read(mem, at, raw, len, e) < 0)
		return err_wrap(e, "context entry");
	d->entry = at;
	d->lo = get_le64(raw);
	d->hi = get_le64(raw + 8);
	return 0;
}

static int legacy_read(const struct physmem *mem, uint64_t root, uint16_t sid, struct vtd_domain *d,
		       struct err *e)
{
	uint8_t raw[VTD_CONTEXT_SIZE];
	uint64_t at = (root & VTD_ADDRESS_MASK) + (sid & 0xFFU) * VTD_CONTEXT_SIZE;
	int r;

	d->entry = at;
	r = context_read(mem, raw, sizeof(raw), d, e);
	if (r < 0)
		return r;
	if ((d->lo & VTD_CONTEXT_P) == 0)
		return 0;
	if ((d->lo & VTD_CONTEXT_RSVD_LO) != 0 || (d->hi & VTD_CONTEXT_RSVD_HI) != 0 ||
	    VTD_CONTEXT_TT(d->lo) == VTD_TT_RSVD)
		return reserved(e, "the context entry", at, d->lo);
	d->did = (uint16_t)VTD_CONTEXT_DID(d->hi);
	d->has_device_tlb = VTD_CONTEXT_TT(d->lo) == VTD_TT_DEVICE_TLB;
	if (VTD_CONTEXT_TT(d->lo) != VTD_TT_PASS_THROUGH)
		return stage_set(d, VTD_CONTEXT_AW(d->hi), d->lo, at, e);
	d->kind = VTD_PASS_THROUGH;
	return 0;
}

static int pasid_entry_take(const uint8_t *raw, uint64_t at, struct vtd_domain *d, struct err *e)
{
	uint64_t w0 = get_le64(raw), w1 = get_le64(raw + 8), w2 = get_le64(raw + 16);
	uint64_t pgtt = VTD_PASID_PGTT(w0);

	if ((w0 & VTD_PASID_RSVD_0) != 0 || (w2 & VTD_PASID_RSVD_2) != 0)
		return reserved(e, "the PASID table entry", at, w0);
	d->did = (uint16_t)VTD_PASID_DID(w1);
	if (pgtt == VTD_PGTT_SECOND)
		return stage_set(d, VTD_PASID_AW(w0), w0, at, e);
	if (pgtt == VTD_PGTT_PASS_THROUGH || pgtt == VTD_PGTT_NESTED) {
		d->kind = pgtt == VTD_PGTT_NESTED ? VTD_NESTED : VTD_PASS_THROUGH;
		return 0;
	}
	if (pgtt != VTD_PGTT_FIRST || VTD_PASID_FSPM(w2) > 1)
		return reserved(e, "the PASID table entry", at, pgtt);
	d->kind = VTD_FIRST_STAGE;
	d->levels = 4 + (unsigned int)VTD_PASID_FSPM(w2);
	d->table = w2 & VTD_ADDRESS_MASK;
	return 0;
}

/* One table of 64 entries: that of requests without PASID goes to *d, others are counted. */
static int pasid_table_read(const struct physmem *mem, uint64_t table, uint32_t first,
			    struct vtd_domain *d, struct err *e)
{
	uint32_t rid_pasid = (uint32_t)VTD_SM_CONTEXT_RID_PASID(d->hi);
	uint8_t page[VTD_PAGE];
	int r = mem_read(mem, table, page, sizeof(page), e);

	if (r < 0)
		return err_wrap(e, "PASID table");
	if (page_is_zero(page, sizeof(page)))
		return err_set(e, ENODATA, "the PASID table at 0x%llx is all zero", (ull)table);
	for (uint32_t i = 0; r == 0 && i < VTD_PASID_ENTRIES; i++) {
		const uint8_t *raw = page + i * VTD_PASID_SIZE;

		if ((get_le64(raw) & VTD_PASID_P) == 0)
			continue;
		if (first + i == rid_pasid)
			r = pasid_entry_take(raw, table + i * VTD_PASID_SIZE, d, e);
		else if (d->other_pasids++ == 0)
			d->first_other_pasid = first + i;
	}
	return r;
}

static int pasid_directory_read(const struct physmem *mem, struct vtd_domain *d, struct err *e)
{
	uint64_t base = d->lo & VTD_ADDRESS_MASK;
	uint32_t rid_pasid = (uint32_t)VTD_SM_CONTEXT_RID_PASID(d->hi);
	uint32_t count = VTD_PASID_DIR_ENTRIES(VTD_SM_CONTEXT_PDTS(d->lo));
	bool has_pasids = (d->lo & VTD_SM_CONTEXT_PASIDE) != 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = base + i * 8ULL, entry;
		uint8_t raw[8];
		int r;

		/* Without PASIDE requests with PASID are refused, so one entry is all that counts. */
		if (!has_pasids && i != rid_pasid >> VTD_PASID_DIR_SHIFT)
			continue;
		r = mem_read(mem, at, raw, sizeof(raw), e);
		if (r < 0)
			return err_wrap(e, "PASID directory");
		entry = get_le64(raw);
		if ((entry & VTD_PASID_DIR_P) == 0)
			continue;
		if ((entry & VTD_PASID_DIR_RSVD) != 0)
			return reserved(e, "the PASID directory entry", at, entry);
		r = pasid_table_read(mem, entry & VTD_ADDRESS_MASK, i << VTD_PASID_DIR_SHIFT, d, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int scalable_read(const struct physmem *mem, uint64_t root, uint16_t sid,
			 struct vtd_domain *d, struct err *e)
{
	uint8_t raw[VTD_SM_CONTEXT_SIZE];
	uint64_t at = (root & VTD_ADDRESS_MASK) + (sid & 0x7FU) * VTD_SM_CONTEXT_SIZE;
	int r;

	d->entry = at;
	r = context_read(mem, raw, sizeof(raw), d, e);
	if (r < 0)
		return r;
	if ((d->lo & VTD_SM_CONTEXT_P) == 0)
		return 0;
	if ((d->lo & VTD_SM_CONTEXT_RSVD_LO) != 0 || (d->hi & VTD_SM_CONTEXT_RSVD_HI) != 0 ||
	    get_le64(raw + 16) != 0 || get_le64(raw + 24) != 0)
		return reserved(e, "the context entry", at, d->lo);
	d->has_device_tlb = (d->lo & VTD_SM_CONTEXT_DTE) != 0;
	return pasid_directory_read(mem, d, e);
}

int vtd_domain_read(const struct physmem *mem, uint64_t rtaddr, uint16_t sid,
		    struct vtd_domain *out, struct err *e)
{
	uint64_t at = (rtaddr & VTD_ADDRESS_MASK) + (sid >> 8) * (uint64_t)VTD_ROOT_SIZE, word,
		 rsvd;
	bool is_scalable = VTD_RTADDR_TTM(rtaddr) == VTD_TTM_SCALABLE;
	struct vtd_domain d = { .kind = VTD_BLOCKED, .is_scalable = is_scalable };
	uint8_t raw[VTD_ROOT_SIZE];
	int r;

	if (VTD_RTADDR_TTM(rtaddr) == VTD_TTM_ABORT)
		d.kind = VTD_ABORTED;
	else if (!is_scalable && VTD_RTADDR_TTM(rtaddr) != VTD_TTM_LEGACY)
		return reserved(e, "the root table's mode", rtaddr & VTD_ADDRESS_MASK, rtaddr);
	*out = d;
	if (d.kind == VTD_ABORTED)
		return 0;
	r = mem_read(mem, at, raw, sizeof(raw), e);
	if (r < 0)
		return err_wrap(e, "root entry");
	/* Scalable mode has a table for devices 0 to 15 and one for 16 to 31: SID bit 7. */
	word = get_le64(raw + (is_scalable && (sid & 0x80U) != 0 ? 8 : 0));
	rsvd = word & VTD_ROOT_RSVD_LO;
	if (!is_scalable)
		rsvd |= get_le64(raw + 8) & VTD_ROOT_RSVD_HI;
	if ((word & VTD_ROOT_P) == 0)
		return 0;
	if (rsvd != 0)
		return reserved(e, "the root entry", at, word);
	r = is_scalable ? scalable_read(mem, word, sid, &d, e) : legacy_read(mem, word, sid, &d, e);
	if (r == 0)
		*out = d;
	return r;
}

/* ---- paging structures ---- */

/* What an entry of either stage says. */
struct pte {
	bool is_present, is_leaf, has_reserved;
	unsigned int access;
	uint64_t address, stable; /* stable: without what hardware sets on its own */
};

static uint64_t low_bits_reserved(uint64_t entry, unsigned int level, uint64_t but)
{
	return entry & VTD_ADDRESS_MASK & (vtd_entry_span(level) - 1) & ~but;
}

static struct pte second_stage(uint64_t entry, unsigned int level)
{
	struct pte p = { .is_present = (entry & (VTD_SS_R | VTD_SS_W)) != 0 };
	bool is_huge = level > 1 && (entry & VTD_SS_PS) != 0;

	p.is_leaf = level == 1 || is_huge;
	p.has_reserved = is_huge && (level > 3 || low_bits_reserved(entry, level, 0) != 0);
	p.access = ((entry & VTD_SS_R) != 0 ? VTD_READ : 0) |
		   ((entry & VTD_SS_W) != 0 ? VTD_WRITE : 0) |
		   ((entry & VTD_SS_X) != 0 ? VTD_EXECUTE : 0);
	p.address = entry & VTD_ADDRESS_MASK;
	p.stable = entry & ~(VTD_SS_A | VTD_SS_D);
	return p;
}

static struct pte first_stage(uint64_t entry, unsigned int level)
{
	struct pte p = { .is_present = (entry & VTD_FS_P) != 0 };
	bool is_huge = level > 1 && (entry & VTD_FS_PS) != 0;

	p.is_leaf = level == 1 || is_huge;
	p.has_reserved = is_huge &&
			 (level > 3 || low_bits_reserved(entry, level, VTD_FS_PAT_HUGE) != 0);
	p.access = VTD_READ | ((entry & VTD_FS_RW) != 0 ? VTD_WRITE : 0) |
		   ((entry & VTD_FS_XD) == 0 ? VTD_EXECUTE : 0);
	p.address = entry & VTD_ADDRESS_MASK & ~(is_huge ? VTD_FS_PAT_HUGE : 0);
	p.stable = entry & ~(VTD_FS_A | VTD_FS_D);
	return p;
}

struct frame {
	uint64_t table, iova;
	unsigned int index, access;
	uint8_t page[VTD_PAGE];
};

struct walker {
	const struct physmem *mem;
	const struct vtd_domain *domain;
	struct vtd_walk *w;
	struct vtd_mapping open; /* size 0: none */
	unsigned int level; /* of the frame in use; frames[level - 1] */
	struct frame frames[VTD_LEVELS_MAX];
};

static int mapping_flush(struct walker *k)
{
	struct vtd_mapping m = k->open;

	k->open.size = 0;
	if (m.size == 0)
		return 0;
	k->w->mappings++;
	return k->w->fn(k->w->arg, &m);
}

static int mapping_add(struct walker *k, uint64_t iova, const struct pte *p, unsigned int access)
{
	uint64_t span = vtd_entry_span(k->level);
	int r;

	k->w->bytes += span;
	*(k->level == 1 ? &k->w->pages_4k : k->level == 2 ? &k->w->pages_2m : &k->w->pages_1g) += 1;
	if (k->open.size != 0 && k->open.page_size == span && k->open.access == access &&
	    k->open.iova + k->open.size == iova && k->open.hpa + k->open.size == p->address) {
		k->open.size += span;
		return 0;
	}
	r = mapping_flush(k);
	k->open = (struct vtd_mapping){ iova, p->address, span, span, access };
	return r;
}

/* Goes into a table: reads it, once. */
static int table_enter(struct walker *k, uint64_t table, uint64_t iova, unsigned int access,
		       struct err *e)
{
	unsigned int level = k->level - 1;
	struct frame *f = &k->frames[level - 1];
	int r;

	for (unsigned int up = level; up < k->domain->levels; up++)
		if (k->frames[up].table == table)
			return err_set(e, ELOOP,
				       "the table at 0x%llx is inside itself (IOVA 0x%llx)",
				       (ull)table, (ull)iova);
	if (k->w->tables == k->w->max_tables)
		return err_set(e, E2BIG, "more than %llu tables (IOVA 0x%llx)",
			       (ull)k->w->max_tables, (ull)iova);
	k->w->tables++;
	r = mem_read(k->mem, table, f->page, sizeof(f->page), e);
	if (r < 0)
		return err_wrap(e, "table of level %u for IOVA 0x%llx", level, (ull)iova);
	if (page_is_zero(f->page, sizeof(f->page)))
		return err_set(e, ENODATA,
			       "the table at 0x%llx reads as all zero (IOVA 0x%llx, level %u)",
			       (ull)table, (ull)iova, level);
	f->table = table;
	f->iova = iova;
	f->access = access;
	f->index = 0;
	k->level = level;
	return 0;
}

static int entry_take(struct walker *k, struct frame *f, unsigned int index, struct err *e)
{
	uint64_t entry = get_le64(f->page + index * 8U);
	uint64_t iova = f->iova + index * vtd_entry_span(k->level);
	bool is_first = k->domain->kind == VTD_FIRST_STAGE;
	struct pte p = is_first ? first_stage(entry, k->level) : second_stage(entry, k->level);

	if (!p.is_present)
		return 0;
	if (p.has_reserved)
		return reserved(e, "the paging entry", f->table + index * 8U, entry);
	/* First stage: addresses are canonical. */
	if (is_first && k->level == k->domain->levels && index >= VTD_WORDS / 2)
		iova |= ~(vtd_entry_span(k->level + 1) - 1);
	k->w->digest = digest_add(digest_add(k->w->digest, f->table + index * 8U), p.stable);
	p.access &= f->access;
	if ((p.access & (VTD_READ | VTD_WRITE)) == 0)
		return 0; /* what one level allows another denies: nothing is reached */
	if (p.is_leaf)
		return mapping_add(k, iova, &p, p.access);
	return table_enter(k, p.address, iova, p.access, e);
}

int vtd_tables_walk(const struct physmem *mem, const struct vtd_domain *domain, struct vtd_walk *w,
		    struct err *e)
{
	struct walker k = { .mem = mem, .domain = domain, .w = w, .level = domain->levels + 1 };
	int r;

	if ((domain->kind != VTD_FIRST_STAGE && domain->kind != VTD_SECOND_STAGE) ||
	    domain->levels == 0 || domain->levels > VTD_LEVELS_MAX)
		return err_set(e, EINVAL, "the domain has no tables of one stage");
	*w = (struct vtd_walk){ .fn = w->fn, .arg = w->arg, .max_tables = w->max_tables };
	r = table_enter(&k, domain->table, 0, VTD_READ | VTD_WRITE | VTD_EXECUTE, e);
	while (r == 0 && k.level <= domain->levels) {
		struct frame *f = &k.frames[k.level - 1];

		if (f->index == VTD_WORDS)
			k.level++;
		else
			r = entry_take(&k, f, f->index++, e);
	}
	return r != 0 ? r : mapping_flush(&k);
}

/* ---- interrupt remapping ---- */

bool vtd_irte_admits(const struct vtd_irte *irte, uint16_t sid)
{
	/* SQ: how many of the function's bits are not looked at; 1 leaves out bit 2, 2 bits 2:1, 3 all. */
	static const uint16_t ignored[] = { 0, 4, 6, 7 };
	uint16_t mask = (uint16_t)~ignored[irte->sq & 3];

	switch ((enum vtd_svt)(irte->svt & 3)) {
	case VTD_SVT_NONE:
		return true;
	case VTD_SVT_SID:
		return (sid & mask) == (irte->sid & mask);
	case VTD_SVT_BUS:
		return sid >> 8 >= irte->sid >> 8 && sid >> 8 <= (irte->sid & 0xFF);
	case VTD_SVT_RSVD:
		break;
	}
	return false;
}

static int irte_decode(uint32_t index, uint64_t lo, uint64_t hi, bool is_x2apic,
		       struct vtd_irte *out)
{
	bool is_posted = (lo & VTD_IRTE_IM) != 0;

	*out = (struct vtd_irte){
		.index = index,
		.lo = lo,
		.hi = hi,
		.is_posted = is_posted,
		.is_logical = !is_posted && (lo & VTD_IRTE_DM) != 0,
		.vector = VTD_IRTE_V(lo),
		.dlm = is_posted ? 0 : (uint8_t)VTD_IRTE_DLM(lo),
		.svt = (uint8_t)VTD_IRTE_SVT(hi),
		.sq = (uint8_t)VTD_IRTE_SQ(hi),
		.sid = VTD_IRTE_SID(hi),
		.dst = is_posted ? 0 : vtd_apic_id(VTD_IRTE_DST(lo), is_x2apic),
		.pda = is_posted ? vtd_irte_pda(lo, hi) : 0,
	};
	if (out->svt == VTD_SVT_RSVD)
		return -EBADMSG;
	if (is_posted)
		return (lo & VTD_IRTE_PD_RSVD_LO) != 0 || (hi & VTD_IRTE_PD_RSVD_HI) != 0 ? -EBADMSG
											  : 0;
	return (lo & VTD_IRTE_RSVD_LO) != 0 || (hi & VTD_IRTE_RSVD_HI) != 0 ? -EBADMSG : 0;
}

int vtd_irt_walk(const struct physmem *mem, uint64_t irta, struct vtd_irt_walk *w, struct err *e)
{
	uint64_t base = irta & VTD_ADDRESS_MASK;
	uint32_t count = VTD_IRTA_ENTRIES(irta), per_page = VTD_PAGE / VTD_IRTE_SIZE;
	uint8_t page[VTD_PAGE];
	int r = 0;

	w->digest = 0;
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		const uint8_t *raw = page + i % per_page * VTD_IRTE_SIZE;
		struct vtd_irte irte;

		if (i % per_page == 0)
			r = mem_read(mem, base + i * (uint64_t)VTD_IRTE_SIZE, page, sizeof(page),
				     e);
		if (r < 0)
			return err_wrap(e, "interrupt remapping table");
		if ((get_le64(raw) & VTD_IRTE_P) == 0)
			continue;
		w->digest = digest_add(digest_add(w->digest, get_le64(raw) ^ i), get_le64(raw + 8));
		r = irte_decode(i, get_le64(raw), get_le64(raw + 8), VTD_IRTA_EIME(irta), &irte);
		r = r < 0 ? err_set(e, EBADMSG,
				    "interrupt remapping entry %u has reserved bits: 0x%llx 0x%llx",
				    i, (ull)irte.lo, (ull)irte.hi)
			  : w->fn(w->arg, &irte);
	}
	return r;
}

int vtd_posted_read(const struct physmem *mem, uint64_t pda, bool is_x2apic, struct vtd_posted *out,
		    struct err *e)
{
	uint8_t raw[VTD_PID_SIZE];
	int r = mem_read(mem, pda, raw, sizeof(raw), e);
	uint64_t word;

	if (r < 0)
		return err_wrap(e, "posted-interrupt descriptor");
	word = get_le64(raw + VTD_PID_WORD * 8U);
	if ((word & VTD_PID_RSVD) != 0)
		return reserved(e, "the posted-interrupt descriptor", pda, word);
	*out = (struct vtd_posted){
		.vector = VTD_PID_NV(word),
		.apic_id = vtd_apic_id(VTD_PID_NDST(word), is_x2apic),
		.is_on = (word & VTD_PID_ON) != 0,
		.is_suppressed = (word & VTD_PID_SN) != 0,
	};
	return 0;
}

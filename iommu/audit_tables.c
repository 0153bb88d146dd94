// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit.h"
#include "iommu/vtd_tables.h"

#include <errno.h>
#include <stdio.h>

typedef unsigned long long ull;

#define READINGS	3 /* until two in a row are the same */
#define INTERRUPT_FIRST 0xFEE00000ULL /* requests to here are interrupts (3.14): no page may be */
#define INTERRUPT_LAST	0xFEEFFFFFULL

/* One reading of a function's tables beside the VM's RAM. */
struct reading {
	const struct audit_machine *m;
	struct audit_result *out;
	size_t slot; /* what is left of the RAM starts in it */
	uint64_t next; /* at this GPA */
	uint64_t frames[AUDIT_FRAMES];
};

static int differs(struct reading *k, uint64_t iova, enum audit_why why, const char *text)
{
	audit_say(k->out, why, "IOVA 0x%llx: %s", (ull)iova, text);
	k->out->has_address = true;
	k->out->address = iova;
	return 1;
}

/* Pages that the VM has and the tables do not: nobody reaches too much, but something was not read. */
static void missing_say(struct reading *k, uint64_t from)
{
	if (k->out->verdict != AUDIT_PROVEN)
		return;
	audit_say(
		k->out, WHY_PAGE_NOT_FOUND,
		"IOVA 0x%llx: the VM has RAM there and the tables that could be read do not map it",
		(ull)from);
	k->out->has_address = true;
	k->out->address = from;
}

static void next_set(struct reading *k, uint64_t to)
{
	const struct audit_ram *ram = &k->m->ram[k->slot];

	k->next = to;
	if (to != ram->gpa + ram->size || ++k->slot == k->m->ram_count)
		return;
	k->next = k->m->ram[k->slot].gpa;
}

/* The slot that has iova; says what of the RAM was left out on the way. NULL: nothing should be there. */
static const struct audit_ram *ram_find(struct reading *k, uint64_t iova)
{
	while (k->slot < k->m->ram_count) {
		const struct audit_ram *ram = &k->m->ram[k->slot];

		if (iova < k->next)
			return NULL;
		if (iova > k->next)
			missing_say(k, k->next);
		if (iova < ram->gpa + ram->size)
			return ram;
		next_set(k, ram->gpa + ram->size);
	}
	return NULL;
}

/* [iova, iova + size) of one slot is mapped to hpa: is that the VM's own memory? */
static int pages_compare(struct reading *k, const struct audit_ram *ram,
			 const struct vtd_mapping *part)
{
	char text[128];

	for (uint64_t done = 0; done < part->size;) {
		uint64_t iova = part->iova + done, hpa = part->hpa + done;
		size_t n = (size_t)u64_min((part->size - done) / VTD_PAGE, AUDIT_FRAMES);
		int r = k->m->backing.frames(k->m->backing.arg, ram->hva + (iova - ram->gpa), n,
					     k->frames);

		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			uint64_t is = hpa / VTD_PAGE + i, at = iova + i * (uint64_t)VTD_PAGE;

			if (k->frames[i] == is)
				continue;
			if (k->frames[i] == AUDIT_NO_FRAME) {
				audit_say(k->out, WHY_FRAME_UNKNOWN,
					  "IOVA 0x%llx: the host page of the VM's RAM is not known",
					  (ull)at);
				continue;
			}
			snprintf(text, sizeof(text),
				 "reaches host page 0x%llx, the VM's RAM is at 0x%llx",
				 (ull)(is * VTD_PAGE), (ull)(k->frames[i] * VTD_PAGE));
			return differs(k, at, WHY_FOREIGN_PAGE, text);
		}
		done += n * (uint64_t)VTD_PAGE;
	}
	return 0;
}

static int mapping_compare(void *arg, const struct vtd_mapping *m)
{
	struct reading *k = arg;
	struct vtd_mapping left = *m;
	char text[128];

	while (left.size > 0) {
		const struct audit_ram *ram = ram_find(k, left.iova);
		struct vtd_mapping part = left;
		int r;

		if (ram == NULL) {
			snprintf(text, sizeof(text),
				 "reaches host page 0x%llx, and nothing should be there",
				 (ull)left.hpa);
			return differs(k, left.iova,
				       left.iova <= INTERRUPT_LAST &&
						       left.iova + left.size > INTERRUPT_FIRST
					       ? WHY_INTERRUPT_RANGE_MAPPED
					       : WHY_FOREIGN_PAGE,
				       text);
		}
		if ((left.access & (VTD_READ | VTD_WRITE)) != (VTD_READ | VTD_WRITE))
			return differs(k, left.iova, WHY_ACCESS_DIFFERS,
				       (left.access & VTD_READ) != 0
					       ? "may only be read, and is the VM's RAM"
					       : "may only be written, and is the VM's RAM");
		part.size = u64_min(left.size, ram->gpa + ram->size - left.iova);
		r = pages_compare(k, ram, &part);
		if (r != 0)
			return r;
		next_set(k, part.iova + part.size);
		left.iova += part.size;
		left.hpa += part.size;
		left.size -= part.size;
	}
	return 0;
}

static uint64_t tables_limit(const struct audit_machine *m)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < m->ram_count; i++)
		bytes += m->ram[i].size;
	return 64 + 2 * (bytes / vtd_entry_span(2) + bytes / vtd_entry_span(3));
}

static bool is_shared(const struct audit_result *known, const struct vtd_domain *d)
{
	return known != NULL && known->tables_are_proven && known->domain.table == d->table &&
	       known->domain.kind == d->kind && known->domain.levels == d->levels;
}

/* out: one reading, from the root entry on. */
static void read_once(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		      const struct audit_result *known, struct audit_result *out)
{
	struct reading k = { .m = m, .out = out };
	struct err e = { 0 };
	int r;

	memset(out, 0, sizeof(*out));
	out->walk = (struct vtd_walk){ .fn = mapping_compare,
				       .arg = &k,
				       .max_tables = tables_limit(m) };
	k.next = m->ram_count > 0 ? m->ram[0].gpa : 0;
	r = vtd_domain_read(&m->mem, unit->rtaddr, sid, &out->domain, &e);
	if (r == 0 && is_shared(known, &out->domain)) {
		out->walk = known->walk;
		return;
	}
	if (r == 0 && (out->domain.kind == VTD_FIRST_STAGE || out->domain.kind == VTD_SECOND_STAGE))
		r = vtd_tables_walk(&m->mem, &out->domain, &out->walk, &e);
	else if (r == 0)
		return;
	if (r < 0)
		audit_say(out,
			  r == -ENODATA					? WHY_TABLE_ZERO
			  : r == -EFAULT				? WHY_TABLE_UNREADABLE
			  : r == -E2BIG || r == -ELOOP || r == -EBADMSG ? WHY_TABLES_MALFORMED
									: WHY_FRAMES_UNREADABLE,
			  "%s", e.errnum != 0 ? e.text : strerror(-r));
	else if (r == 0 && k.slot < m->ram_count)
		missing_say(&k, k.next);
}

static bool is_same(const struct audit_result *a, const struct audit_result *b)
{
	return a->verdict == b->verdict && a->walk.digest == b->walk.digest &&
	       a->walk.bytes == b->walk.bytes && a->walk.tables == b->walk.tables &&
	       a->address == b->address && a->domain.lo == b->domain.lo &&
	       a->domain.hi == b->domain.hi && a->domain.kind == b->domain.kind &&
	       a->domain.table == b->domain.table &&
	       a->domain.other_pasids == b->domain.other_pasids;
}

static void domain_check(struct audit_result *r)
{
	const struct vtd_domain *d = &r->domain;

	switch (d->kind) {
	case VTD_PASS_THROUGH:
		audit_say(r, WHY_PASS_THROUGH,
			  "the function's entry at 0x%llx lets it reach all of the host's memory",
			  (ull)d->entry);
		break;
	case VTD_BLOCKED:
	case VTD_ABORTED:
		audit_say(
			r, WHY_NO_ENTRY,
			"no present entry for the function was read, and the VM's RAM should be behind one");
		break;
	case VTD_NESTED:
		audit_say(r, WHY_NESTED_TABLES,
			  "the function's translation is nested, which viaduct never sets up");
		break;
	case VTD_FIRST_STAGE:
	case VTD_SECOND_STAGE:
		break;
	}
	if (d->other_pasids > 0)
		audit_say(r, WHY_OTHER_PASID,
			  "%u PASIDs beside the function's own lead somewhere, the first is %u",
			  d->other_pasids, d->first_other_pasid);
	if (d->has_device_tlb)
		audit_say(r, WHY_ATS_ON,
			  "ATS is on for the function: what it has translated itself is believed");
}

void audit_tables(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		  const struct audit_result *known, struct audit_result *out)
{
	struct audit_result before;
	bool is_stable = false;

	read_once(m, unit, sid, known, out);
	for (int i = 1; i < READINGS && !is_stable; i++) {
		before = *out;
		read_once(m, unit, sid, known, out);
		is_stable = is_same(&before, out);
	}
	if (!is_stable) {
		*out = (struct audit_result){ .domain = out->domain };
		audit_say(out, WHY_TABLES_CHANGE,
			  "the tables changed while they were read, %d times", READINGS);
	}
	domain_check(out);
	out->tables_are_proven = out->verdict == AUDIT_PROVEN;
	out->walk.fn = NULL;
	out->walk.arg = NULL;
}

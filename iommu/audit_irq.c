// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit.h"
#include "iommu/vtd_regs.h"
#include "iommu/vtd_tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define READINGS     3 /* interrupts that are being moved settle */
#define FIRST_VECTOR 0x20 /* below are the CPU's exceptions */
#define DLM_LOWEST   1

struct irqs {
	const struct audit_machine *m;
	struct audit_result *out;
	uint16_t sid;
	bool is_x2apic;
	struct vtd_irte *own;
	size_t own_count;
	struct audit_line *lines;
	int line_count;
};

static void differs(struct audit_result *out, const struct vtd_irte *irte, enum audit_why why,
		    const char *text)
{
	audit_say(out, why, "interrupt remapping entry %u %s", irte->index, text);
	if (!out->has_index) {
		out->has_index = true;
		out->index = irte->index;
	}
}

/* An entry that the function can use is its own, or it can raise another's interrupts. */
static int irte_take(void *arg, const struct vtd_irte *irte)
{
	struct irqs *k = arg;
	char text[96];

	if (!vtd_irte_admits(irte, k->sid) && irte->sid != k->sid)
		return 0;
	if (irte->svt == VTD_SVT_NONE) {
		differs(k->out, irte, WHY_NO_SOURCE_VALIDATION,
			"does not look at who asks: any device may raise its interrupt");
		return 1;
	}
	if (irte->svt != VTD_SVT_SID || irte->sq != 0 || irte->sid != k->sid) {
		snprintf(
			text, sizeof(text),
			"is of source 0x%04x and also takes the function's requests (SVT %u, SQ %u)",
			irte->sid, irte->svt, irte->sq);
		differs(k->out, irte, WHY_FOREIGN_INTERRUPT, text);
		return 1;
	}
	/* NMI, SMI, INIT: whatever line it is for, and if for none. */
	if (!irte->is_posted && (irte->dlm > DLM_LOWEST || irte->vector < FIRST_VECTOR)) {
		snprintf(text, sizeof(text),
			 "raises what no device's interrupt may (delivery mode %u, vector 0x%02x)",
			 irte->dlm, irte->vector);
		differs(k->out, irte, WHY_INTERRUPT_MODE, text);
		return 1;
	}
	if (k->own_count == AUDIT_LINES)
		return -E2BIG;
	k->own[k->own_count++] = *irte;
	return 0;
}

/* Whether the destination of a remapped entry is this CPU: its APIC ID, or in logical mode the bit of the CPU
 * (xAPIC, flat) or of its place in its cluster (x2APIC). */
static bool dst_is_cpu(const struct irqs *k, const struct vtd_irte *irte, size_t cpu)
{
	uint32_t id = k->m->apic_ids[cpu];

	if (id == UINT32_MAX)
		return false;
	if (!irte->is_logical)
		return irte->dst == id;
	if (k->is_x2apic)
		return irte->dst >> 16 == id >> 4 && (irte->dst & BIT(id & 15)) != 0;
	return cpu < 8 && (irte->dst & BIT(cpu)) != 0;
}

static bool irte_fits(const struct irqs *k, const struct vtd_irte *irte,
		      const struct audit_line *line)
{
	for (size_t cpu = 0; cpu < k->m->cpu_count; cpu++)
		if (CPU_ISSET(cpu, &line->effective) && dst_is_cpu(k, irte, cpu))
			return true;
	return false;
}

/* Entries and lines, one to one: which line an entry is for is written nowhere that can be read, but how many there are
 * for each CPU must agree. Returns the lines that are left over. */
static unsigned int lines_match(struct irqs *k, bool *used)
{
	unsigned int left = 0;

	for (int i = 0; i < k->line_count; i++) {
		size_t n = 0;

		while (n < k->own_count &&
		       (used[n] || k->own[n].is_posted || !irte_fits(k, &k->own[n], &k->lines[i])))
			n++;
		if (n < k->own_count)
			used[n] = true;
		else
			left++;
	}
	return left;
}

static void posted_check(struct irqs *k, const struct vtd_irte *irte)
{
	struct vtd_posted pd;
	struct err e = { 0 };

	if (vtd_posted_read(&k->m->mem, irte->pda, k->is_x2apic, &pd, &e) < 0) {
		audit_say(k->out, WHY_DESCRIPTOR_UNREADABLE, "interrupt remapping entry %u: %s",
			  irte->index, e.text);
		return;
	}
	for (size_t cpu = 0; cpu < k->m->cpu_count; cpu++)
		if (k->m->apic_ids[cpu] == pd.apic_id && pd.vector >= 16)
			return;
	differs(k->out, irte, WHY_DESCRIPTOR_DIFFERS,
		"is posted to a descriptor that notifies no CPU of this host");
}

static bool is_of_vm(const struct irqs *k, uint16_t sid)
{
	for (size_t i = 0; i < k->m->sid_count; i++)
		if (k->m->sids[i] == sid)
			return true;
	return sid == k->sid;
}

/* A descriptor of a vCPU serves all functions of its VM, and nobody else's. */
static int shared_find(void *arg, const struct vtd_irte *irte)
{
	struct irqs *k = arg;

	if (!irte->is_posted || is_of_vm(k, irte->sid))
		return 0;
	for (size_t i = 0; i < k->own_count; i++) {
		char text[96];

		if (!k->own[i].is_posted || k->own[i].pda != irte->pda)
			continue;
		snprintf(text, sizeof(text),
			 "is posted to a descriptor that source 0x%04x, not of the VM, has too",
			 irte->sid);
		differs(k->out, &k->own[i], WHY_DESCRIPTOR_SHARED, text);
		return 1;
	}
	return 0;
}

static void posted_all_check(struct irqs *k, const struct audit_unit *unit)
{
	struct vtd_irt_walk w = { .fn = shared_find, .arg = k };
	struct err e = { 0 };

	for (size_t i = 0; k->out->verdict != AUDIT_VIOLATED && i < k->own_count; i++)
		if (k->own[i].is_posted)
			posted_check(k, &k->own[i]);
	if (k->out->posted == 0 || k->out->verdict == AUDIT_VIOLATED)
		return;
	if (vtd_irt_walk(&k->m->mem, unit->irta, &w, &e) < 0)
		audit_say(k->out, WHY_INTERRUPTS_UNREADABLE, "%s", e.text);
}

enum reading {
	AGREES, /* or said why that cannot be told */
	DIFFERS, /* entries and lines; may be for the moment */
	MOVED /* the table changed between the two looks */
};

/* Once: the entries and the lines as they are now. */
static enum reading read_once(struct irqs *k, const struct audit_unit *unit)
{
	struct vtd_irt_walk w = { .fn = irte_take, .arg = k };
	bool used[AUDIT_LINES] = { false };
	unsigned int left, spare = 0;
	struct err e = { 0 };
	uint64_t digest;
	int r;

	k->own_count = 0;
	r = vtd_irt_walk(&k->m->mem, unit->irta, &w, &e);
	digest = w.digest;
	k->out->remapped = k->out->posted = 0;
	for (size_t i = 0; i < k->own_count; i++)
		*(k->own[i].is_posted ? &k->out->posted : &k->out->remapped) += 1;
	if (r == 0) {
		k->line_count = k->m->lines(k->m->lines_arg, k->sid, k->lines, AUDIT_LINES);
		k->own_count = 0;
		r = vtd_irt_walk(&k->m->mem, unit->irta, &w, &e);
	}
	if (r < 0)
		audit_say(k->out, WHY_INTERRUPTS_UNREADABLE, "%s",
			  e.errnum != 0 ? e.text : strerror(-r));
	else if (k->line_count < 0)
		audit_say(k->out, WHY_LINES_UNREADABLE,
			  "the function's interrupts cannot be read: %s", strerror(-k->line_count));
	if (r != 0 || k->line_count < 0)
		return AGREES;
	if (w.digest != digest)
		return MOVED;
	k->out->lines = (unsigned int)k->line_count;
	left = lines_match(k, used);
	for (size_t i = 0; i < k->own_count; i++)
		spare += !used[i] && !k->own[i].is_posted;
	k->out->spare = spare;
	return left <= k->out->posted ? AGREES : DIFFERS;
}

/* They did not agree although nothing moved: of whom is it? */
static void mismatch_say(struct irqs *k)
{
	bool used[AUDIT_LINES] = { false };

	lines_match(k, used);
	for (size_t i = 0; i < k->own_count; i++) {
		char text[96];

		if (used[i] || k->own[i].is_posted)
			continue;
		snprintf(text, sizeof(text),
			 "goes to %s 0x%x, where the host has none of the function's lines",
			 k->own[i].is_logical ? "the CPUs" : "the CPU of APIC ID", k->own[i].dst);
		differs(k->out, &k->own[i], WHY_INTERRUPT_ELSEWHERE, text);
		return;
	}
	audit_say(k->out, WHY_ENTRY_NOT_FOUND,
		  "the function has %d interrupts at the host and %zu entries that could be read",
		  k->line_count, k->own_count);
}

void audit_interrupts(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		      struct audit_result *out)
{
	struct irqs k = { .m = m, .out = out, .sid = sid };
	enum reading was = MOVED;

	k.is_x2apic = VTD_IRTA_EIME(unit->irta);
	k.own = calloc(AUDIT_LINES, sizeof(*k.own));
	k.lines = calloc(AUDIT_LINES, sizeof(*k.lines));
	if (k.own == NULL || k.lines == NULL) {
		audit_say(out, WHY_INTERRUPTS_UNREADABLE, "no memory");
		was = AGREES;
	}
	for (int i = 0; i < READINGS && was != AGREES; i++)
		was = read_once(&k, unit);
	if (was == DIFFERS)
		mismatch_say(&k);
	else if (was == MOVED)
		audit_say(
			out, WHY_TABLES_CHANGE,
			"the interrupt remapping table changed while it was read, %d times: a device's interrupts are being set up",
			READINGS);
	posted_all_check(&k, unit);
	free(k.own);
	free(k.lines);
}

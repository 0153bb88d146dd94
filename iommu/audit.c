// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit.h"

#include "iommu/vtd_regs.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const verdicts[AUDIT_VERDICTS] = {
	[AUDIT_PROVEN] = "proven",
	[AUDIT_VIOLATED] = "violated",
	[AUDIT_NOT_PROVABLE] = "not-provable",
};

const char *audit_verdict_text(enum audit_verdict v)
{
	return (unsigned int)v < AUDIT_VERDICTS ? verdicts[v] : "?";
}

static const struct {
	enum audit_verdict verdict;
	const char *code;
} whys[AUDIT_WHYS] = {
	[WHY_TRANSLATION_OFF] = { AUDIT_VIOLATED, "translation-off" },
	[WHY_REMAPPING_OFF] = { AUDIT_VIOLATED, "remapping-off" },
	[WHY_OLD_INTERRUPTS_PASS] = { AUDIT_VIOLATED, "old-interrupts-pass" },
	[WHY_PASS_THROUGH] = { AUDIT_VIOLATED, "pass-through" },
	[WHY_OTHER_PASID] = { AUDIT_VIOLATED, "other-pasid" },
	[WHY_FOREIGN_PAGE] = { AUDIT_VIOLATED, "foreign-page" },
	[WHY_INTERRUPT_RANGE_MAPPED] = { AUDIT_VIOLATED, "interrupt-range-mapped" },
	[WHY_ACCESS_DIFFERS] = { AUDIT_VIOLATED, "access-differs" },
	[WHY_NO_SOURCE_VALIDATION] = { AUDIT_VIOLATED, "no-source-validation" },
	[WHY_FOREIGN_INTERRUPT] = { AUDIT_VIOLATED, "foreign-interrupt" },
	[WHY_DESCRIPTOR_DIFFERS] = { AUDIT_VIOLATED, "descriptor-differs" },
	[WHY_INTERRUPT_ELSEWHERE] = { AUDIT_VIOLATED, "interrupt-elsewhere" },
	[WHY_INTERRUPT_MODE] = { AUDIT_VIOLATED, "interrupt-mode" },
	[WHY_DESCRIPTOR_SHARED] = { AUDIT_VIOLATED, "descriptor-shared" },
	[WHY_PAGE_NOT_FOUND] = { AUDIT_NOT_PROVABLE, "page-not-found" },
	[WHY_FRAME_UNKNOWN] = { AUDIT_NOT_PROVABLE, "frame-unknown" },
	[WHY_NO_ENTRY] = { AUDIT_NOT_PROVABLE, "no-entry" },
	[WHY_NESTED_TABLES] = { AUDIT_NOT_PROVABLE, "nested-tables" },
	[WHY_ATS_ON] = { AUDIT_NOT_PROVABLE, "ats-on" },
	[WHY_REQUESTER_SHARED] = { AUDIT_NOT_PROVABLE, "requester-shared" },
	[WHY_TABLES_CHANGE] = { AUDIT_NOT_PROVABLE, "tables-change" },
	[WHY_TABLE_ZERO] = { AUDIT_NOT_PROVABLE, "table-zero" },
	[WHY_TABLE_UNREADABLE] = { AUDIT_NOT_PROVABLE, "table-unreadable" },
	[WHY_TABLES_MALFORMED] = { AUDIT_NOT_PROVABLE, "tables-malformed" },
	[WHY_FRAMES_UNREADABLE] = { AUDIT_NOT_PROVABLE, "frames-unreadable" },
	[WHY_DESCRIPTOR_UNREADABLE] = { AUDIT_NOT_PROVABLE, "descriptor-unreadable" },
	[WHY_INTERRUPTS_UNREADABLE] = { AUDIT_NOT_PROVABLE, "interrupts-unreadable" },
	[WHY_LINES_UNREADABLE] = { AUDIT_NOT_PROVABLE, "lines-unreadable" },
	[WHY_ENTRY_NOT_FOUND] = { AUDIT_NOT_PROVABLE, "entry-not-found" },
};

void audit_say(struct audit_result *r, enum audit_why why, const char *fmt, ...)
{
	va_list ap;

	if (r->verdict == AUDIT_VIOLATED ||
	    (r->verdict == AUDIT_NOT_PROVABLE && whys[why].verdict != AUDIT_VIOLATED))
		return;
	r->verdict = whys[why].verdict;
	r->code = whys[why].code;
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
}

static void unit_check(const struct audit_unit *unit, struct audit_result *r)
{
	/* CFIS: interrupts of the compatibility format bypass remapping, unless in x2APIC mode. */
	if (!VTD_GSTS_TES(unit->gsts))
		audit_say(r, WHY_TRANSLATION_OFF,
			  "the remapping unit in charge does not translate (GSTS 0x%x)",
			  unit->gsts);
	else if (!VTD_GSTS_IRES(unit->gsts))
		audit_say(r, WHY_REMAPPING_OFF,
			  "the remapping unit in charge does not remap interrupts (GSTS 0x%x)",
			  unit->gsts);
	else if (VTD_GSTS_CFIS(unit->gsts) && !VTD_IRTA_EIME(unit->irta))
		audit_say(r, WHY_OLD_INTERRUPTS_PASS,
			  "interrupts of the compatibility format bypass the remapping (GSTS 0x%x)",
			  unit->gsts);
}

void audit_function(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		    const struct audit_result *known, struct audit_result *out)
{
	memset(out, 0, sizeof(*out));
	unit_check(unit, out);
	if (out->verdict == AUDIT_VIOLATED)
		return;
	audit_tables(m, unit, sid, known, out);
	if (out->verdict != AUDIT_VIOLATED)
		audit_interrupts(m, unit, sid, out);
}

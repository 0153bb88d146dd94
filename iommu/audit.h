/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does what a VM's function can reach equal what the VM has? The remapping structures as they are in memory against
 * the VM's RAM, page by page, and its interrupt remapping entries against its interrupts. Pure: memory, host pages of
 * the VM and registers come from the caller (audit_host.h has the real ones), so all of it is tested without any.
 *
 * What was not read, or reads differently a second time, is "not provable", never "proven". Translations that the unit
 * or a device keeps in a cache (IOTLB, device-TLB) are nowhere in memory: no audit sees them.
 */
#ifndef VIADUCT_IOMMU_AUDIT_H
#define VIADUCT_IOMMU_AUDIT_H

#include "iommu/vtd_walk.h"

#include <sched.h>

enum audit_verdict { AUDIT_PROVEN, AUDIT_VIOLATED, AUDIT_NOT_PROVABLE, AUDIT_VERDICTS };
const char *audit_verdict_text(enum audit_verdict v);

/* Why it is not proven. Each has one verdict and one stable word (audit.c). */
enum audit_why {
	WHY_NOTHING,
	WHY_TRANSLATION_OFF,
	WHY_REMAPPING_OFF,
	WHY_OLD_INTERRUPTS_PASS,
	WHY_PASS_THROUGH,
	WHY_OTHER_PASID,
	WHY_FOREIGN_PAGE,
	WHY_INTERRUPT_RANGE_MAPPED,
	WHY_ACCESS_DIFFERS,
	WHY_NO_SOURCE_VALIDATION,
	WHY_FOREIGN_INTERRUPT,
	WHY_DESCRIPTOR_DIFFERS,
	WHY_INTERRUPT_ELSEWHERE,
	WHY_INTERRUPT_MODE,
	WHY_DESCRIPTOR_SHARED,
	WHY_PAGE_NOT_FOUND,
	WHY_FRAME_UNKNOWN,
	WHY_NO_ENTRY,
	WHY_NESTED_TABLES,
	WHY_ATS_ON,
	WHY_REQUESTER_SHARED,
	WHY_TABLES_CHANGE,
	WHY_TABLE_ZERO,
	WHY_TABLE_UNREADABLE,
	WHY_TABLES_MALFORMED,
	WHY_FRAMES_UNREADABLE,
	WHY_DESCRIPTOR_UNREADABLE,
	WHY_INTERRUPTS_UNREADABLE,
	WHY_LINES_UNREADABLE,
	WHY_ENTRY_NOT_FOUND,
	AUDIT_WHYS
};

/* Guest RAM: [gpa, gpa + size) is [hva, hva + size) of the VMM. Ascending, apart, multiples of 4 KiB. */
#define AUDIT_RAM_SLOTS 2
struct audit_ram {
	uint64_t gpa, size, hva;
};

/* The frames (host-physical address >> 12) behind count pages of the VMM from hva on, count at most
 * AUDIT_FRAMES; AUDIT_NO_FRAME: none is known. 0 or a negative errno. */
#define AUDIT_FRAMES   512U
#define AUDIT_NO_FRAME UINT64_MAX
struct audit_backing {
	int (*frames)(void *arg, uint64_t hva, size_t count, uint64_t *out);
	void *arg;
};

/* One interrupt of a function at the host, and the CPUs that it may be at now. */
#define AUDIT_LINES 2048
struct audit_line {
	uint32_t irq;
	cpu_set_t effective;
};

#define AUDIT_CPUS CPU_SETSIZE
struct audit_machine {
	struct physmem mem;
	struct audit_backing backing;
	struct audit_ram ram[AUDIT_RAM_SLOTS];
	size_t ram_count;
	/* The lines of one function now; the count, or a negative errno (-ESTALE: one of them is gone). Asked again where
	 * entries and lines differ. */
	int (*lines)(void *arg, uint16_t sid, struct audit_line *out, size_t cap);
	void *lines_arg;
	uint32_t apic_ids[AUDIT_CPUS]; /* of the first cpu_count CPUs; UINT32_MAX: not known */
	size_t cpu_count;
	/* The requester ids of all the VM's functions: only they may share a posted-interrupt descriptor. */
	const uint16_t *sids;
	size_t sid_count;
};

/* Registers of the unit in charge (chapter 11). */
struct audit_unit {
	uint32_t gsts;
	uint64_t rtaddr, irta;
};

#define AUDIT_TEXT 320
struct audit_result {
	enum audit_verdict verdict;
	char text[AUDIT_TEXT]; /* why; "" when proven */
	const char *code; /* stable word for why; NULL when proven */
	bool tables_are_proven; /* whatever the rest says */
	bool has_address, has_index;
	uint64_t address; /* the first IOVA at which tables and VM differ */
	uint32_t index; /* the interrupt remapping entry */
	struct vtd_domain domain;
	struct vtd_walk walk; /* what was walked */
	unsigned int remapped, posted,
		spare; /* its interrupt remapping entries; spare: of no line */
	unsigned int lines;
};

/* One function: requester id sid. Never fails: what hinders is the verdict. known: NULL, or the result of another
 * function of the VM a moment ago; tables that it shares and that were proven then are not walked again. */
void audit_function(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		    const struct audit_result *known, struct audit_result *out);

/* For the files of the audit: the first word stays, but a violation replaces what is not provable. */
void audit_say(struct audit_result *r, enum audit_why why, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The parts of audit_function (audit_tables.c, audit_irq.c). */
void audit_tables(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		  const struct audit_result *known, struct audit_result *out);
void audit_interrupts(const struct audit_machine *m, const struct audit_unit *unit, uint16_t sid,
		      struct audit_result *out);

#endif

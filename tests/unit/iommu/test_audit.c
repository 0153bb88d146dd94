// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/vtd_memory.h"

#include "iommu/audit.h"
#include "iommu/vtd_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SID   0x0180 /* 01:10.0 */
#define RW    (VTD_READ | VTD_WRITE)
#define HVA   0x7F0000000000ULL
#define HOST  GIB(8) /* where the VM's RAM lies */
#define LINES 4

/* A VM with 4 MiB of RAM at 0 and 4 MiB at 4 GiB, its tables and interrupts. */
struct vm {
	struct vtd_memory mem;
	struct vtd_domain domain;
	struct audit_machine m;
	struct audit_unit unit;
	struct audit_result r;
	uint64_t moved; /* the frame of this page of the VM is elsewhere; UINT64_MAX: of none */
	uint64_t moved_to;
	size_t line_count;
	unsigned int line_cpu[LINES];
	int frames_error;
	int lines_error;
	uint64_t restless; /* this word of memory changes whenever the lines are read */
};

static struct vm vm;
static const uint16_t sids[] = { SID, SID + 2 };

static int frames_cb(void *arg, uint64_t hva, size_t count, uint64_t *out)
{
	if (vm.frames_error != 0)
		return vm.frames_error;
	assert_true(count <= AUDIT_FRAMES && hva >= HVA && hva - HVA + count * KIB(4) <= MIB(8));
	for (size_t i = 0; i < count; i++) {
		uint64_t page = (hva - HVA) / KIB(4) + i;

		out[i] = page == vm.moved ? vm.moved_to : HOST / KIB(4) + page;
	}
	return 0;
}

static int lines_cb(void *arg, uint16_t sid, struct audit_line *out, size_t cap)
{
	if (vm.restless != 0)
		vtd_memory_set(&vm.mem, vm.restless, vtd_memory_word(&vm.mem, vm.restless) ^ 1);
	if (vm.lines_error != 0)
		return vm.lines_error;
	for (size_t i = 0; i < vm.line_count; i++) {
		out[i].irq = (uint32_t)(40 + i);
		CPU_ZERO(&out[i].effective);
		CPU_SET(vm.line_cpu[i], &out[i].effective);
	}
	return (int)vm.line_count;
}

static void map(uint64_t iova, uint64_t hpa, uint64_t page)
{
	const struct vtd_mapping one = { iova, hpa, page, page, RW };

	vtd_memory_map(&vm.mem, &vm.domain, &one);
}

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	vtd_memory_init(&vm.mem, 64, false);
	vm.domain = (struct vtd_domain){ .kind = VTD_SECOND_STAGE, .levels = 4, .did = 5 };
	vtd_memory_domain(&vm.mem, SID, &vm.domain);
	map(0, HOST, MIB(2));
	for (uint64_t at = MIB(2); at < MIB(4); at += KIB(4))
		map(at, HOST + at, KIB(4));
	map(GIB(4), HOST + MIB(4), MIB(2));
	map(GIB(4) + MIB(2), HOST + MIB(6), MIB(2));
	vtd_memory_irt(&vm.mem);
	vtd_memory_irte(&vm.mem, 9, SID, 20);
	vtd_memory_irte(&vm.mem, 11, SID, 21);
	vtd_memory_irte(&vm.mem, 12, 0x00FA, 21); /* another's */
	vm.unit = (struct audit_unit){ BIT(31) | BIT(25), vm.mem.rtaddr, vm.mem.irta };
	vm.m = (struct audit_machine){ .mem = vm.mem.reader,
				       .backing = { frames_cb, NULL },
				       .ram = { { 0, MIB(4), HVA },
						{ GIB(4), MIB(4), HVA + MIB(4) } },
				       .ram_count = 2,
				       .lines = lines_cb,
				       .apic_ids = { 20, 21, 22 },
				       .cpu_count = 3,
				       .sids = sids,
				       .sid_count = ARRAY_SIZE(sids) };
	vm.moved = UINT64_MAX;
	vm.line_count = 2;
	vm.line_cpu[0] = 1;
	return 0;
}

static int teardown(void **state)
{
	vtd_memory_fini(&vm.mem);
	return 0;
}

static void audit(void)
{
	audit_function(&vm.m, &vm.unit, SID, NULL, &vm.r);
	print_message("%s %s: %s\n", audit_verdict_text(vm.r.verdict),
		      vm.r.code != NULL ? vm.r.code : "", vm.r.text);
}

static void verdict_is(enum audit_verdict verdict, const char *code)
{
	audit();
	assert_int_equal(vm.r.verdict, verdict);
	assert_string_equal(vm.r.code != NULL ? vm.r.code : "", code);
}

static void violated_at(const char *code, uint64_t iova)
{
	verdict_is(AUDIT_VIOLATED, code);
	assert_true(vm.r.has_address);
	assert_int_equal(vm.r.address, iova);
}

static void what_is_right_is_proven(void **state)
{
	verdict_is(AUDIT_PROVEN, "");
	assert_true(vm.r.tables_are_proven);
	assert_int_equal(vm.r.walk.bytes, MIB(8));
	assert_int_equal(vm.r.walk.pages_2m, 3);
	assert_int_equal(vm.r.walk.pages_4k, 512);
	assert_int_equal(vm.r.remapped, 2);
	assert_int_equal(vm.r.lines, 2);
	assert_int_equal(vm.r.spare, 0);
	assert_int_equal(vm.r.domain.did, 5);
}

static void a_foreign_page_is_named(void **state)
{
	map(MIB(3), GIB(20), KIB(4));
	violated_at("foreign-page", MIB(3));
	assert_non_null(strstr(vm.r.text, "0x500000000"));
	assert_non_null(strstr(vm.r.text, "0x200300000"));
}

static void one_wrong_page_inside_a_large_one(void **state)
{
	vm.moved =
		1024 +
		300; /* the VM's own page lies elsewhere than the 2 MiB that the function reaches */
	vm.moved_to = 77;
	violated_at("foreign-page", GIB(4) + 300 * KIB(4));
}

static void nothing_may_be_beside_the_ram(void **state)
{
	static const struct row {
		uint64_t iova, size;
		const char *code;
	} rows[] = {
		{ MIB(4), KIB(4), "foreign-page" },
		{ GIB(1), GIB(1), "foreign-page" },
		{ 0xFEE01000ULL, KIB(4), "interrupt-range-mapped" },
		{ 0xFEE00000ULL, MIB(2), "interrupt-range-mapped" },
		{ GIB(4) - MIB(2), MIB(2), "foreign-page" },
		{ GIB(4) + MIB(4), MIB(2), "foreign-page" },
		{ GIB(512), KIB(4), "foreign-page" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		teardown(NULL);
		setup(NULL);
		map(rows[i].iova, GIB(30), rows[i].size);
		violated_at(rows[i].code, rows[i].iova);
	}
}

/* A page of 1 GiB that begins with the VM's RAM and goes on behind it. */
static void a_page_may_not_be_larger_than_the_ram(void **state)
{
	uint64_t at = vtd_memory_word(&vm.mem, vm.domain.table) & VTD_ADDRESS_MASK;

	vtd_memory_set(&vm.mem, at, HOST | VTD_SS_PS | RW);
	violated_at("foreign-page", MIB(4));
}

static void less_access_is_no_ram(void **state)
{
	const struct vtd_mapping m = { MIB(2), HOST + MIB(2), KIB(4), KIB(4), VTD_READ };

	vtd_memory_map(&vm.mem, &vm.domain, &m);
	violated_at("access-differs", MIB(2));
}

static void a_page_that_is_not_found_is_not_provable(void **state)
{
	const struct vtd_mapping m = { GIB(4), 0, MIB(2), MIB(2), 0 };
	uint64_t at = vtd_memory_map(&vm.mem, &vm.domain, &m);

	vtd_memory_set(&vm.mem, at, 0);
	verdict_is(AUDIT_NOT_PROVABLE, "page-not-found");
	assert_int_equal(vm.r.address, GIB(4));
	/* And the last one, behind which nothing comes. */
	vtd_memory_set(&vm.mem, at, (HOST + MIB(4)) | VTD_SS_PS | RW);
	vtd_memory_set(&vm.mem, at + 8, 0);
	verdict_is(AUDIT_NOT_PROVABLE, "page-not-found");
	assert_int_equal(vm.r.address, GIB(4) + MIB(2));
	/* What is too much counts for more than what was not found. */
	map(GIB(5), 0, KIB(4));
	violated_at("foreign-page", GIB(5));
}

static void zero_filled_tables_are_not_provable(void **state)
{
	uint64_t at = vtd_memory_word(&vm.mem, vm.domain.table) & VTD_ADDRESS_MASK;

	memset(vtd_memory_at(&vm.mem, at), 0, VTD_PAGE);
	verdict_is(AUDIT_NOT_PROVABLE, "table-zero");
	memset(vtd_memory_at(&vm.mem, vm.domain.table), 0, VTD_PAGE);
	verdict_is(AUDIT_NOT_PROVABLE, "table-zero");
	vtd_memory_set(&vm.mem, vm.domain.entry, 0);
	verdict_is(AUDIT_NOT_PROVABLE, "no-entry");
	vm.mem.hole = vm.domain.entry;
	verdict_is(AUDIT_NOT_PROVABLE, "table-unreadable");
}

/* One bit that hardware ignores: the translation is the same, and somebody is at work there. */
static void changing_tables_are_not_provable(void **state)
{
	uint64_t reads;

	audit();
	reads = vm.mem.reads;
	vm.mem.change_word = vm.domain.table;
	vm.mem.change_bit = 52;
	vm.mem.change_at = reads + 8;
	verdict_is(AUDIT_PROVEN, ""); /* only once: the third reading is like the second */
	vm.mem.is_restless = true;
	verdict_is(AUDIT_NOT_PROVABLE, "tables-change");
	assert_false(vm.r.tables_are_proven);
}

static void functions_that_reach_everything(void **state)
{
	struct vtd_domain pass = { .kind = VTD_PASS_THROUGH, .levels = 4 };

	vtd_memory_domain(&vm.mem, SID, &pass);
	verdict_is(AUDIT_VIOLATED, "pass-through");
	vm.unit.gsts = BIT(25);
	verdict_is(AUDIT_VIOLATED, "translation-off");
	vm.unit.gsts = BIT(31);
	verdict_is(AUDIT_VIOLATED, "remapping-off");
	vm.unit.gsts = BIT(31) | BIT(25) | BIT(23);
	vm.unit.irta &= ~BIT_ULL(11);
	verdict_is(AUDIT_VIOLATED, "old-interrupts-pass");
}

static void ats_is_not_provable(void **state)
{
	vm.domain.has_device_tlb = true;
	vtd_memory_domain(&vm.mem, SID, &vm.domain);
	verdict_is(AUDIT_NOT_PROVABLE, "ats-on");
}

static void frames_that_are_not_known(void **state)
{
	vm.moved = 3;
	vm.moved_to = AUDIT_NO_FRAME;
	verdict_is(AUDIT_NOT_PROVABLE, "frame-unknown");
	vm.frames_error = -ESRCH;
	verdict_is(AUDIT_NOT_PROVABLE, "frames-unreadable");
}

static uint64_t irte_at(unsigned int index)
{
	return (vm.mem.irta & VTD_ADDRESS_MASK) + index * VTD_IRTE_SIZE;
}

static void violated_entry(const char *code, unsigned int index)
{
	verdict_is(AUDIT_VIOLATED, code);
	assert_true(vm.r.has_index);
	assert_int_equal(vm.r.index, index);
}

static void source_validation_must_be_on(void **state)
{
	uint64_t hi = vtd_memory_word(&vm.mem, irte_at(11) + 8);

	vtd_memory_set(&vm.mem, irte_at(11) + 8, hi & 0xFFFF);
	violated_entry("no-source-validation", 11);
	vtd_memory_set(&vm.mem, irte_at(11) + 8, hi);
	/* Of another function, and open to all: also to this one. */
	vtd_memory_set(&vm.mem, irte_at(12) + 8, 0x00FA);
	violated_entry("no-source-validation", 12);
	/* Another's that looks at the bus, or at some bits of the function, only. */
	vtd_memory_set(&vm.mem, irte_at(12) + 8, VTD_SVT_BUS << 18 | 0x0001);
	violated_entry("foreign-interrupt", 12);
	vtd_memory_set(&vm.mem, irte_at(12) + 8, VTD_SVT_SID << 18 | 3 << 16 | (SID + 2));
	violated_entry("foreign-interrupt", 12);
}

static void interrupts_go_where_the_host_says(void **state)
{
	vm.line_cpu[1] = 2; /* the entry says APIC ID 20, CPU 0 */
	violated_entry("interrupt-elsewhere", 9);
	vm.line_cpu[1] = 0;
	/* Of no line; but it is live, and may raise nothing that a line may not. */
	vtd_memory_irte(&vm.mem, 30, SID, 22);
	verdict_is(AUDIT_PROVEN, "");
	assert_int_equal(vm.r.spare, 1);
	for (uint64_t dlm = 2; dlm < 8; dlm++) {
		uint64_t lo = vtd_memory_word(&vm.mem, irte_at(30));

		vtd_memory_set(&vm.mem, irte_at(30), lo | dlm << 5);
		violated_entry("interrupt-mode", 30);
		vtd_memory_set(&vm.mem, irte_at(30), (lo & ~(0xFFULL << 16)) | 0x12ULL << 16);
		violated_entry("interrupt-mode", 30);
		vtd_memory_set(&vm.mem, irte_at(30), lo);
	}
	vtd_memory_set(&vm.mem, irte_at(30), 0);
	vtd_memory_set(&vm.mem, irte_at(9), 0);
	verdict_is(AUDIT_NOT_PROVABLE, "entry-not-found");
}

/* A guest, this one or another, that sets up its interrupts all the time is no proof of anything, nor an offence. */
static void a_restless_table_is_not_provable(void **state)
{
	vtd_memory_irte(&vm.mem, 40, 0x00FA, 21);
	vtd_memory_irte(&vm.mem, 30, SID, 22); /* of no line */
	vm.line_cpu[1] = 2;
	vm.restless = irte_at(40);
	verdict_is(AUDIT_NOT_PROVABLE, "tables-change");
}

static void interrupts_that_are_gone_are_not_provable(void **state)
{
	vm.lines_error = -ESTALE;
	verdict_is(AUDIT_NOT_PROVABLE, "lines-unreadable");
}

static void logical_destinations(void **state)
{
	/* x2APIC: cluster 1, the bits 4 (ID 20) and 5 (ID 21). */
	vtd_memory_irte(&vm.mem, 9, SID, 1 << 16 | BIT(4));
	vtd_memory_irte(&vm.mem, 11, SID, 1 << 16 | BIT(5));
	for (unsigned int i = 9; i <= 11; i += 2)
		vtd_memory_set(&vm.mem, irte_at(i),
			       vtd_memory_word(&vm.mem, irte_at(i)) | VTD_IRTE_DM);
	verdict_is(AUDIT_PROVEN, "");
	/* xAPIC, flat: the bit of the CPU, in bits 15:8. */
	vm.unit.irta &= ~BIT_ULL(11);
	vtd_memory_set(&vm.mem, irte_at(9), 0x40ULL << 16 | VTD_IRTE_P | VTD_IRTE_DM | 1ULL << 40);
	vtd_memory_set(&vm.mem, irte_at(11), 0x40ULL << 16 | VTD_IRTE_P | VTD_IRTE_DM | 2ULL << 40);
	verdict_is(AUDIT_PROVEN, "");
	vtd_memory_set(&vm.mem, irte_at(11), 0x40ULL << 16 | VTD_IRTE_P | VTD_IRTE_DM | 4ULL << 40);
	violated_entry("interrupt-elsewhere", 11);
}

static void posted_entries_agree_with_their_descriptor(void **state)
{
	uint64_t pda = vtd_memory_page(&vm.mem);

	vtd_memory_set(&vm.mem, irte_at(9),
		       (pda & 0xFFFFFFC0ULL) << 32 | 0x40ULL << 16 | VTD_IRTE_IM | VTD_IRTE_P);
	vtd_memory_set(&vm.mem, irte_at(9) + 8, pda >> 32 << 32 | VTD_SVT_SID << 18 | SID);
	vtd_memory_set(&vm.mem, pda + 32, 22ULL << 32 | 0xF2ULL << 16);
	verdict_is(AUDIT_PROVEN, "");
	assert_int_equal(vm.r.posted, 1);
	assert_int_equal(vm.r.remapped, 1);
	/* The same descriptor for the VM's other function, and for another VM's. */
	vtd_memory_set(&vm.mem, irte_at(50), vtd_memory_word(&vm.mem, irte_at(9)));
	vtd_memory_set(&vm.mem, irte_at(50) + 8, pda >> 32 << 32 | VTD_SVT_SID << 18 | sids[1]);
	verdict_is(AUDIT_PROVEN, "");
	vtd_memory_set(&vm.mem, irte_at(50) + 8, pda >> 32 << 32 | VTD_SVT_SID << 18 | 0x0200);
	violated_entry("descriptor-shared", 9);
	vtd_memory_set(&vm.mem, irte_at(50), 0);
	vtd_memory_set(&vm.mem, pda + 32, 99ULL << 32 | 0xF2ULL << 16);
	violated_entry("descriptor-differs", 9);
	vm.mem.hole = pda;
	verdict_is(AUDIT_NOT_PROVABLE, "descriptor-unreadable");
}

/* Two functions of one VM: the second's tables are the first's. */
static void shared_tables_are_walked_once(void **state)
{
	struct audit_result second;
	struct vtd_domain d = vm.domain;
	uint64_t reads;

	vtd_memory_domain(&vm.mem, SID + 2, &d);
	vtd_memory_set(&vm.mem, irte_at(9), 0);
	vtd_memory_set(&vm.mem, irte_at(11), 0);
	vm.line_count = 0;
	audit();
	reads = vm.mem.reads;
	audit_function(&vm.m, &vm.unit, SID + 2, &vm.r, &second);
	assert_int_equal(second.verdict, AUDIT_PROVEN);
	assert_int_equal(second.walk.bytes, MIB(8));
	assert_true(vm.mem.reads - reads < 8);
	/* Its own tables are looked at. */
	d.table = 0;
	vtd_memory_domain(&vm.mem, SID + 2, &d);
	audit_function(&vm.m, &vm.unit, SID + 2, &vm.r, &second);
	assert_int_equal(second.verdict, AUDIT_NOT_PROVABLE);
	assert_string_equal(second.code, "table-zero");
}

static uint64_t big_host;

static int big_frames(void *arg, uint64_t hva, size_t count, uint64_t *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = (big_host + (hva - HVA)) / KIB(4) + i;
	return 0;
}

/* 64 GiB in pages of 2 MiB: the bound is two seconds; this build is ten times slower than a plain one. */
static void a_large_vm_is_quick(void **state)
{
	uint64_t began;

	teardown(NULL);
	memset(&vm, 0, sizeof(vm));
	vtd_memory_init(&vm.mem, 128, false);
	vm.domain = (struct vtd_domain){ .kind = VTD_SECOND_STAGE, .levels = 4 };
	vtd_memory_domain(&vm.mem, SID, &vm.domain);
	big_host = GIB(512);
	for (uint64_t at = 0; at < GIB(64); at += MIB(2))
		map(at, big_host + at, MIB(2));
	vtd_memory_irt(&vm.mem);
	vm.unit = (struct audit_unit){ BIT(31) | BIT(25), vm.mem.rtaddr, vm.mem.irta };
	vm.m = (struct audit_machine){ .mem = vm.mem.reader,
				       .backing = { big_frames, NULL },
				       .ram = { { 0, GIB(64), HVA } },
				       .ram_count = 1,
				       .lines = lines_cb };
	began = now_ns();
	audit();
	print_message("64 GiB in 2 MiB pages: %llu ms\n",
		      (unsigned long long)((now_ns() - began) / 1000000));
	assert_int_equal(vm.r.verdict, AUDIT_PROVEN);
	assert_int_equal(vm.r.walk.pages_2m, 32768);
	assert_true(now_ns() - began < 20000000000ULL);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_is_right_is_proven),
		CASE(a_foreign_page_is_named),
		CASE(one_wrong_page_inside_a_large_one),
		CASE(nothing_may_be_beside_the_ram),
		CASE(a_page_may_not_be_larger_than_the_ram),
		CASE(less_access_is_no_ram),
		CASE(a_page_that_is_not_found_is_not_provable),
		CASE(zero_filled_tables_are_not_provable),
		CASE(changing_tables_are_not_provable),
		CASE(functions_that_reach_everything),
		CASE(ats_is_not_provable),
		CASE(frames_that_are_not_known),
		CASE(source_validation_must_be_on),
		CASE(interrupts_go_where_the_host_says),
		CASE(a_restless_table_is_not_provable),
		CASE(interrupts_that_are_gone_are_not_provable),
		CASE(logical_destinations),
		CASE(posted_entries_agree_with_their_descriptor),
		CASE(shared_tables_are_walked_once),
		CASE(a_large_vm_is_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

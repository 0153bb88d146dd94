// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/vtd_memory.h"

#include "iommu/vtd_tables.h"
#include "iommu/vtd_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#define SID	   0x0181 /* 01:10.1 */
#define RW	   (VTD_READ | VTD_WRITE)
#define MAPS	   16
#define MAX_TABLES 64

struct seen {
	struct vtd_mapping maps[MAPS];
	size_t count;
	int end_with; /* what the sink returns */
};

static int collect(void *arg, const struct vtd_mapping *m)
{
	struct seen *s = arg;

	assert_true(s->count < MAPS);
	s->maps[s->count++] = *m;
	return s->end_with;
}

static int walk(struct vtd_memory *m, const struct vtd_domain *d, struct seen *s,
		struct vtd_walk *w, struct err *e)
{
	memset(s, 0, sizeof(*s));
	*w = (struct vtd_walk){ .fn = collect, .arg = s, .max_tables = MAX_TABLES };
	return vtd_tables_walk(&m->reader, d, w, e);
}

static void map_is(const struct vtd_mapping *m, const struct vtd_mapping *want)
{
	assert_int_equal(m->iova, want->iova);
	assert_int_equal(m->hpa, want->hpa);
	assert_int_equal(m->size, want->size);
	assert_int_equal(m->page_size, want->page_size);
	assert_int_equal(m->access & RW, want->access);
}

/* Mode and depth of every kind that there is; all page sizes in each. */
static const struct depth {
	bool is_scalable;
	enum vtd_domain_kind kind;
	unsigned int levels;
} depths[] = {
	{ false, VTD_SECOND_STAGE, 3 }, { false, VTD_SECOND_STAGE, 4 },
	{ false, VTD_SECOND_STAGE, 5 }, { true, VTD_SECOND_STAGE, 3 },
	{ true, VTD_SECOND_STAGE, 4 },	{ true, VTD_SECOND_STAGE, 5 },
	{ true, VTD_FIRST_STAGE, 4 },	{ true, VTD_FIRST_STAGE, 5 },
};

static void every_depth_and_page_size(void **state)
{
	static const struct vtd_mapping maps[] = {
		{ 0, 0x7000, KIB(4), KIB(4), RW },
		{ KIB(4), 0x8000, KIB(4), KIB(4), RW }, /* goes on behind the first */
		{ KIB(8), 0x9000, KIB(4), KIB(4), VTD_READ }, /* other access */
		{ MIB(2), MIB(64), MIB(2), MIB(2), RW },
		{ MIB(4), MIB(66), MIB(2), MIB(2), RW },
		{ MIB(6), MIB(66), MIB(2), MIB(2), RW }, /* the same memory once more */
		{ GIB(4), GIB(9), GIB(1), GIB(1), RW },
	};
	static const struct vtd_mapping want[] = {
		{ 0, 0x7000, KIB(8), KIB(4), RW },
		{ KIB(8), 0x9000, KIB(4), KIB(4), VTD_READ },
		{ MIB(2), MIB(64), MIB(4), MIB(2), RW },
		{ MIB(6), MIB(66), MIB(2), MIB(2), RW },
		{ GIB(4), GIB(9), GIB(1), GIB(1), RW },
	};

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		struct vtd_domain d = { .kind = depths[i].kind,
					.levels = depths[i].levels,
					.did = 7 },
				  found;
		struct vtd_memory m;
		struct vtd_walk w;
		struct seen s;

		vtd_memory_init(&m, 64, depths[i].is_scalable);
		vtd_memory_domain(&m, SID, &d);
		for (size_t k = 0; k < ARRAY_SIZE(maps); k++)
			vtd_memory_map(&m, &d, &maps[k]);
		assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), 0);
		assert_int_equal(found.kind, d.kind);
		assert_int_equal(found.levels, d.levels);
		assert_int_equal(found.did, 7);
		assert_int_equal(found.table, d.table);
		assert_int_equal(found.entry, d.entry);
		assert_int_equal(found.is_scalable, depths[i].is_scalable);
		assert_false(found.has_device_tlb);
		assert_int_equal(walk(&m, &found, &s, &w, NULL), 0);
		assert_int_equal(s.count, ARRAY_SIZE(want));
		for (size_t k = 0; k < ARRAY_SIZE(want); k++)
			map_is(&s.maps[k], &want[k]);
		assert_int_equal(w.mappings, ARRAY_SIZE(want));
		assert_int_equal(w.pages_4k, 3);
		assert_int_equal(w.pages_2m, 3);
		assert_int_equal(w.pages_1g, 1);
		assert_int_equal(w.bytes, KIB(12) + MIB(6) + GIB(1));
		/* One for each upper level, two at level 2 at most, one for the 4 KiB pages. */
		assert_int_equal(w.tables, d.levels);
		vtd_memory_fini(&m);
	}
}

static void the_upper_half_is_canonical(void **state)
{
	struct vtd_domain d = { .kind = VTD_FIRST_STAGE, .levels = 4 };
	const struct vtd_mapping map = { BIT_ULL(47) + KIB(4), 0x7000, KIB(4), KIB(4), RW };
	struct vtd_memory m;
	struct vtd_walk w;
	struct seen s;

	vtd_memory_init(&m, 16, true);
	vtd_memory_domain(&m, SID, &d);
	vtd_memory_map(&m, &d, &map);
	assert_int_equal(walk(&m, &d, &s, &w, NULL), 0);
	assert_int_equal(s.maps[0].iova, 0xFFFF800000001000ULL);
	vtd_memory_fini(&m);
}

/* A bit that an upper table takes away is not given back below. */
static void access_is_that_of_the_whole_path(void **state)
{
	struct vtd_domain d = { .kind = VTD_SECOND_STAGE, .levels = 3 };
	const struct vtd_mapping map = { 0, 0x7000, KIB(4), KIB(4), RW };
	struct vtd_memory m;
	struct vtd_walk w;
	struct seen s;

	vtd_memory_init(&m, 16, false);
	vtd_memory_domain(&m, SID, &d);
	vtd_memory_map(&m, &d, &map);
	vtd_memory_set(&m, d.table, vtd_memory_word(&m, d.table) & ~VTD_SS_W);
	assert_int_equal(walk(&m, &d, &s, &w, NULL), 0);
	assert_int_equal(s.maps[0].access, VTD_READ);
	vtd_memory_fini(&m);
}

static void what_is_there_for_a_function(void **state)
{
	struct vtd_domain pass = { .kind = VTD_PASS_THROUGH, .levels = 4 }, found;
	struct vtd_domain ats = { .kind = VTD_SECOND_STAGE, .levels = 4, .has_device_tlb = true };

	for (int scalable = 0; scalable < 2; scalable++) {
		struct vtd_memory m;

		ats.table = 0;
		vtd_memory_init(&m, 32, scalable);
		assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), 0);
		assert_int_equal(found.kind, VTD_BLOCKED);
		assert_int_equal(found.entry, 0);
		vtd_memory_domain(&m, SID, &pass);
		vtd_memory_domain(&m, 0x0108, &ats);
		assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), 0);
		assert_int_equal(found.kind, VTD_PASS_THROUGH);
		assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, 0x0108, &found, NULL), 0);
		assert_int_equal(found.kind, VTD_SECOND_STAGE);
		assert_true(found.has_device_tlb);
		/* The bus has a table, the function no entry. */
		assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, 0x0118, &found, NULL), 0);
		assert_int_equal(found.kind, VTD_BLOCKED);
		assert_int_not_equal(found.entry, 0);
		assert_int_equal(
			vtd_domain_read(&m.reader, m.rtaddr | 3ULL << 10, SID, &found, NULL), 0);
		assert_int_equal(found.kind, VTD_ABORTED);
		vtd_memory_fini(&m);
	}
}

static void pasids_beside_the_functions_own(void **state)
{
	struct vtd_domain d = { .kind = VTD_NESTED }, found;
	struct vtd_memory m;
	uint64_t dir, table;

	vtd_memory_init(&m, 32, true);
	vtd_memory_domain(&m, SID, &d);
	dir = vtd_memory_word(&m, d.entry) & VTD_ADDRESS_MASK;
	table = vtd_memory_word(&m, dir) & VTD_ADDRESS_MASK;
	vtd_memory_set(&m, table + 5 * VTD_PASID_SIZE, VTD_PASID_P | VTD_PGTT_SECOND << 6);
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), 0);
	assert_int_equal(found.kind, VTD_NESTED);
	assert_int_equal(found.other_pasids, 1);
	assert_int_equal(found.first_other_pasid, 5);
	/* A second table counts only where requests with PASID are served. */
	table = vtd_memory_page(&m);
	vtd_memory_set(&m, table, VTD_PASID_P);
	vtd_memory_set(&m, dir + 8, table | VTD_PASID_DIR_P);
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), 0);
	assert_int_equal(found.other_pasids, 1);
	vtd_memory_set(&m, d.entry, vtd_memory_word(&m, d.entry) | VTD_SM_CONTEXT_PASIDE);
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), 0);
	assert_int_equal(found.other_pasids, 2);
	vtd_memory_set(&m, table, 0);
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, NULL), -ENODATA);
	vtd_memory_fini(&m);
}

/* Each bit that must be zero, set alone. */
static void reserved_bits_are_refused(void **state)
{
	struct vtd_domain d = { .kind = VTD_SECOND_STAGE, .levels = 4 }, found;
	const struct vtd_mapping huge = { GIB(1), GIB(2), MIB(2), MIB(2), RW };
	const struct vtd_mapping small = { 0, GIB(2), KIB(4), KIB(4), RW };
	struct vtd_memory m;
	struct vtd_walk w;
	uint64_t at, word;
	struct err e;
	struct seen s;

	vtd_memory_init(&m, 32, false);
	vtd_memory_domain(&m, SID, &d);
	for (unsigned int bit = 4; bit < 12; bit++) {
		word = vtd_memory_word(&m, d.entry);
		vtd_memory_set(&m, d.entry, word | BIT_ULL(bit));
		assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, &e), -EBADMSG);
		assert_non_null(strstr(e.text, "context entry"));
		vtd_memory_set(&m, d.entry, word);
	}
	word = vtd_memory_word(&m, d.entry + 8);
	vtd_memory_set(&m, d.entry + 8, 6); /* AW */
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, &e), -EBADMSG);
	vtd_memory_set(&m, d.entry + 8, word);
	vtd_memory_map(&m, &d, &small);
	at = vtd_memory_map(&m, &d, &huge);
	assert_int_equal(walk(&m, &d, &s, &w, &e), 0);
	vtd_memory_set(&m, at, vtd_memory_word(&m, at) | KIB(4));
	assert_int_equal(walk(&m, &d, &s, &w, &e), -EBADMSG);
	/* There are no pages of 512 GiB. */
	vtd_memory_set(&m, at, vtd_memory_word(&m, at) & ~KIB(4));
	vtd_memory_set(&m, d.table, vtd_memory_word(&m, d.table) | VTD_SS_PS);
	assert_int_equal(walk(&m, &d, &s, &w, &e), -EBADMSG);
	vtd_memory_fini(&m);
}

static void hostile_tables_end_soon(void **state)
{
	struct vtd_domain d = { .kind = VTD_SECOND_STAGE, .levels = 5 };
	uint64_t page[VTD_LEVELS_MAX];
	struct vtd_memory m;
	struct vtd_walk w;
	struct seen s;
	struct err e;

	vtd_memory_init(&m, 32, false);
	vtd_memory_domain(&m, SID, &d);
	for (unsigned int i = 0; i < VTD_WORDS; i++)
		vtd_memory_set(&m, d.table + i * 8, d.table | RW);
	assert_int_equal(walk(&m, &d, &s, &w, &e), -ELOOP);
	assert_true(w.tables <= 2);
	/* Every entry of every level the same table: 512^4 paths, none of them a loop. */
	page[0] = d.table;
	for (unsigned int l = 1; l < 5; l++)
		page[l] = vtd_memory_page(&m);
	for (unsigned int l = 0; l < 4; l++)
		for (unsigned int i = 0; i < VTD_WORDS; i++)
			vtd_memory_set(&m, page[l] + i * 8, page[l + 1] | RW);
	/* Not zero, and nothing present: only the limit ends it. */
	vtd_memory_set(&m, page[4], VTD_SS_X);
	s.count = 0;
	w = (struct vtd_walk){ .fn = collect, .arg = &s, .max_tables = MAX_TABLES };
	assert_int_equal(vtd_tables_walk(&m.reader, &d, &w, &e), -E2BIG);
	assert_int_equal(w.tables, MAX_TABLES);
	vtd_memory_fini(&m);
}

static void what_cannot_be_read_is_said(void **state)
{
	struct vtd_domain d = { .kind = VTD_SECOND_STAGE, .levels = 4 }, found;
	const struct vtd_mapping map = { 0, 0x7000, KIB(4), KIB(4), RW };
	struct vtd_memory m;
	struct vtd_walk w;
	struct seen s;
	struct err e;
	uint64_t at;

	vtd_memory_init(&m, 16, false);
	vtd_memory_domain(&m, SID, &d);
	at = vtd_memory_map(&m, &d, &map);
	m.hole = at;
	assert_int_equal(walk(&m, &d, &s, &w, &e), -EFAULT);
	m.hole = d.entry;
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, &e), -EFAULT);
	m.hole = m.rtaddr;
	assert_int_equal(vtd_domain_read(&m.reader, m.rtaddr, SID, &found, &e), -EFAULT);
	m.hole = 0;
	/* An unreadable page of /proc/kcore reads as zeros. */
	vtd_memory_set(&m, at, 0);
	assert_int_equal(walk(&m, &d, &s, &w, &e), -ENODATA);
	assert_non_null(strstr(e.text, "all zero"));
	assert_int_equal(s.count, 0);
	vtd_memory_fini(&m);
}

/* Accessed and dirty bits are the hardware's; anything else that changes shows. */
static void two_readings_can_be_compared(void **state)
{
	struct vtd_domain d = { .kind = VTD_SECOND_STAGE, .levels = 4 };
	const struct vtd_mapping map = { 0, 0x7000, KIB(4), KIB(4), RW };
	struct vtd_memory m;
	struct vtd_walk w;
	uint64_t at, first;
	struct seen s;

	vtd_memory_init(&m, 16, false);
	vtd_memory_domain(&m, SID, &d);
	at = vtd_memory_map(&m, &d, &map);
	assert_int_equal(walk(&m, &d, &s, &w, NULL), 0);
	first = w.digest;
	vtd_memory_set(&m, at, vtd_memory_word(&m, at) | VTD_SS_A | VTD_SS_D);
	assert_int_equal(walk(&m, &d, &s, &w, NULL), 0);
	assert_int_equal(w.digest, first);
	vtd_memory_set(&m, at, vtd_memory_word(&m, at) ^ KIB(4));
	assert_int_equal(walk(&m, &d, &s, &w, NULL), 0);
	assert_int_not_equal(w.digest, first);
	vtd_memory_fini(&m);
}

static void the_sink_can_end_it(void **state)
{
	struct vtd_domain d = { .kind = VTD_SECOND_STAGE, .levels = 4 };
	const struct vtd_mapping maps[] = { { 0, 0x7000, KIB(4), KIB(4), RW },
					    { KIB(8), 0x7000, KIB(4), KIB(4), RW } };
	struct seen s = { .end_with = 5 };
	struct vtd_walk w = { .fn = collect, .arg = &s, .max_tables = MAX_TABLES };
	struct vtd_memory m;

	vtd_memory_init(&m, 16, false);
	vtd_memory_domain(&m, SID, &d);
	vtd_memory_map(&m, &d, &maps[0]);
	vtd_memory_map(&m, &d, &maps[1]);
	assert_int_equal(vtd_tables_walk(&m.reader, &d, &w, NULL), 5);
	assert_int_equal(s.count, 1);
	d.kind = VTD_PASS_THROUGH;
	assert_int_equal(vtd_tables_walk(&m.reader, &d, &w, NULL), -EINVAL);
	vtd_memory_fini(&m);
}

struct irtes {
	struct vtd_irte items[8];
	size_t count;
};

static int irte_collect(void *arg, const struct vtd_irte *irte)
{
	struct irtes *s = arg;

	assert_true(s->count < ARRAY_SIZE(s->items));
	s->items[s->count++] = *irte;
	return 0;
}

static void interrupt_entries(void **state)
{
	struct irtes s = { .count = 0 };
	struct vtd_irt_walk w = { .fn = irte_collect, .arg = &s };
	struct vtd_posted pd;
	struct vtd_memory m;
	uint64_t at, pda;
	struct err e;

	vtd_memory_init(&m, 8, false);
	vtd_memory_irt(&m);
	vtd_memory_irte(&m, 3, SID, 0x12345);
	pda = vtd_memory_page(&m) + 64;
	at = (m.irta & VTD_ADDRESS_MASK) + 255 * VTD_IRTE_SIZE;
	vtd_memory_set(&m, at,
		       (pda & 0xFFFFFFC0ULL) << 32 | 0x40ULL << 16 | VTD_IRTE_IM | VTD_IRTE_P);
	vtd_memory_set(&m, at + 8, pda >> 32 << 32 | VTD_SVT_SID << 18 | SID);
	vtd_memory_set(&m, pda + 32, 0x77ULL << 32 | 0xF2ULL << 16 | VTD_PID_SN);
	assert_int_equal(vtd_irt_walk(&m.reader, m.irta, &w, &e), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.items[0].index, 3);
	assert_int_equal(s.items[0].sid, SID);
	assert_int_equal(s.items[0].dst, 0x12345);
	assert_int_equal(s.items[0].vector, 0x31);
	assert_false(s.items[0].is_posted);
	assert_int_equal(s.items[1].index, 255);
	assert_true(s.items[1].is_posted);
	assert_int_equal(s.items[1].vector, 0x40);
	assert_int_equal(s.items[1].pda, pda);
	assert_int_equal(vtd_posted_read(&m.reader, pda, true, &pd, &e), 0);
	assert_int_equal(pd.vector, 0xF2);
	assert_int_equal(pd.apic_id, 0x77);
	assert_true(pd.is_suppressed && !pd.is_on);
	/* In xAPIC mode the ID is bits 15:8. */
	s.count = 0;
	assert_int_equal(vtd_irt_walk(&m.reader, m.irta & ~BIT_ULL(11), &w, &e), 0);
	assert_int_equal(s.items[0].dst, 0x23);
	vtd_memory_set(&m, at + 8, vtd_memory_word(&m, at + 8) | BIT_ULL(20));
	assert_int_equal(vtd_irt_walk(&m.reader, m.irta, &w, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "entry 255"));
	/* Twice as large as what there is. */
	vtd_memory_set(&m, at, 0);
	assert_int_equal(vtd_irt_walk(&m.reader, m.irta + 8, &w, &e), -EFAULT);
	vtd_memory_fini(&m);
}

static void whom_an_entry_admits(void **state)
{
	static const struct row {
		uint8_t svt, sq;
		uint16_t sid, from;
		bool admits;
	} rows[] = {
		{ VTD_SVT_NONE, 0, 0, SID, true },	 { VTD_SVT_SID, 0, SID, SID, true },
		{ VTD_SVT_SID, 0, SID, SID + 1, false }, { VTD_SVT_SID, 1, SID, SID ^ 4, true },
		{ VTD_SVT_SID, 1, SID, SID ^ 2, false }, { VTD_SVT_SID, 2, SID, SID ^ 6, true },
		{ VTD_SVT_SID, 2, SID, SID ^ 1, false }, { VTD_SVT_SID, 3, SID, SID ^ 7, true },
		{ VTD_SVT_SID, 3, SID, SID ^ 8, false }, { VTD_SVT_BUS, 0, 0x0103, SID, true },
		{ VTD_SVT_BUS, 0, 0x0203, SID, false },	 { VTD_SVT_BUS, 0, 0x0001, SID, true },
		{ VTD_SVT_BUS, 0, 0x0000, SID, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vtd_irte irte = { .svt = rows[i].svt, .sq = rows[i].sq, .sid = rows[i].sid };

		assert_int_equal(vtd_irte_admits(&irte, rows[i].from), rows[i].admits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_depth_and_page_size),
		cmocka_unit_test(the_upper_half_is_canonical),
		cmocka_unit_test(access_is_that_of_the_whole_path),
		cmocka_unit_test(what_is_there_for_a_function),
		cmocka_unit_test(pasids_beside_the_functions_own),
		cmocka_unit_test(reserved_bits_are_refused),
		cmocka_unit_test(hostile_tables_end_soon),
		cmocka_unit_test(what_cannot_be_read_is_said),
		cmocka_unit_test(two_readings_can_be_compared),
		cmocka_unit_test(the_sink_can_end_it),
		cmocka_unit_test(interrupt_entries),
		cmocka_unit_test(whom_an_entry_admits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vtd_regs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

/* What an emulated unit and a server's unit say of themselves. */
#define CAP_EMULATED 0xD2008C222F0606ULL
#define CAP_SERVER   0x8D2078C106F0466ULL
#define ECAP_SERVER  0xF020DFULL

static const struct vtd_field *field_find(enum vtd_reg reg, const char *name)
{
	for (size_t i = 0; i < vtd_field_count; i++)
		if (vtd_fields[i].reg == reg && strcmp(vtd_fields[i].name, name) == 0)
			return &vtd_fields[i];
	fail_msg("no field %s", name);
	return NULL;
}

static void fields_are_sorted_and_apart(void **state)
{
	for (size_t i = 0; i < vtd_field_count; i++) {
		const struct vtd_field *f = &vtd_fields[i];

		assert_true(f->bits > 0 && f->lsb + f->bits <= 8 * vtd_regs[f->reg].bytes);
		assert_ptr_equal(field_find(f->reg, f->name), f);
		if (i > 0 && f[-1].reg == f->reg)
			assert_true(f[-1].lsb + f[-1].bits <= f->lsb);
		else if (i > 0)
			assert_true(f[-1].reg < f->reg);
	}
}

/* The macros and the table are two ways to say the same. */
static void macros_agree_with_the_table(void **state)
{
	static const uint64_t values[] = { 0, ~0ULL, 0x123456789ABCDEF0ULL, CAP_SERVER };
#define AGREE(reg, name, v) \
	assert_int_equal(reg##_##name(v), vtd_field_get(field_find(reg, #name), v))

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		uint64_t v = values[i];

		AGREE(VTD_CAP, SAGAW, v);
		AGREE(VTD_CAP, MGAW, v);
		AGREE(VTD_CAP, SSLPS, v);
		AGREE(VTD_CAP, PI, v);
		AGREE(VTD_ECAP, C, v);
		AGREE(VTD_ECAP, DT, v);
		AGREE(VTD_ECAP, IR, v);
		AGREE(VTD_ECAP, EIM, v);
		AGREE(VTD_ECAP, SC, v);
		AGREE(VTD_ECAP, SMTS, v);
		AGREE(VTD_GSTS, TES, v);
		AGREE(VTD_GSTS, IRES, v);
		AGREE(VTD_GSTS, CFIS, v);
		AGREE(VTD_RTADDR, TTM, v);
		AGREE(VTD_IRTA, EIME, v);
		assert_int_equal(VTD_RTADDR_RTA(v) >> 12,
				 vtd_field_get(field_find(VTD_RTADDR, "RTA"), v));
		assert_int_equal(VTD_IRTA_ADDR(v) >> 12,
				 vtd_field_get(field_find(VTD_IRTA, "IRTA"), v));
	}
}

static void what_units_can_do(void **state)
{
	assert_int_equal(vtd_address_bits(CAP_EMULATED), 48);
	assert_int_equal(vtd_levels(CAP_EMULATED), 1 << 3 | 1 << 4);
	assert_int_equal(VTD_CAP_SSLPS(CAP_EMULATED), 3);

	assert_int_equal(vtd_address_bits(CAP_SERVER), 48);
	assert_true(VTD_CAP_PI(CAP_SERVER));
	assert_true(VTD_ECAP_IR(ECAP_SERVER) && VTD_ECAP_EIM(ECAP_SERVER) &&
		    VTD_ECAP_SC(ECAP_SERVER));

	/* Reserved values mean nothing that could be relied on. */
	assert_int_equal(vtd_address_bits(0x3FULL << 16), 0);
	assert_int_equal(vtd_address_bits(0x3FULL << 16 | 0x1100), 0);
	assert_int_equal(vtd_address_bits(38ULL << 16 | 0xE00), 39);
	assert_int_equal(VTD_IRTA_ENTRIES(0xF), 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_sorted_and_apart),
		cmocka_unit_test(macros_agree_with_the_table),
		cmocka_unit_test(what_units_can_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

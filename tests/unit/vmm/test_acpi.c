// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/acpi.h"
#include "vmm/acpi_aml.h"
#include "vmm/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define GPA 0xE0000

static const struct acpi_config usual = {
	.cpu_count = 3,
	.ecam_base = 0xE0000000,
	.ecam_size = MIB(256),
	.bus_last = 4,
	.mmio32_base = 0xC0000000,
	.mmio32_size = MIB(512),
	.mmio64_base = GIB(768),
	.mmio64_size = GIB(128),
	.serial_console = true,
};

static void build(struct acpi_tables *t, const struct acpi_config *cfg)
{
	struct err e = { 0 };

	assert_int_equal(acpi_tables_build(t, cfg, &e), 0);
	acpi_tables_place(t, GPA);
}

static uint8_t sum(const uint8_t *p, uint32_t len)
{
	uint8_t s = 0;

	while (len-- > 0)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The table as a guest finds it: from the RSDP through the XSDT. */
static const uint8_t *table_find(const struct acpi_tables *t, const char *sig)
{
	const uint8_t *xsdt = t->data + (get_le64(t->data + 24) - GPA);

	assert_memory_equal(xsdt, "XSDT", 4);
	for (uint32_t off = 36; off < get_le32(xsdt + 4); off += 8) {
		const uint8_t *p = t->data + (get_le64(xsdt + off) - GPA);

		if (memcmp(p, sig, 4) == 0)
			return p;
	}
	return NULL;
}

static void everything_sums_up_to_zero(void **state)
{
	struct acpi_tables t;

	(void)state;
	build(&t, &usual);
	assert_memory_equal(t.data, "RSD PTR ", 8);
	assert_int_equal(sum(t.data, 20), 0);
	assert_int_equal(sum(t.data, 36), 0);
	assert_int_equal(t.table_count, 6);
	for (uint32_t i = 0; i < t.table_count; i++) {
		const uint8_t *p = t.data + t.tables[i];

		assert_true(range_fits(t.tables[i], get_le32(p + 4), t.len));
		assert_int_equal(sum(p, get_le32(p + 4)), 0);
	}
	acpi_tables_place(&t, 0x7FFF0000); /* placed again, as a table loader would */
	for (uint32_t i = 0; i < t.table_count; i++)
		assert_int_equal(sum(t.data + t.tables[i], get_le32(t.data + t.tables[i] + 4)), 0);
	acpi_tables_fini(&t);
}

static void fadt_is_ich9(void **state)
{
	struct acpi_tables t;
	const uint8_t *fadt;

	(void)state;
	build(&t, &usual);
	fadt = table_find(&t, "FACP");
	assert_int_equal(get_le32(fadt + 4), 276);
	assert_int_equal(get_le16(fadt + 46), 9);
	assert_int_equal(get_le32(fadt + 56), 0x600);
	assert_int_equal(get_le64(fadt + 212), 0x608);
	assert_int_equal(get_le32(fadt + 112) & 0x10, 0); /* the power button is PM1's */
	assert_int_equal(fadt[109] & 2, 0); /* no keyboard controller */
	assert_memory_equal(t.data + get_le32(fadt + 36) - GPA, "FACS", 4);
	assert_int_equal(get_le32(fadt + 36) % 64, 0);
	assert_memory_equal(t.data + get_le32(fadt + 40) - GPA, "DSDT", 4);
	assert_int_equal(get_le64(fadt + 140), get_le32(fadt + 40));
	acpi_tables_fini(&t);
}

static void mcfg_names_only_the_buses_there_are(void **state)
{
	struct acpi_config cfg = usual;
	struct acpi_tables t;
	const uint8_t *mcfg;

	(void)state;
	build(&t, &cfg);
	mcfg = table_find(&t, "MCFG");
	assert_int_equal(get_le64(mcfg + 44), 0xE0000000);
	assert_int_equal(mcfg[54], 0);
	assert_int_equal(mcfg[55], 4);
	acpi_tables_fini(&t);
	cfg.ecam_size = 0;
	cfg.serial_console = false;
	build(&t, &cfg);
	assert_null(table_find(&t, "MCFG"));
	assert_null(table_find(&t, "SPCR"));
	acpi_tables_fini(&t);
}

/* Walks the MADT as a guest does; counts of each entry type. */
static void madt_counts(const uint8_t *madt, unsigned int counts[16])
{
	uint32_t off = 44, len = get_le32(madt + 4);

	memset(counts, 0, 16 * sizeof(counts[0]));
	while (off < len) {
		assert_true(madt[off] < 16 && madt[off + 1] >= 2);
		counts[madt[off]]++;
		off += madt[off + 1];
	}
	assert_int_equal(off, len);
}

static void madt_has_every_cpu(void **state)
{
	struct acpi_config cfg = usual;
	unsigned int counts[16];
	struct acpi_tables t;

	(void)state;
	build(&t, &cfg);
	madt_counts(table_find(&t, "APIC"), counts);
	assert_int_equal(counts[0], 3);
	assert_int_equal(counts[1], 1);
	assert_int_equal(counts[2], 2);
	assert_int_equal(counts[4], 1);
	acpi_tables_fini(&t);
	/* The most that a VM has: ids below 255, so no entry is an x2APIC's, and all fits below 1 MiB. */
	cfg.cpu_count = VMM_MAX_CPUS;
	build(&t, &cfg);
	madt_counts(table_find(&t, "APIC"), counts);
	assert_int_equal(counts[0], 254);
	assert_int_equal(counts[9], 0);
	assert_true(t.len <= LAYOUT_ACPI_END - LAYOUT_ACPI);
	acpi_tables_fini(&t);
	cfg.cpu_count = 300;
	build(&t, &cfg);
	madt_counts(table_find(&t, "APIC"), counts);
	assert_int_equal(counts[0], 255);
	assert_int_equal(counts[9], 45);
	acpi_tables_fini(&t);
}

static void impossible_configurations_are_refused(void **state)
{
	struct acpi_config cfg = usual;
	struct acpi_tables t;
	struct err e = { 0 };

	(void)state;
	cfg.cpu_count = 0;
	assert_int_equal(acpi_tables_build(&t, &cfg, &e), -EINVAL);
	cfg.cpu_count = 4096;
	assert_int_equal(acpi_tables_build(&t, &cfg, &e), -ENOSPC);
	assert_true(e.text[0] != '\0');
	cfg = usual;
	cfg.bus_last = 256;
	assert_int_equal(acpi_tables_build(&t, &cfg, &e), -EINVAL);
}

static void aml_lengths(void **state)
{
	static const size_t sizes[] = { 0, 57, 58, 59, 60, 61, 62, 63, 64, 4080, 4095, 4096, 70000 };
	static const uint8_t zeros[70000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct aml a = { 0 };
		size_t len = 0, pkg, n;
		uint8_t *data;

		aml_scope_begin(&a, "\\");
		aml_bytes(&a, zeros, sizes[i]);
		aml_end(&a);
		data = aml_finish(&a, &len);
		assert_non_null(data);
		n = data[1] >> 6;
		pkg = n == 0 ? data[1] & 0x3F : data[1] & 0x0F;
		for (size_t b = 1; b <= n; b++)
			pkg |= (size_t)data[1 + b] << (8 * b - 4);
		assert_int_equal(pkg, len - 1); /* all but the opcode */
		free(data);
	}
}

static void aml_names(void **state)
{
	static const uint8_t expected[] = { '\\', '_',	'S',  '5',  '_',  0x2E, '_', 'S', 'B',
					    '_',  'P',	'C',  'I',  '0',  0x2F, 3,   'A', '_',
					    '_',  '_',	'B',  '_',  '_',  '_',	'C', 'D', 'E',
					    'F',  0x0C, 0x41, 0xD0, 0x0A, 0x08 };
	struct aml a = { 0 };
	size_t len = 0;
	uint8_t *data;

	(void)state;
	aml_path(&a, "\\_S5");
	aml_path(&a, "_SB.PCI0");
	aml_path(&a, "A.B.CDEF");
	aml_eisa_id(&a, "PNP0A08");
	data = aml_finish(&a, &len);
	assert_int_equal(len, sizeof(expected));
	assert_memory_equal(data, expected, len);
	free(data);
	aml_scope_begin(&a, "X"); /* left open: nothing comes out */
	assert_null(aml_finish(&a, &len));
	aml_end(&a);
	assert_null(aml_finish(&a, &len));
}

/* The reference: iasl reads the DSDT back and compiles what it read without a complaint. */
static void iasl_agrees(void **state)
{
	char folder[] = "/tmp/viaduct-acpi-XXXXXX", path[64], command[256];
	struct acpi_tables t;
	const uint8_t *dsdt;
	FILE *f;

	(void)state;
	if (access("/usr/bin/iasl", X_OK) < 0) {
		print_message("iasl is not installed (package acpica-tools)\n");
		skip();
	}
	build(&t, &usual);
	dsdt = t.data + get_le32(table_find(&t, "FACP") + 40) - GPA;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/dsdt.dat", folder);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(dsdt, get_le32(dsdt + 4), 1, f), 1);
	fclose(f);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.dat >d.log 2>&1 && iasl -ve dsdt.dsl >c.log 2>&1 && "
		 "grep -q ' 0 Errors, 0 Warnings' c.log && grep -q _OSC dsdt.dsl",
		 folder);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	acpi_tables_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_sums_up_to_zero),
		cmocka_unit_test(fadt_is_ich9),
		cmocka_unit_test(mcfg_names_only_the_buses_there_are),
		cmocka_unit_test(madt_has_every_cpu),
		cmocka_unit_test(impossible_configurations_are_refused),
		cmocka_unit_test(aml_lengths),
		cmocka_unit_test(aml_names),
		cmocka_unit_test(iasl_agrees),
	};

	return cmocka_run_group_tests_name("vmm-acpi", tests, NULL, NULL);
}

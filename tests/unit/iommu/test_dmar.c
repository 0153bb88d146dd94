// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/iommu/dmar_tables.h"
#include "tests/unit/iommu/lab_dmar.h"

#include "iommu/dmar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH(...)	    ((const uint8_t[]){ __VA_ARGS__ })
#define HEAD(type, id, bus) ((const uint8_t[]){ type, id, bus })

/* Bridges of the tests: 00:1c.0 has buses 1 to 3, and behind it 01:00.0 buses 2 and 3; 00:1d.0 points back at bus 0;
 * in segment 1 00:1c.0 has bus 0x41. */
static bool fake_bridge(void *arg, const struct pci_addr *at, uint8_t *secondary,
			uint8_t *subordinate)
{
	static const struct {
		struct pci_addr at;
		uint8_t secondary, subordinate;
	} bridges[] = {
		{ { 0, 0, 0x1C, 0 }, 1, 3 },
		{ { 0, 1, 0, 0 }, 2, 3 },
		{ { 0, 0, 0x1D, 0 }, 0, 0 },
		{ { 1, 0, 0x1C, 0 }, 0x41, 0x41 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bridges); i++)
		if (pci_addr_cmp(&bridges[i].at, at) == 0) {
			*secondary = bridges[i].secondary;
			*subordinate = bridges[i].subordinate;
			return true;
		}
	return false;
}

static const struct dmar_pci pci = { fake_bridge, NULL };

/* The lab: root ports 00:02.0 to 00:05.0 with buses 1 to 4. */
static bool lab_bridge(void *arg, const struct pci_addr *at, uint8_t *secondary,
		       uint8_t *subordinate)
{
	*secondary = *subordinate = (uint8_t)(at->dev - 1);
	return at->bus == 0 && at->dev >= 2 && at->dev <= 5;
}

static const struct dmar_pci lab_pci = { lab_bridge, NULL };

static struct pci_addr fn(const char *text)
{
	struct pci_addr a;

	assert_int_equal(parse_pci_addr(text, &a), 0);
	return a;
}

static void parsed(struct table *t, struct dmar *d)
{
	struct err e = { 0 };

	table_end(t);
	if (dmar_parse(t->bytes, t->len, d, &e) != 0)
		fail_msg("%s", e.text);
}

/* The table is refused, and the error says where. */
static void refused(const struct table *t, const char *where)
{
	struct err e = { 0 };
	struct dmar d;

	assert_int_equal(dmar_parse(t->bytes, t->len, &d, &e), -EBADMSG);
	assert_string_equal(e.code, "dmar-malformed");
	if (strstr(e.text, where) == NULL)
		fail_msg("no \"%s\" in: %s", where, e.text);
	assert_null(d.bytes);
	assert_int_equal(d.entry_count, 0);
}

/* The unit's scopes: the I/O APIC as ff:00.0, root ports with what is below them, and the endpoints of bus 0. */
static void the_labs_own_table(void **state)
{
	struct pci_addr below = fn("01:00.0"), chipset = fn("00:1f.0"), none = fn("00:1b.0");
	struct err e = { 0 };
	struct dmar d;

	assert_int_equal(dmar_parse(lab_dmar, sizeof(lab_dmar), &d, &e), 0);
	assert_string_equal(d.oem_id, "BOCHS");
	assert_string_equal(d.oem_table_id, "BXPC");
	assert_int_equal(d.flags, DMAR_INTR_REMAP);
	assert_int_equal(d.address_bits, 48);
	assert_int_equal(d.entry_count, 1);
	assert_int_equal(d.scope_count, 10);
	assert_int_equal(d.unknown_count, 0);
	assert_int_equal(d.entries[0].type, DMAR_DRHD);
	assert_int_equal(d.entries[0].flags, 0);
	assert_int_equal(d.entries[0].base, 0xFED90000);
	assert_int_equal(d.scopes[0].type, DMAR_SCOPE_IOAPIC);
	assert_int_equal(d.scopes[0].start_bus, 0xFF);
	assert_ptr_equal(dmar_unit_of(&d, &lab_pci, &below), &d.entries[0]);
	assert_ptr_equal(dmar_unit_of(&d, &lab_pci, &chipset), &d.entries[0]);
	assert_null(dmar_unit_of(&d, &lab_pci, &none));
	dmar_fini(&d);
	dmar_fini(&d);
}

static void header_words(void **state)
{
	struct table t;
	struct dmar d;

	table_start(&t, 45, DMAR_INTR_REMAP | DMAR_X2APIC_OPT_OUT | DMAR_DMA_CTRL_PLATFORM_OPT_IN);
	t.bytes[10] = 7; /* no letter */
	t.bytes[23] = 0;
	parsed(&t, &d);
	assert_int_equal(d.address_bits, 46);
	assert_int_equal(d.flags, 7);
	assert_string_equal(d.oem_id, "?IADCT");
	assert_string_equal(d.oem_table_id, "HANDMAD");
	assert_int_equal(d.entry_count, 0);
	assert_null(dmar_unit_of(&d, &pci, &(struct pci_addr){ 0 }));
	dmar_fini(&d);
}

/* Named by an endpoint, by a bridge above it, through two bridges, or by nobody: then INCLUDE_PCI_ALL, wherever it
 * stands in the table. */
static void which_unit_is_in_charge(void **state)
{
	const struct {
		const char *fn;
		uint64_t base; /* 0: none */
	} cases[] = {
		{ "0000:00:02.0", 0xFED91000 }, { "0000:02:00.1", 0xFED92000 },
		{ "0000:02:00.0", 0xFED90000 }, { "0000:03:1f.7", 0xFED90000 },
		{ "0001:41:10.0", 0xFED93000 }, { "0001:42:10.0", 0 },
		{ "0001:00:1c.0", 0xFED93000 }, { "0002:00:02.0", 0 },
	};
	struct table t;
	struct dmar d;

	table_start(&t, 38, 0);
	table_drhd(&t, DRHD_INCLUDE_PCI_ALL, 0, 0xFED90000);
	table_scope(&t, HEAD(DMAR_SCOPE_IOAPIC, 2, 0xF0), PATH(0x1F, 0), 1);
	table_drhd(&t, 0, 0, 0xFED91000);
	t.bytes[t.structure + 5] = 3;
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(2, 0), 1);
	table_drhd(&t, 0, 0, 0xFED92000);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(0x1C, 0, 0, 0, 0, 1), 3);
	table_drhd(&t, 0, 1, 0xFED93000);
	table_scope(&t, HEAD(DMAR_SCOPE_HIERARCHY, 0, 0), PATH(0x1C, 0), 1);
	parsed(&t, &d);
	assert_int_equal(d.entries[1].size_bytes, 8 * 4096);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pci_addr a = fn(cases[i].fn);
		const struct dmar_entry *unit = dmar_unit_of(&d, &pci, &a);

		if ((unit == NULL ? 0 : unit->base) != cases[i].base)
			fail_msg("%s: unit 0x%llx", cases[i].fn,
				 unit == NULL ? 0ULL : (unsigned long long)unit->base);
	}
	dmar_fini(&d);
}

static void which_reserved_memory_names_a_function(void **state)
{
	struct dmar_found found;
	struct pci_addr igd = fn("00:02.0"), other = fn("00:03.0"), below = fn("01:00.0");
	struct table t;
	struct dmar d;

	table_start(&t, 38, 0);
	table_rmrr(&t, 0, 0x8B800000, 0x8FFFFFFF);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(2, 0), 1);
	table_rmrr(&t, 0, 0x7A000000, 0x7A000FFF);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(0x14, 0), 1);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(2, 0), 1);
	table_rmrr(&t, 0, 0x1000, 0xFFF);
	table_rmrr(&t, 0, 0x1000, 0x17FF);
	table_scope(&t, HEAD(DMAR_SCOPE_HIERARCHY, 0, 0), PATH(0x1C, 0), 1);
	parsed(&t, &d);
	assert_int_equal(dmar_entries_of(&d, DMAR_RMRR, &pci, &igd, &found), 2);
	assert_int_equal(found.first[0]->base, 0x8B800000);
	assert_int_equal(found.first[0]->limit, 0x8FFFFFFF);
	assert_int_equal(found.first[1]->base, 0x7A000000);
	assert_int_equal(dmar_entries_of(&d, DMAR_RMRR, &pci, &other, &found), 0);
	assert_int_equal(dmar_entries_of(&d, DMAR_RMRR, &pci, &below, &found), 1);
	assert_null(d.entries[0].odd);
	assert_string_equal(d.entries[2].odd, "limit below base");
	assert_string_equal(d.entries[3].odd, "not whole pages");
	dmar_fini(&d);
}

/* Root ports with ATS, nodes, ACPI devices, integrated devices: what each type says. */
static void every_other_structure(void **state)
{
	struct dmar_found found;
	struct pci_addr vf = fn("01:10.0"), acc = fn("00:0a.0");
	struct table t;
	struct dmar d;
	uint8_t *p;

	table_start(&t, 51, 0);
	table_flags(&t, 2, 0, 0);
	table_scope(&t, HEAD(DMAR_SCOPE_HIERARCHY, 0, 0), PATH(0x1C, 0), 1);
	table_flags(&t, 2, ATSR_ALL_PORTS, 1);
	p = table_structure(&t, 3, 20);
	put_le64(p + 8, 0xFED90000);
	put_le32(p + 16, 0x01020304);
	p = table_structure(&t, 4, 8 + 14);
	p[7] = 9;
	memcpy(p + 8, "\\_SB.PCI0.I2C0", 13);
	table_flags(&t, 5, SATC_ATC_REQUIRED, 0);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(0x0A, 0), 1);
	table_flags(&t, 6, 0, 0);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(0x0A, 0), 1);
	t.bytes[t.len - 8 + 2] = 0x15;
	table_drhd(&t, 0, 0, 0x123);
	table_scope(&t, HEAD(DMAR_SCOPE_NAMESPACE, 9, 0), PATH(0x15, 0), 1);
	table_scope(&t, HEAD(DMAR_SCOPE_HPET, 0, 0xF0), PATH(0xF, 0), 1);
	parsed(&t, &d);
	assert_int_equal(d.entry_count, 7);
	assert_int_equal(dmar_entries_of(&d, DMAR_ATSR, &pci, &vf, &found), 1);
	assert_int_equal(d.entries[1].flags, ATSR_ALL_PORTS);
	assert_int_equal(d.entries[1].segment, 1);
	assert_int_equal(d.entries[2].base, 0xFED90000);
	assert_int_equal(d.entries[2].proximity, 0x01020304);
	assert_int_equal(d.entries[3].acpi_device, 9);
	assert_string_equal(d.entries[3].name, "\\_SB.PCI0.I2C");
	assert_int_equal(dmar_entries_of(&d, DMAR_SATC, &pci, &acc, &found), 1);
	assert_int_equal(found.first[0]->flags, SATC_ATC_REQUIRED);
	assert_int_equal(dmar_entries_of(&d, DMAR_SIDP, &pci, &acc, &found), 1);
	assert_int_equal(d.scopes[found.first[0]->scope_first].flags, 0x15);
	assert_string_equal(d.entries[6].odd, "no address of a register set");
	assert_int_equal(d.scopes[d.entries[6].scope_first].enumeration_id, 9);
	dmar_fini(&d);
}

static void names_of_types(void **state)
{
	const char *const names[] = { "DRHD", "RMRR", "ATSR", "RHSA", "ANDD", "SATC", "SIDP", "?" };
	const char *const scopes[] = { "?",	   "endpoint", "sub-hierarchy",
				       "I/O APIC", "HPET",     "ACPI device",
				       "?" };

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(dmar_type_name(i), names[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(scopes); i++)
		assert_string_equal(dmar_scope_type_name(i), scopes[i]);
}

/* Unknown structures and scopes are passed over by their length; what follows counts. */
static void unknown_types_are_skipped(void **state)
{
	struct pci_addr a = fn("00:02.0");
	struct table t;
	struct dmar d;

	table_start(&t, 38, 0);
	memset(table_structure(&t, 7, 5) + 4, 0xFF, 1);
	memset(table_structure(&t, 0xFFFF, 300) + 4, 0xFF, 296);
	table_structure(&t, 1000, 4);
	table_drhd(&t, 0, 0, 0xFED91000);
	table_scope(&t, HEAD(99, 0, 0), PATH(0xFF, 0xFF), 1);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(2, 0), 1);
	parsed(&t, &d);
	assert_int_equal(d.unknown_count, 3);
	assert_int_equal(d.entry_count, 1);
	assert_int_equal(d.scope_count, 2);
	assert_int_equal(d.scopes[0].hops, 0);
	assert_ptr_equal(dmar_unit_of(&d, &pci, &a), &d.entries[0]);
	dmar_fini(&d);
}

/* Bridges that point back, bridges that are not there, no path at all: such a scope names nothing. */
static void scopes_that_lead_nowhere(void **state)
{
	struct pci_addr at, a = fn("00:1d.0");
	struct table t;
	struct dmar d;
	const int wants[] = { -ELOOP, -ENOENT, -EINVAL };

	table_start(&t, 38, 0);
	table_drhd(&t, 0, 0, 0xFED91000);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(0x1D, 0, 0x1D, 0, 0x1D, 0), 3);
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), PATH(0x1E, 0, 2, 0), 2);
	table_scope(&t, HEAD(200, 0, 0), PATH(0x1D, 0), 1);
	/* A bridge whose buses are its own: it names itself and nothing below. */
	table_scope(&t, HEAD(DMAR_SCOPE_HIERARCHY, 0, 0), PATH(0x1D, 0), 1);
	parsed(&t, &d);
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++)
		assert_int_equal(dmar_scope_resolve(&d.entries[0], &d.scopes[i], &pci, &at),
				 wants[i]);
	assert_true(dmar_entry_names(&d, &d.entries[0], &pci, &a));
	a = fn("00:02.0");
	assert_null(dmar_unit_of(&d, &pci, &a));
	dmar_fini(&d);
}

/* A path of 124 hops, as long as a scope can be, ends. */
static void the_longest_path(void **state)
{
	uint8_t path[2 * 124] = { 0 };
	struct pci_addr at;
	struct table t;
	struct dmar d;

	table_start(&t, 38, 0);
	table_drhd(&t, 0, 0, 0xFED91000);
	for (size_t i = 0; i < sizeof(path); i += 2)
		path[i] = 0x1C;
	table_scope(&t, HEAD(DMAR_SCOPE_ENDPOINT, 0, 0), path, 124);
	parsed(&t, &d);
	assert_int_equal(d.scopes[0].hops, 124);
	assert_int_equal(dmar_scope_resolve(&d.entries[0], &d.scopes[0], &pci, &at), -ENOENT);
	dmar_fini(&d);
}

static void malformed_headers(void **state)
{
	struct table t, good;

	table_start(&good, 38, 0);
	table_drhd(&good, 1, 0, 0xFED90000);
	table_end(&good);
	t = good;
	t.bytes[0] = 'X';
	refused(&t, "offset 0x0");
	t = good;
	t.bytes[20]++;
	refused(&t, "checksum");
	t = good;
	put_le32(t.bytes + 4, (uint32_t)t.len + 1);
	refused(&t, "offset 0x4");
	put_le32(t.bytes + 4, 47);
	refused(&t, "offset 0x4");
	/* Truncated anywhere: never read past the end. */
	for (size_t n = 0; n < good.len; n++) {
		uint8_t *exact = malloc(n + (n == 0));
		struct dmar d;

		assert_non_null(exact);
		memcpy(exact, good.bytes, n);
		assert_int_equal(dmar_parse(exact, n, &d, NULL), -EBADMSG);
		free(exact);
	}
}

static void malformed_structures(void **state)
{
	static const struct {
		uint16_t type, len; /* as told */
		uint16_t bytes; /* there are */
		const char *where;
	} cases[] = {
		{ 0, 0, 16, "offset 0x30" },  { 0, 3, 16, "offset 0x30" },
		{ 0, 17, 16, "offset 0x30" }, { 99, 0, 16, "offset 0x30" },
		{ 0, 15, 15, "offset 0x30" }, { 1, 23, 23, "offset 0x30" },
		{ 2, 7, 7, "offset 0x30" },   { 3, 19, 19, "offset 0x30" },
		{ 4, 8, 8, "offset 0x30" },   { 5, 4, 4, "offset 0x30" },
		{ 6, 7, 7, "offset 0x30" },   { 4, 9, 10, "offset 0x39" },
		{ 0, 16, 19, "offset 0x40" }, { 0, 19, 19, "offset 0x40" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct table t;

		table_start(&t, 38, 0);
		table_structure(&t, cases[i].type, cases[i].bytes);
		put_le16(t.bytes + 48 + 2, cases[i].len);
		table_end(&t);
		refused(&t, cases[i].where);
	}
}

static void malformed_names_and_scopes(void **state)
{
	static const struct {
		uint8_t type, len, dev, fn;
		const char *where;
	} cases[] = {
		{ 1, 0, 0, 0, "offset 0x40" },	{ 1, 5, 0, 0, "offset 0x40" },
		{ 1, 6, 0, 0, "offset 0x40" },	{ 1, 7, 0, 0, "offset 0x40" },
		{ 1, 9, 0, 0, "offset 0x40" },	{ 99, 200, 0, 0, "offset 0x40" },
		{ 3, 8, 32, 0, "offset 0x46" }, { 2, 8, 0, 8, "offset 0x46" },
	};
	struct table t;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		table_start(&t, 38, 0);
		table_drhd(&t, 0, 0, 0xFED90000);
		table_scope(&t, HEAD(cases[i].type, 0, 0), PATH(cases[i].dev, cases[i].fn), 1);
		t.bytes[t.structure + 16 + 1] = cases[i].len;
		table_end(&t);
		refused(&t, cases[i].where);
	}
	table_start(&t, 38, 0);
	memset(table_structure(&t, 4, 12) + 8, 'A', 4);
	table_end(&t);
	refused(&t, "without end");
	table_start(&t, 38, 0);
	memcpy(table_structure(&t, 4, 12) + 8, "A\033B", 4);
	table_end(&t);
	refused(&t, "offset 0x39");
}

static void more_than_a_table_may_be(void **state)
{
	uint8_t *big = calloc(1, DMAR_BYTES_MAX + 1);
	struct err e;
	struct dmar d;

	assert_non_null(big);
	assert_int_equal(dmar_parse(big, DMAR_BYTES_MAX + 1, &d, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "64 KiB"));
	free(big);
}

static void from_the_hosts_file(void **state)
{
	char dir[] = "/tmp/viaduct-dmar-XXXXXX", line[128];
	int root, fd;
	struct table t;
	struct err e;
	struct dmar d;

	table_start(&t, 38, 0);
	table_drhd(&t, 1, 0, 0xFED90000);
	table_end(&t);
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(dmar_read(root, &d, &e), -ENOENT);
	snprintf(line, sizeof(line), "mkdir -p %s/sys/firmware/acpi/tables", dir);
	assert_int_equal(system(line), 0);
	fd = openat(root, "sys/firmware/acpi/tables/DMAR", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, t.bytes, t.len), t.len);
	close(fd);
	assert_int_equal(dmar_read(root, &d, &e), 0);
	assert_int_equal(d.entry_count, 1);
	dmar_fini(&d);
	close(root);
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_labs_own_table),
		cmocka_unit_test(header_words),
		cmocka_unit_test(which_unit_is_in_charge),
		cmocka_unit_test(which_reserved_memory_names_a_function),
		cmocka_unit_test(every_other_structure),
		cmocka_unit_test(names_of_types),
		cmocka_unit_test(unknown_types_are_skipped),
		cmocka_unit_test(scopes_that_lead_nowhere),
		cmocka_unit_test(the_longest_path),
		cmocka_unit_test(malformed_headers),
		cmocka_unit_test(malformed_structures),
		cmocka_unit_test(malformed_names_and_scopes),
		cmocka_unit_test(more_than_a_table_may_be),
		cmocka_unit_test(from_the_hosts_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
/* Reads the tables as an operating system does: by lengths, strings and checksums. */
#include "vmm/smbios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint8_t uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				  0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF };

struct found {
	const uint8_t *table[128], *last[128]; /* of each type */
	unsigned int count, of_type[128];
};

static const char *string_of(const uint8_t *table, uint8_t number)
{
	const char *s = (const char *)table + table[1];

	assert_int_not_equal(number, 0);
	while (--number > 0) {
		assert_int_not_equal(*s, '\0');
		s += strlen(s) + 1;
	}
	return s;
}

static void walk(const uint8_t *data, size_t len, struct found *out)
{
	const uint8_t *p = data, *end = data + len;

	memset(out, 0, sizeof(*out));
	while (p < end) {
		uint8_t type = p[0];

		assert_true(type < 128 && p[1] >= 4 && p + p[1] + 2 <= end);
		if (out->table[type] == NULL)
			out->table[type] = p;
		out->last[type] = p;
		out->count++;
		out->of_type[type]++;
		p += p[1];
		while (p[0] != 0 || p[1] != 0)
			p++;
		p += 2;
	}
	assert_ptr_equal(p, end);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len-- > 0)
		s = (uint8_t)(s + *p++);
	return s;
}

static void the_machine_is_named(void **state)
{
	const struct smbios_facts facts = {
		.name = "fw1", .uuid = uuid, .cpu_count = 4, .memory = GIB(2), .low_ram = GIB(2)
	};
	static const uint8_t as_stored[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
					       0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF };
	uint8_t anchor[SMBIOS_ANCHOR], tables[SMBIOS_TABLES];
	size_t len = smbios_make(&facts, anchor, tables);
	struct found f;

	walk(tables, len, &f);
	assert_memory_equal(anchor, "_SM_", 4);
	assert_int_equal(sum(anchor, sizeof(anchor)), 0);
	assert_int_equal(sum(anchor + 16, 15), 0);
	assert_int_equal(get_le16(anchor + 0x16), len);
	assert_int_equal(get_le16(anchor + 0x1C), f.count);
	assert_memory_equal(f.table[1] + 8, as_stored, 16);
	assert_string_equal(string_of(f.table[1], f.table[1][7]), "fw1");
	assert_string_equal(string_of(f.table[1], f.table[1][4]), "viaduct");
	assert_int_equal(f.table[4][35], 4);
	assert_int_equal(get_le16(f.table[17] + 12), 2048);
	assert_int_equal(get_le32(f.table[16] + 7), 2 << 20);
	assert_int_equal(f.of_type[19], 1);
	assert_int_equal(get_le32(f.table[19] + 8), (2 << 20) - 1);
	assert_int_equal(f.of_type[127], 1);
}

static void large_machines_fit(void **state)
{
	char name[64];
	const struct smbios_facts facts = { .name = name,
					    .uuid = uuid,
					    .cpu_count = 254,
					    .memory = GIB(1024),
					    .low_ram = GIB(2),
					    .high_start = GIB(1024) };
	uint8_t anchor[SMBIOS_ANCHOR], tables[SMBIOS_TABLES];
	struct found f;
	size_t len;

	memset(name, 'n', sizeof(name));
	name[63] = '\0';
	len = smbios_make(&facts, anchor, tables);
	assert_true(len <= sizeof(tables));
	walk(tables, len, &f);
	assert_string_equal(string_of(f.table[1], f.table[1][7]), name);
	assert_int_equal(get_le16(f.table[17] + 12), 0x7FFF);
	assert_int_equal(get_le32(f.table[17] + 28), 1 << 20);
	assert_int_equal(get_le32(f.table[16] + 7), 1 << 30);
	assert_int_equal(f.table[4][35], 254);
	assert_int_equal(get_le16(f.table[4] + 42), 254);
	assert_int_equal(f.of_type[19], 2);
	assert_int_equal(get_le32(f.table[19] + 8), (2 << 20) - 1);
	assert_int_equal(get_le32(f.last[19] + 4), GIB(1024) >> 10);
	assert_int_equal(get_le32(f.last[19] + 8), (GIB(2046) >> 10) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_machine_is_named),
		cmocka_unit_test(large_machines_fit),
	};

	return cmocka_run_group_tests_name("vmm-smbios", tests, NULL, NULL);
}

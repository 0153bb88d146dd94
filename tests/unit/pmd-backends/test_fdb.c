// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/fdb.h"

#include "../../fake/switch_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>

static const uint8_t *mac_of(uint32_t n)
{
	static uint8_t mac[6];

	mac[0] = 2;
	memcpy(mac + 2, &n, sizeof(n));
	return mac;
}

static struct fdb *fdb_new(void)
{
	struct fdb *fdb;

	wire_eal_start();
	assert_int_equal(fdb_create(&fdb), 0);
	return fdb;
}

static void learned_where_last_seen(void **state)
{
	struct fdb *fdb = fdb_new();

	assert_int_equal(fdb_find(fdb, mac_of(1), 0), FDB_NOBODY);
	fdb_learn(fdb, mac_of(1), 0, 5, 10);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), 5);
	assert_int_equal(fdb_find(fdb, mac_of(1), 7), FDB_NOBODY);
	fdb_learn(fdb, mac_of(1), 0, 6, 11);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), 6);
	assert_int_equal(fdb_facts(fdb)->moves, 1);
	assert_int_equal(fdb_facts(fdb)->learned, 1);
	fdb_flush(fdb, 6);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), FDB_NOBODY);
	assert_int_equal(fdb_facts(fdb)->learned, 0);
	fdb_destroy(fdb);
}

static void forgotten_after_300_s(void **state)
{
	struct fdb *fdb = fdb_new();

	fdb_learn(fdb, mac_of(1), 0, 5, 100);
	fdb_learn(fdb, mac_of(2), 0, 5, 100);
	assert_int_equal(fdb_fix(fdb, mac_of(3), 0, 5), 0);
	fdb_learn(fdb, mac_of(2), 0, 5, 250);
	for (int i = 0; i < FDB_AGE_SLICES; i++)
		fdb_age(fdb, 399);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), 5);
	for (int i = 0; i < FDB_AGE_SLICES; i++)
		fdb_age(fdb, 400);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), FDB_NOBODY);
	assert_int_equal(fdb_find(fdb, mac_of(2), 0), 5);
	for (int i = 0; i < FDB_AGE_SLICES; i++)
		fdb_age(fdb, 100000);
	assert_int_equal(fdb_find(fdb, mac_of(2), 0), FDB_NOBODY);
	assert_int_equal(fdb_find(fdb, mac_of(3), 0), 5);
	fdb_destroy(fdb);
}

static void fixed_cannot_be_taken_over(void **state)
{
	struct fdb *fdb = fdb_new();

	fdb_learn(fdb, mac_of(1), 0, 9, 1);
	assert_int_equal(fdb_fix(fdb, mac_of(1), 0, 5), 0);
	assert_int_equal(fdb_fix(fdb, mac_of(1), 0, 5), 0);
	assert_int_equal(fdb_fix(fdb, mac_of(1), 0, 6), -EEXIST);
	assert_int_equal(fdb_fix(fdb, mac_of(1), 8, 6), 0);
	fdb_learn(fdb, mac_of(1), 0, 9, 2);
	fdb_learn(fdb, mac_of(1), 0, FDB_WIRE, 2);
	fdb_flush(fdb, 5);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), 5);
	fdb_unfix(fdb, mac_of(1), 0, 6);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), 5);
	fdb_unfix(fdb, mac_of(1), 0, 5);
	assert_int_equal(fdb_find(fdb, mac_of(1), 0), FDB_NOBODY);
	assert_int_equal(fdb_facts(fdb)->fixed, 1);
	fdb_destroy(fdb);
}

/* A guest that makes up addresses fills its own share, and never the place of the others' or of policies. */
static void one_port_cannot_fill_the_table(void **state)
{
	struct fdb *fdb = fdb_new();
	struct fdb_entry seen;
	uint32_t cursor = 0, listed = 0;
	const struct fdb_entry *entry;

	for (uint32_t i = 0; i < 3 * FDB_SIZE; i++)
		fdb_learn(fdb, mac_of(i), 0, 1, 1);
	assert_int_equal(fdb_facts(fdb)->learned, FDB_MAX_OF_PORT);
	assert_int_equal(fdb_facts(fdb)->full, 3 * FDB_SIZE - FDB_MAX_OF_PORT);
	fdb_learn(fdb, mac_of(BIT(30)), 0, 2, 1);
	assert_int_equal(fdb_find(fdb, mac_of(BIT(30)), 0), 2);
	for (uint32_t port = 2; port < FDB_WIRE; port++)
		for (uint32_t i = 0; i < FDB_MAX_OF_PORT; i++)
			fdb_learn(fdb, mac_of(port << 20 | i), 0, (uint16_t)port, 1);
	assert_int_equal(fdb_facts(fdb)->learned, FDB_MAX_LEARNED);
	for (uint32_t i = 0; i < FDB_MAX_FIXED; i++)
		assert_int_equal(fdb_fix(fdb, mac_of(BIT(31) | i), 0, 3), 0);
	assert_int_equal(fdb_fix(fdb, mac_of(BIT(31) | 9999), 0, 3), -ENOSPC);
	while ((entry = fdb_next(fdb, &cursor)) != NULL) {
		seen = *entry;
		assert_int_equal(fdb_find(fdb, seen.mac, seen.vlan), seen.owner);
		listed++;
	}
	assert_int_equal(listed, FDB_SIZE);
	fdb_destroy(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learned_where_last_seen),
		cmocka_unit_test(forgotten_after_300_s),
		cmocka_unit_test(fixed_cannot_be_taken_over),
		cmocka_unit_test(one_port_cannot_fill_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

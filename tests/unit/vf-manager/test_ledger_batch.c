// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

static char dir[64];
static struct ledger *l;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/viaduct-batch-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(ledger_open(&l, dir, BOOT, NULL), 0);
	pthread_mutex_lock(&lock);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "db", "db-wal", "db-shm", "lock" };
	char path[96];

	pthread_mutex_unlock(&lock);
	ledger_close(l);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/state.%s", dir, files[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static struct vf_row row_of(uint16_t index, const char *lease)
{
	struct vf_row row = { .pf = { .bus = 1 },
			      .index = index,
			      .addr = { .bus = 1, .dev = 16 },
			      .state = VF_LEASED,
			      .generation = 1,
			      .boot_id = BOOT };

	snprintf(row.lease, sizeof(row.lease), "%s", lease);
	return row;
}

/* What another process would find after a crash now. */
static int on_disk(void)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	char path[96];
	int n;

	snprintf(path, sizeof(path), "%s/state.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM vfs WHERE state = 'leased'",
					    -1, &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static uint64_t join(uint16_t index, const char *lease)
{
	struct vf_row row = row_of(index, lease);
	uint64_t batch = 0;

	assert_int_equal(ledger_vf_join(l, &row, &batch, NULL), 0);
	return batch;
}

static int no_commit(void *arg)
{
	return 1; /* SQLite makes a rollback of it */
}

static void one_sync_for_all(void **state)
{
	uint64_t a = join(0, "a"), b = join(1, "b");

	assert_int_equal(a, b);
	assert_int_equal(ledger_vf_by_lease(l, "b")->index, 1);
	assert_int_equal(on_disk(), 0);
	assert_int_equal(ledger_sync(l, NULL), 0);
	assert_int_equal(on_disk(), 2);
	assert_int_equal(ledger_batch_wait(l, a, &lock, NULL), 0);
	assert_int_equal(ledger_batch_wait(l, b, &lock, NULL), 0);
	assert_true(join(2, "c") > b);
}

/* Nobody need come after the last one. */
static void who_waits_alone_is_not_kept_waiting(void **state)
{
	assert_int_equal(ledger_batch_wait(l, join(0, "a"), &lock, NULL), 0);
	assert_int_equal(on_disk(), 1);
}

static void other_writes_end_the_batch(void **state)
{
	const struct pf_row pf = { .pf = { .bus = 1 }, .vfs = 4, .boot_id = BOOT };
	uint64_t oldest, newest;

	join(0, "a");
	assert_int_equal(ledger_pf_put(l, &pf, NULL), 0);
	assert_int_equal(on_disk(), 1);
	/* Whoever was told of an event after a crash finds another one with its cursor, or none. */
	join(1, "b");
	assert_int_equal(ledger_event_range(l, &oldest, &newest, NULL), 0);
	assert_int_equal(on_disk(), 2);
}

static void what_cannot_be_written_was_never_leased(void **state)
{
	uint64_t kept = join(0, "a"), lost, later;
	struct vf_row again = row_of(0, "a2");
	struct err e = { 0 };

	assert_int_equal(ledger_sync(l, NULL), 0);
	again.generation = 2;
	assert_int_equal(ledger_vf_join(l, &again, &lost, NULL), 0);
	again.generation = 3;
	assert_int_equal(ledger_vf_join(l, &again, &lost, NULL), 0);
	assert_int_equal(join(1, "b"), lost);
	sqlite3_commit_hook(l->db, no_commit, NULL);
	assert_true(ledger_sync(l, &e) < 0);
	assert_string_equal(e.code, "state-write");
	sqlite3_commit_hook(l->db, NULL, NULL);
	assert_null(ledger_vf_by_lease(l, "b"));
	assert_null(ledger_vf_by_lease(l, "a2"));
	assert_int_equal(ledger_vf_by_lease(l, "a")->generation, 1);
	assert_null(ledger_vf_find(l, &again.pf, 1));
	later = join(1, "c");
	assert_int_equal(ledger_sync(l, NULL), 0);
	assert_int_equal(ledger_batch_wait(l, lost, &lock, &e), -EIO);
	assert_int_equal(ledger_batch_wait(l, later, &lock, NULL), 0);
	assert_int_equal(ledger_batch_wait(l, kept, &lock, NULL), 0);
	assert_int_equal(on_disk(), 2);
}

static void a_name_is_had_once_within_a_batch(void **state)
{
	struct vf_row twice = row_of(1, "a");
	uint64_t batch, other = 0;

	batch = join(0, "a");
	assert_true(ledger_vf_join(l, &twice, &other, NULL) < 0);
	assert_int_equal(ledger_sync(l, NULL), 0);
	assert_int_equal(ledger_batch_wait(l, batch, &lock, NULL), 0);
	assert_int_equal(ledger_vf_by_lease(l, "a")->index, 0);
	assert_int_equal(on_disk(), 1);
}

static void a_batch_has_an_end(void **state)
{
	uint64_t first = 0;

	for (uint16_t i = 0; i <= BATCH_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		first = i == 0 ? join(i, name) : first;
		assert_true(i == 0 || (join(i, name) == first) == (i < BATCH_MAX));
	}
	assert_int_equal(on_disk(), BATCH_MAX);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Its table had no room, or it could not be compiled. */
static void a_statement_that_never_was_is_put_away(void **state)
{
	auto_hot sqlite3_stmt *st = NULL;

	assert_null(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(one_sync_for_all),
		CASE(who_waits_alone_is_not_kept_waiting),
		CASE(other_writes_end_the_batch),
		CASE(what_cannot_be_written_was_never_leased),
		CASE(a_name_is_had_once_within_a_batch),
		CASE(a_batch_has_an_end),
		cmocka_unit_test_setup_teardown(a_statement_that_never_was_is_put_away, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

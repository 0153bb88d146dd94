// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <sqlite3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

static struct vf_row row_of(uint16_t index, enum vf_state state)
{
	struct vf_row row = { .pf = { .bus = 1 },
			      .index = index,
			      .addr = { .bus = 1, .dev = 16 },
			      .state = state,
			      .generation = 1,
			      .boot_id = BOOT };

	return row;
}

static void rows_are_found_again(void **state)
{
	char dir[] = "/tmp/viaduct-ledger-XXXXXX", path[64];
	struct vf_row row = row_of(3, VF_LEASED);
	struct pf_row pf = { .pf = { .bus = 1 }, .vfs = 7, .boot_id = BOOT };
	struct ledger *l = NULL, *second = NULL;
	struct err e = { 0 };

	assert_non_null(mkdtemp(dir));
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	snprintf(row.lease, sizeof(row.lease), "mine");
	assert_int_equal(ledger_vf_put(l, &row, &e), 0);
	assert_int_equal(ledger_pf_put(l, &pf, &e), 0);
	ledger_close(l);
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	assert_int_equal(ledger_vf_count(l), 1);
	assert_int_equal(ledger_vf_by_lease(l, "mine")->index, 3);
	assert_int_equal(ledger_vf_find(l, &row.pf, 3)->state, VF_LEASED);
	assert_null(ledger_vf_find(l, &row.pf, 4));
	assert_null(ledger_vf_by_lease(l, ""));
	assert_int_equal(ledger_pf_find(l, &pf.pf)->vfs, 7);
	/* A second daemon, with another run folder. */
	assert_int_equal(ledger_open(&second, dir, BOOT, &e), -EADDRINUSE);
	assert_string_equal(e.code, "state-in-use");
	ledger_close(l);
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/state.%s", dir,
			 (const char *[]){ "db", "db-wal", "db-shm", "lock" }[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void an_illegal_step_changes_nothing(void **state)
{
	struct vf_row row = row_of(0, VF_ASSIGNED);
	struct ledger *l = NULL;
	struct err e = { 0 };

	assert_int_equal(ledger_open(&l, NULL, BOOT, &e), 0);
	assert_int_equal(ledger_vf_put(l, &row, &e), -EBUSY);
	assert_int_equal(ledger_vf_count(l), 0);
	row.state = VF_LEASED;
	assert_int_equal(ledger_vf_put(l, &row, &e), 0);
	row.state = VF_FREE;
	assert_int_equal(ledger_vf_put(l, &row, &e), -EBUSY);
	assert_int_equal(ledger_vf_find(l, &row.pf, 0)->state, VF_LEASED);
	ledger_close(l);
}

static void a_lease_name_is_had_once(void **state)
{
	struct vf_row a = row_of(0, VF_LEASED), b = row_of(1, VF_LEASED);
	struct ledger *l = NULL;
	struct err e = { 0 };

	snprintf(a.lease, sizeof(a.lease), "same");
	snprintf(b.lease, sizeof(b.lease), "same");
	assert_int_equal(ledger_open(&l, NULL, BOOT, &e), 0);
	assert_int_equal(ledger_vf_put(l, &a, &e), 0);
	assert_int_equal(ledger_vf_put(l, &b, &e), -EIO);
	assert_int_equal(ledger_vf_count(l), 1);
	assert_int_equal(ledger_vf_by_lease(l, "same")->index, 0);
	/* The same row again is no second one. */
	assert_int_equal(ledger_vf_put(l, &a, &e), 0);
	ledger_close(l);
}

static void many_rows_stay_in_order(void **state)
{
	struct ledger *l = NULL;
	struct err e = { 0 };

	assert_int_equal(ledger_open(&l, NULL, BOOT, &e), 0);
	for (unsigned int i = 0; i < 200; i++) {
		struct vf_row row = row_of((uint16_t)(i * 37 % 200), VF_LEASED);

		assert_int_equal(ledger_vf_put(l, &row, &e), 0);
	}
	assert_int_equal(ledger_vf_count(l), 200);
	for (uint16_t i = 0; i < 200; i++)
		assert_int_equal(ledger_vf_at(l, i)->index, i);
	ledger_close(l);
}

static void count_vm(void *arg, struct vm_row *row)
{
	assert_string_equal(row->name, "fw1");
	assert_int_equal(json_integer_value(json_object_get(row->facts, "vcpus")), 2);
	assert_string_equal(row->yaml, "name: fw1\n");
	++*(int *)arg;
}

static void vms_come_back_whole(void **state)
{
	char yaml[] = "name: fw1\n";
	struct vm_row row = { .name = "fw1", .state = "running", .pid = 7, .yaml = yaml };
	struct ledger *l = NULL;
	struct err e = { 0 };
	int count = 0;

	row.facts = json_pack("{s:i}", "vcpus", 2);
	assert_int_equal(ledger_open(&l, NULL, BOOT, &e), 0);
	assert_int_equal(ledger_vm_put(l, &row, &e), 0);
	assert_int_equal(ledger_vm_put(l, &row, &e), 0);
	assert_int_equal(ledger_vm_each(l, count_vm, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(ledger_vm_del(l, "fw1", &e), 0);
	assert_int_equal(ledger_vm_each(l, count_vm, &count, &e), 0);
	assert_int_equal(count, 1);
	json_decref(row.facts);
	ledger_close(l);
}

static void a_newer_schema_is_refused(void **state)
{
	char dir[] = "/tmp/viaduct-ledger-XXXXXX", path[64];
	struct ledger *l = NULL;
	struct err e = { 0 };
	sqlite3 *db = NULL;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), -EPROTO);
	assert_string_equal(e.code, "schema-newer");
	unlink(path);
	snprintf(path, sizeof(path), "%s/state.lock", dir);
	unlink(path);
	rmdir(dir);
}

/* What schema 2 wrote, byte for byte. */
static const char schema_2[] =
	"CREATE TABLE pfs(pf TEXT PRIMARY KEY, vfs INTEGER NOT NULL, boot_id TEXT NOT NULL);"
	"CREATE TABLE vfs(pf TEXT NOT NULL, idx INTEGER NOT NULL, address TEXT NOT NULL,"
	" state TEXT NOT NULL, lease TEXT NOT NULL, owner TEXT NOT NULL,"
	" generation INTEGER NOT NULL, boot_id TEXT NOT NULL, note TEXT NOT NULL,"
	" PRIMARY KEY(pf, idx));"
	"CREATE UNIQUE INDEX vfs_lease ON vfs(lease) WHERE lease <> '';"
	"CREATE TABLE vms(name TEXT PRIMARY KEY, state TEXT NOT NULL, uid INTEGER NOT NULL,"
	" pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL, boot_id TEXT NOT NULL,"
	" yaml TEXT NOT NULL, facts TEXT NOT NULL);"
	"CREATE TABLE functions(address TEXT PRIMARY KEY, state TEXT NOT NULL, owner TEXT NOT NULL,"
	" driver TEXT NOT NULL, override TEXT NOT NULL, device TEXT NOT NULL,"
	" namespaces INTEGER NOT NULL, boot_id TEXT NOT NULL, note TEXT NOT NULL);"
	"INSERT INTO pfs VALUES('0000:01:00.0', 4, '" BOOT "');"
	"INSERT INTO vfs VALUES('0000:01:00.0', 2, '0000:01:10.2', 'leased', 'mine', '', 9, '" BOOT
	"', '');"
	"PRAGMA user_version=2";

static void sql_run(const char *dir, const char *sql)
{
	char path[64];
	sqlite3 *db = NULL;

	snprintf(path, sizeof(path), "%s/state.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void dir_remove(const char *dir)
{
	static const char *const files[] = { "db", "db-wal", "db-shm", "lock" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/state.%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void an_older_schema_is_migrated(void **state)
{
	char dir[] = "/tmp/viaduct-ledger-XXXXXX";
	const struct pci_addr pf = { .bus = 1 };
	struct ledger *l = NULL;
	struct err e = { 0 };

	assert_non_null(mkdtemp(dir));
	sql_run(dir, schema_2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
		assert_int_equal(ledger_pf_find(l, &pf)->vfs, 4);
		assert_int_equal(ledger_vf_by_lease(l, "mine")->generation, 9);
		assert_int_equal(ledger_vf_by_lease(l, "mine")->attrs.mask, 0);
		assert_int_equal(ledger_vf_by_lease(l, "mine")->birth, 0);
		assert_int_equal(ledger_intent_count(l), 0);
		assert_int_equal(ledger_confirm_count(l), 0);
		assert_int_equal(ledger_parked_count(l), 0);
		assert_string_equal(ledger_pf_find(l, &pf)->identity, "");
		ledger_close(l);
	}
	dir_remove(dir);
}

static void vm_seen(void *arg, struct vm_row *row)
{
	assert_string_equal(row->name, "old");
	assert_string_equal(row->state, "running");
	++*(int *)arg;
}

/* The tables of 13 are all new: without them a ledger is as 12 left it. */
static void the_last_schema_is_migrated(void **state)
{
	char dir[] = "/tmp/viaduct-ledger-XXXXXX", boot_id[BOOT_ID_TEXT];
	struct def_row def = { .name = "new", .is_wanted = true, .yaml = (char *)"y" };
	struct ledger *l = NULL;
	struct err e = { 0 };
	bool is_held = true;
	int seen = 0;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	ledger_close(l);
	sql_run(dir, "DROP TABLE definitions; DROP TABLE history; DROP TABLE keeper;"
		     "INSERT INTO vms VALUES('old', 'running', 1, 2, 3, 'b', 'y', '{}');"
		     "PRAGMA user_version = 12;");
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	assert_int_equal(ledger_vm_each(l, vm_seen, &seen, &e), 0);
	assert_int_equal(seen, 1);
	assert_int_equal(ledger_keeper_get(l, boot_id, &is_held, &e), 0);
	assert_string_equal(boot_id, "");
	assert_false(is_held);
	def.facts = json_object();
	assert_int_equal(ledger_def_put(l, &def, &e), 0);
	json_decref(def.facts);
	ledger_close(l);
	dir_remove(dir);
}

static const struct vf_attrs some_attrs = { .mask = VF_ATTRS_ALL,
					    .trust = true,
					    .mac = { 2, 0, 0, 0, 0xab, 1 },
					    .vlan = 4094,
					    .qos = 7,
					    .vlan_proto = VF_VLAN_8021AD,
					    .min_mbps = 1,
					    .max_mbps = UINT32_MAX,
					    .link_state = VF_LINK_DOWN };

static void intents_and_attributes_come_back_whole(void **state)
{
	char dir[] = "/tmp/viaduct-ledger-XXXXXX";
	struct intent_row intent = { .kind = INTENT_VF_ATTRS,
				     .pf = { .bus = 1 },
				     .index = 3,
				     .generation = 1ULL << 40,
				     .before = some_attrs,
				     .uid = UINT32_MAX - 1,
				     .boot_id = BOOT };
	struct vf_row row = row_of(3, VF_LEASED);
	const struct intent_row *found;
	struct ledger *l = NULL;
	struct err e = { 0 };

	assert_non_null(mkdtemp(dir));
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	assert_int_equal(ledger_vf_put(l, &row, &e), 0);
	assert_int_equal(ledger_intent_put(l, &intent, &e), 0);
	ledger_close(l);
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	found = ledger_intent_find(l, INTENT_VF_ATTRS, &intent.pf, 3);
	assert_non_null(found);
	assert_int_equal(found->generation, 1ULL << 40);
	assert_int_equal(found->uid, UINT32_MAX - 1);
	assert_int_equal(vf_attrs_difference(VF_ATTRS_ALL, &found->before, &some_attrs), 0);
	assert_null(ledger_intent_find(l, INTENT_PF_VFS, &intent.pf, 0));
	/* An illegal step takes the intent's end with it: both or none. */
	row.state = VF_ASSIGNED;
	assert_int_equal(ledger_intent_confirm(l, &intent, &row, &e), -EBUSY);
	assert_int_equal(ledger_intent_count(l), 1);
	row.state = VF_LEASED;
	row.attrs = row.in_force = some_attrs;
	assert_int_equal(ledger_intent_confirm(l, &intent, &row, &e), 0);
	ledger_close(l);
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	assert_int_equal(ledger_intent_count(l), 0);
	assert_int_equal(ledger_vf_find(l, &row.pf, 3)->attrs.mask, VF_ATTRS_ALL);
	assert_int_equal(ledger_vf_find(l, &row.pf, 3)->in_force.mask, VF_ATTRS_ALL);
	assert_int_equal(vf_attrs_difference(VF_ATTRS_ALL, &ledger_vf_find(l, &row.pf, 3)->attrs,
					     &some_attrs),
			 0);
	ledger_close(l);
	dir_remove(dir);
}

static void damaged_rows_are_refused(void **state)
{
	static const char *const damages[] = {
		"UPDATE vfs SET attrs='x'",
		"UPDATE vfs SET attrs='ff 0 0 02:00:00:00:00:01 0 0 8100 0 0 0'",
		"UPDATE vfs SET attrs='3f 0 0 02:00:00:00:00:01 4095 0 8100 0 0 0'",
		"UPDATE vfs SET attrs='3f 0 0 02:00:00:00:00:01 0 0 8100 0 0 0 more'",
		"UPDATE vfs SET attrs=''; INSERT INTO intents VALUES('x','0000:01:00.0',0,0,0,'',0,'')",
	};
	char dir[] = "/tmp/viaduct-ledger-XXXXXX";
	struct vf_row row = row_of(0, VF_LEASED);
	struct ledger *l = NULL;
	struct err e = { 0 };

	assert_non_null(mkdtemp(dir));
	assert_int_equal(ledger_open(&l, dir, BOOT, &e), 0);
	assert_int_equal(ledger_vf_put(l, &row, &e), 0);
	ledger_close(l);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		sql_run(dir, damages[i]);
		assert_int_equal(ledger_open(&l, dir, BOOT, &e), -EBADMSG);
	}
	dir_remove(dir);
}

struct seen {
	unsigned int count;
	char last[256];
	uint64_t first_cursor, last_cursor;
};

static void event_see(void *arg, const struct event *ev)
{
	struct seen *seen = arg;

	if (seen->count++ == 0)
		seen->first_cursor = ev->cursor;
	assert_true(seen->count == 1 || ev->cursor == seen->last_cursor + 1);
	seen->last_cursor = ev->cursor;
	snprintf(seen->last, sizeof(seen->last), "%s %s %s>%s %s", ev->kind, ev->object, ev->from,
		 ev->to, ev->text);
}

static struct seen events_after(struct ledger *l, uint64_t since)
{
	struct seen seen = { 0 };
	const struct event_walk walk = {
		.since = since, .limit = LEDGER_EVENTS + 1, .fn = event_see, .arg = &seen
	};

	assert_int_equal(ledger_event_each(l, &walk, NULL), 0);
	return seen;
}

static void each_change_is_an_event_and_no_other_write_is(void **state)
{
	struct vf_row row = row_of(0, VF_LEASED);
	struct pf_row pf = { .pf = { .bus = 1 }, .vfs = 4, .boot_id = BOOT };
	struct fn_row fn = { .addr = { .bus = 3 }, .state = FN_TAKEN, .boot_id = BOOT };
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(&l, NULL, BOOT, NULL), 0);
	snprintf(row.owner, sizeof(row.owner), "fw1/wan");
	snprintf(fn.owner, sizeof(fn.owner), "fw1/disk");
	assert_int_equal(ledger_vf_put(l, &row, NULL), 0);
	assert_string_equal(events_after(l, 0).last, "vf 0000:01:10.0 free>leased fw1/wan");
	row.generation++;
	assert_int_equal(ledger_vf_put(l, &row, NULL), 0);
	assert_int_equal(events_after(l, 0).count, 1);
	row.state = VF_ASSIGNED;
	assert_int_equal(ledger_vf_put(l, &row, NULL), -EBUSY);
	assert_int_equal(events_after(l, 0).count, 1);
	row.state = VF_SCRUBBING;
	assert_int_equal(ledger_vf_put(l, &row, NULL), 0);
	row.state = VF_QUARANTINED;
	snprintf(row.note, sizeof(row.note), "no reset");
	assert_int_equal(ledger_vf_put(l, &row, NULL), 0);
	assert_string_equal(events_after(l, 2).last,
			    "vf 0000:01:10.0 scrubbing>quarantined no reset");
	assert_int_equal(ledger_pf_put(l, &pf, NULL), 0);
	assert_int_equal(ledger_pf_put(l, &pf, NULL), 0);
	assert_string_equal(events_after(l, 3).last, "pf 0000:01:00.0 0>4 VFs");
	assert_int_equal(ledger_fn_put(l, &fn, NULL), 0);
	assert_int_equal(ledger_fn_put(l, &fn, NULL), 0);
	assert_string_equal(events_after(l, 4).last, "function 0000:03:00.0 host>taken fw1/disk");
	assert_int_equal(ledger_fn_del(l, &fn.addr, NULL), 0);
	assert_string_equal(events_after(l, 5).last, "function 0000:03:00.0 taken>host ");
	assert_int_equal(events_after(l, 0).count, 6);
	ledger_close(l);
}

static void vm_write(struct ledger *l, const char *to, json_t *facts)
{
	char yaml[] = "";
	struct vm_row row = { .name = "fw1", .yaml = yaml, .facts = facts };

	snprintf(row.state, sizeof(row.state), "%s", to);
	assert_int_equal(ledger_vm_put(l, &row, NULL), 0);
	json_decref(facts);
}

static void the_end_of_a_vm_has_its_reason(void **state)
{
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(&l, NULL, BOOT, NULL), 0);
	vm_write(l, "running", json_object());
	assert_string_equal(events_after(l, 0).last, "vm fw1 >running ");
	vm_write(l, "failed",
		 json_pack("{s:{s:s, s:s}}", "exit", "reason", "signal", "text", "it's \"so\""));
	assert_string_equal(events_after(l, 1).last, "vm fw1 running>failed signal: it's \"so\"");
	vm_write(l, "unknown", json_pack("{s:n}", "exit"));
	assert_string_equal(events_after(l, 2).last, "vm fw1 failed>unknown ");
	assert_int_equal(ledger_vm_del(l, "fw1", NULL), 0);
	assert_string_equal(events_after(l, 3).last, "vm fw1 unknown> forgotten");
	ledger_close(l);
}

static void the_ring_forgets_the_oldest_and_says_so(void **state)
{
	uint64_t oldest, newest;
	struct ledger *l = NULL;
	struct err e = { 0 };
	struct seen seen;

	assert_int_equal(ledger_open(&l, NULL, BOOT, NULL), 0);
	assert_int_equal(ledger_event_check(l, 0, &e), 0);
	assert_int_equal(ledger_event_check(l, 1, &e), -ERANGE);
	for (int i = 0; i < LEDGER_EVENTS + 10; i++)
		assert_int_equal(ledger_event_add(l, "daemon", "viaductd", "x", NULL), 0);
	assert_int_equal(ledger_event_range(l, &oldest, &newest, NULL), 0);
	assert_int_equal(newest, LEDGER_EVENTS + 10);
	assert_int_equal(oldest, 11);
	seen = events_after(l, 0);
	assert_int_equal(seen.count, LEDGER_EVENTS);
	assert_int_equal(ledger_event_check(l, 10, &e), 0);
	assert_int_equal(ledger_event_check(l, 9, &e), -ESTALE);
	assert_string_equal(e.code, "cursor-lost");
	assert_int_equal(ledger_event_check(l, newest, &e), 0);
	assert_int_equal(ledger_event_check(l, newest + 1, &e), -ERANGE);
	assert_string_equal(e.code, "cursor-ahead");
	ledger_close(l);
}

static void alarm_see(void *arg, const struct alarm *a)
{
	struct alarm *out = arg;

	*out = *a;
}

static void change_count(void *arg, const struct alarm *a, bool is_raised)
{
	int *counts = arg;

	counts[is_raised]++;
}

static void alarms_are_raised_and_cleared_once(void **state)
{
	struct alarm want[] = { { .kind = "a", .object = "x", .severity = "major", .text = "one" },
				{ .kind = "a", .object = "y", .severity = "major", .text = "two" } };
	int counts[2] = { 0 };
	const struct alarm_changes told = { .fn = change_count, .arg = counts };
	struct alarm seen = { 0 };
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(&l, NULL, BOOT, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ledger_alarms_sync(l, want, 2, &told, NULL), 0);
	assert_int_equal(counts[true], 2);
	assert_string_equal(events_after(l, 1).last, "alarm y >a major: two");
	assert_int_equal(events_after(l, 0).count, 2);
	/* Other words for the same alarm are no new one. */
	snprintf(want[1].text, sizeof(want[1].text), "three");
	assert_int_equal(ledger_alarms_sync(l, &want[1], 1, &told, NULL), 0);
	assert_int_equal(ledger_alarm_each(l, alarm_see, &seen, NULL), 0);
	assert_string_equal(seen.object, "y");
	assert_string_equal(seen.text, "three");
	assert_int_equal(seen.cursor, 2);
	assert_true(seen.raised_at > 1700000000);
	assert_string_equal(events_after(l, 2).last, "alarm x a> cleared");
	assert_int_equal(ledger_alarms_sync(l, NULL, 0, &told, NULL), 0);
	assert_int_equal(counts[true], 2);
	assert_int_equal(counts[false], 2);
	assert_int_equal(events_after(l, 0).count, 4);
	ledger_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_found_again),
		cmocka_unit_test(an_illegal_step_changes_nothing),
		cmocka_unit_test(a_lease_name_is_had_once),
		cmocka_unit_test(many_rows_stay_in_order),
		cmocka_unit_test(vms_come_back_whole),
		cmocka_unit_test(a_newer_schema_is_refused),
		cmocka_unit_test(an_older_schema_is_migrated),
		cmocka_unit_test(the_last_schema_is_migrated),
		cmocka_unit_test(intents_and_attributes_come_back_whole),
		cmocka_unit_test(damaged_rows_are_refused),
		cmocka_unit_test(each_change_is_an_event_and_no_other_write_is),
		cmocka_unit_test(the_end_of_a_vm_has_its_reason),
		cmocka_unit_test(the_ring_forgets_the_oldest_and_says_so),
		cmocka_unit_test(alarms_are_raised_and_cleared_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

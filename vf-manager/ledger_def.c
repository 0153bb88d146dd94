// SPDX-License-Identifier: BSD-3-Clause
/* VMs that are defined, what became of them, and whether they start by themselves. */
#include "vf-manager/ledger_db.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The bound is the table's own, so no writer can forget it. */
const char ledger_def_schema[] =
	"CREATE TABLE definitions(name TEXT PRIMARY KEY, wanted INTEGER NOT NULL, yaml TEXT NOT NULL,"
	" facts TEXT NOT NULL);"
	"CREATE TABLE history(id INTEGER PRIMARY KEY AUTOINCREMENT, vm TEXT NOT NULL,"
	" at INTEGER NOT NULL, what TEXT NOT NULL, cause TEXT NOT NULL, text TEXT NOT NULL,"
	" who TEXT NOT NULL);"
	"CREATE INDEX history_vm ON history(vm, id);"
	"CREATE TRIGGER history_ring AFTER INSERT ON history BEGIN DELETE FROM history"
	" WHERE vm = NEW.vm AND id <= (SELECT id FROM history WHERE vm = NEW.vm ORDER BY id DESC"
	" LIMIT 1 OFFSET 64); END;"
	"CREATE TABLE keeper(id INTEGER PRIMARY KEY CHECK(id = 1), boot_id TEXT NOT NULL,"
	" held INTEGER NOT NULL);"
	"INSERT INTO keeper VALUES(1, '', 0);";
static_assert(HISTORY_KEPT == 64, "as the trigger has it, which is never changed");

static int run(struct ledger *l, sqlite3_stmt *st, struct err *e)
{
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_def_put(struct ledger *l, const struct def_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	auto_free char *facts = json_dumps(row->facts, JSON_COMPACT);
	int r;

	if (facts == NULL)
		return err_set(e, ENOMEM, "no memory for the ledger");
	r = db_prepare(l, "INSERT OR REPLACE INTO definitions VALUES(?,?,?,?)", &st, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, row->name);
	sqlite3_bind_int(st, 2, row->is_wanted);
	db_bind_text(st, 3, row->yaml);
	db_bind_text(st, 4, facts);
	return run(l, st, e);
}

static int by_name(struct ledger *l, const char *sql, const char *name, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, sql, &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, name);
	return run(l, st, e);
}

int ledger_def_del(struct ledger *l, const char *name, struct err *e)
{
	return by_name(l, "DELETE FROM definitions WHERE name = ?", name, e);
}

int ledger_def_each(struct ledger *l, ledger_def_fn *fn, void *arg, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l, "SELECT name, wanted, yaml, facts FROM definitions ORDER BY name",
			       &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct def_row row = { .is_wanted = sqlite3_column_int(st, 1) != 0 };

		snprintf(row.name, sizeof(row.name), "%s", db_text(st, 0));
		row.yaml = strdup(db_text(st, 2));
		row.facts = json_loads(db_text(st, 3), 0, NULL);
		if (row.facts == NULL)
			row.facts = json_object();
		fn(arg, &row);
		free(row.yaml);
		json_decref(row.facts);
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_history_add(struct ledger *l, const struct history_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(
		l, "INSERT INTO history(vm, at, what, cause, text, who) VALUES(?,?,?,?,?,?)", &st,
		e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, row->vm);
	sqlite3_bind_int64(st, 2, row->at);
	db_bind_text(st, 3, row->what);
	db_bind_text(st, 4, row->cause);
	db_bind_text(st, 5, row->text);
	db_bind_text(st, 6, row->who);
	return run(l, st, e);
}

int ledger_history_del(struct ledger *l, const char *vm, struct err *e)
{
	return by_name(l, "DELETE FROM history WHERE vm = ?", vm, e);
}

int ledger_history_each(struct ledger *l, const struct history_walk *walk, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT at, what, cause, text, who FROM history WHERE vm = ?"
			       " ORDER BY id DESC LIMIT ?",
			       &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, walk->vm);
	sqlite3_bind_int64(st, 2, walk->limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct history_row row = { .vm = walk->vm,
						 .at = sqlite3_column_int64(st, 0),
						 .what = db_text(st, 1),
						 .cause = db_text(st, 2),
						 .text = db_text(st, 3),
						 .who = db_text(st, 4) };

		walk->fn(walk->arg, &row);
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_keeper_put(struct ledger *l, const char *boot_id, bool is_held, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "UPDATE keeper SET boot_id = ?, held = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, boot_id);
	sqlite3_bind_int(st, 2, is_held);
	return run(l, st, e);
}

int ledger_keeper_get(struct ledger *l, char boot_id[BOOT_ID_TEXT], bool *is_held, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "SELECT boot_id, held FROM keeper", &st, e);

	if (r < 0)
		return r;
	if (sqlite3_step(st) != SQLITE_ROW)
		return err_set(e, EBADMSG, "the state does not say whether VMs start");
	snprintf(boot_id, BOOT_ID_TEXT, "%s", db_text(st, 0));
	*is_held = sqlite3_column_int(st, 1) != 0;
	return 0;
}

int ledger_begin(struct ledger *l, struct err *e)
{
	return db_exec(l, "BEGIN", e);
}

int ledger_commit(struct ledger *l, int r, struct err *e)
{
	if (r == 0)
		r = db_exec(l, "COMMIT", e);
	/* A full disk may have ended it by itself. */
	if (r < 0 && sqlite3_get_autocommit(l->db) == 0)
		(void)sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

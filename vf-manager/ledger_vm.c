// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_db.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

int ledger_vm_put(struct ledger *l, const struct vm_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	auto_free char *facts = json_dumps(row->facts, JSON_COMPACT);
	int r;

	if (facts == NULL)
		return err_set(e, ENOMEM, "no memory for the ledger");
	r = db_prepare(l, "INSERT OR REPLACE INTO vms VALUES(?,?,?,?,?,?,?,?)", &st, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, row->name);
	db_bind_text(st, 2, row->state);
	sqlite3_bind_int64(st, 3, row->uid);
	sqlite3_bind_int64(st, 4, row->pid);
	sqlite3_bind_int64(st, 5, (sqlite3_int64)row->start_ticks);
	db_bind_text(st, 6, row->boot_id);
	db_bind_text(st, 7, row->yaml != NULL ? row->yaml : "");
	db_bind_text(st, 8, facts);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_vm_del(struct ledger *l, const char *name, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "DELETE FROM vms WHERE name = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, name);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_vm_each(struct ledger *l, ledger_vm_fn *fn, void *arg, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT name, state, uid, pid, start_ticks, boot_id, yaml, facts"
			       " FROM vms ORDER BY name",
			       &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct vm_row row = { .uid = (uid_t)sqlite3_column_int64(st, 2),
				      .pid = (pid_t)sqlite3_column_int64(st, 3),
				      .start_ticks = (uint64_t)sqlite3_column_int64(st, 4) };

		snprintf(row.name, sizeof(row.name), "%s", db_text(st, 0));
		snprintf(row.state, sizeof(row.state), "%s", db_text(st, 1));
		snprintf(row.boot_id, sizeof(row.boot_id), "%s", db_text(st, 5));
		row.yaml = strdup(db_text(st, 6));
		row.facts = json_loads(db_text(st, 7), 0, NULL);
		if (row.facts == NULL)
			row.facts = json_object();
		fn(arg, &row);
		free(row.yaml);
		json_decref(row.facts);
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

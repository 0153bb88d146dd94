// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_db.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>

int ledger_backend_put(struct ledger *l, const char *name, const struct backend_row *row,
		       struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	auto_free char *wish = json_dumps(row->wish, JSON_COMPACT | JSON_SORT_KEYS);
	int r;

	if (wish == NULL)
		return err_set(e, ENOMEM, "no memory for the ledger");
	r = db_prepare(l, "INSERT OR REPLACE INTO backends VALUES(?,?,?,?,?,?)", &st, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, name);
	sqlite3_bind_int64(st, 2, row->uid);
	sqlite3_bind_int64(st, 3, row->pid);
	sqlite3_bind_int64(st, 4, (sqlite3_int64)row->start_ticks);
	db_bind_text(st, 5, row->boot_id);
	db_bind_text(st, 6, wish);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_backend_get(struct ledger *l, const char *name, struct backend_row *out, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT uid, pid, start_ticks, boot_id, wish FROM backends"
			       " WHERE name = ?",
			       &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, name);
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return -ENOENT;
	if (rc != SQLITE_ROW)
		return db_failed(l->db, e);
	*out = (struct backend_row){ .uid = (uid_t)sqlite3_column_int64(st, 0),
				     .pid = (pid_t)sqlite3_column_int64(st, 1),
				     .start_ticks = (uint64_t)sqlite3_column_int64(st, 2) };
	snprintf(out->boot_id, sizeof(out->boot_id), "%s", db_text(st, 3));
	out->wish = json_loads(db_text(st, 4), 0, NULL);
	if (out->wish == NULL)
		out->wish = json_object();
	return 0;
}

int ledger_backend_names(struct ledger *l, json_t **out, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l, "SELECT name FROM backends", &st, e);

	if (r < 0)
		return r;
	*out = json_array();
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		json_array_append_new(*out, json_string(db_text(st, 0)));
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_backend_del(struct ledger *l, const char *name, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "DELETE FROM backends WHERE name = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, name);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

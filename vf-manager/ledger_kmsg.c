// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_db.h"

#include <errno.h>

int ledger_kmsg_put(struct ledger *l, uint64_t seq, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "INSERT OR REPLACE INTO kernel_log VALUES(1, ?, ?)", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, l->boot_id);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)seq);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_kmsg_get(struct ledger *l, uint64_t *seq, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l, "SELECT seq FROM kernel_log WHERE boot_id = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, l->boot_id);
	rc = sqlite3_step(st);
	*seq = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

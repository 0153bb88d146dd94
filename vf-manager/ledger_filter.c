// SPDX-License-Identifier: BSD-3-Clause
/* Addresses that viaduct has put into filters of PFs, so that it takes out those and no others. Not kept in memory. */
#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdio.h>

static void key_bind(sqlite3_stmt *st, const struct filter_row *row)
{
	char mac[MAC_TEXT];

	sqlite3_bind_int64(st, 1, row->ifindex);
	db_bind_text(st, 2, mac_text(row->mac, mac));
}

int ledger_filter_put(struct ledger *l, const struct filter_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "INSERT OR REPLACE INTO filters VALUES(?,?,?,?)", &st, e);

	if (r < 0)
		return r;
	key_bind(st, row);
	db_bind_text(st, 3, row->dev);
	db_bind_text(st, 4, l->boot_id);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_filter_del(struct ledger *l, const struct filter_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "DELETE FROM filters WHERE ifindex = ? AND mac = ?", &st, e);

	if (r < 0)
		return r;
	key_bind(st, row);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

/* A boot empties every filter, whoever had filled it. */
static int old_boots_forget(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "DELETE FROM filters WHERE boot_id <> ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, l->boot_id);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_filter_each(struct ledger *l, ledger_filter_fn *fn, void *arg, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = old_boots_forget(l, e);

	if (r == 0)
		r = db_prepare(l, "SELECT ifindex, mac, dev FROM filters ORDER BY ifindex, mac",
			       &st, e);
	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct filter_row row = { .ifindex = (unsigned)sqlite3_column_int64(st, 0) };

		if (parse_mac(db_text(st, 1), row.mac) < 0)
			return err_set(e, EBADMSG, "the state holds a MAC that is damaged");
		snprintf(row.dev, sizeof(row.dev), "%s", db_text(st, 2));
		r = fn(arg, &row);
		if (r < 0)
			return err_set(e, r, "no memory");
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

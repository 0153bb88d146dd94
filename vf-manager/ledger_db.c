// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdlib.h>

size_t table_place(const struct table *t, const void *key, bool *is_there)
{
	size_t lo = 0, hi = t->count;

	*is_there = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = t->cmp((const char *)t->items + mid * t->item_bytes, key);

		if (c == 0) {
			*is_there = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void *table_find(const struct table *t, const void *key)
{
	bool is_there;
	size_t at = table_place(t, key, &is_there);

	return is_there ? (char *)t->items + at * t->item_bytes : NULL;
}

int table_reserve(struct table *t, struct err *e)
{
	size_t cap = t->cap * 2 + 16;
	void *items;

	if (t->count < t->cap)
		return 0;
	items = realloc(t->items, cap * t->item_bytes);
	if (items == NULL)
		return err_set(e, ENOMEM, "no memory for the ledger");
	t->items = items;
	t->cap = cap;
	return 0;
}

int table_put(struct table *t, const void *item, struct err *e)
{
	bool is_there;
	size_t at = table_place(t, item, &is_there);
	char *slot;
	int r = 0;

	if (!is_there)
		r = table_reserve(t, e);
	if (r < 0)
		return r;
	slot = (char *)t->items + at * t->item_bytes;
	if (!is_there) {
		memmove(slot + t->item_bytes, slot, (t->count - at) * t->item_bytes);
		t->count++;
	}
	memmove(slot, item, t->item_bytes);
	return 0;
}

void table_del(struct table *t, const void *key)
{
	bool is_there;
	size_t at = table_place(t, key, &is_there);
	char *slot = (char *)t->items + at * t->item_bytes;

	if (!is_there)
		return;
	t->count--;
	memmove(slot, slot + t->item_bytes, (t->count - at) * t->item_bytes);
}

int db_damaged(struct err *e)
{
	err_code(e, "state-damaged");
	return err_hint(e, "with viaductd stopped: viaduct state restore FILE   puts a backup in "
			   "its place");
}

int db_failed(sqlite3 *db, struct err *e)
{
	int code = sqlite3_errcode(db);

	if (code == SQLITE_BUSY)
		return db_locked(db, e);
	err_set(e, code == SQLITE_FULL ? ENOSPC : EIO, "the state database: %s",
		sqlite3_errmsg(db));
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return db_damaged(e);
	if (code == SQLITE_FULL)
		err_hint(e, "df -h %s   shows the disk; make room there, then the same again",
			 sqlite3_db_filename(db, "main"));
	return err_code(e, "state-write");
}

int db_exec(struct ledger *l, const char *sql, struct err *e)
{
	int r = batch_end(l, e);

	if (r < 0)
		return r;
	return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_failed(l->db, e);
}

static int writer_begin(struct ledger *l, sqlite3_stmt *st, struct err *e)
{
	return sqlite3_stmt_readonly(st) != 0 || l->batch.is_joining ? 0 : batch_end(l, e);
}

int db_prepare(struct ledger *l, const char *sql, sqlite3_stmt **st, struct err *e)
{
	if (sqlite3_prepare_v2(l->db, sql, -1, st, NULL) != SQLITE_OK)
		return db_failed(l->db, e);
	return writer_begin(l, *st, e);
}

static const char *const hot_sql[HOT_COUNT] = {
	/* Not INSERT OR REPLACE: that would silently delete another row that has the same lease name. */
	[HOT_VF_UPSERT] =
		"INSERT INTO vfs VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(pf, idx) DO UPDATE SET"
		" address=excluded.address, state=excluded.state, lease=excluded.lease,"
		" owner=excluded.owner, generation=excluded.generation, boot_id=excluded.boot_id,"
		" note=excluded.note, birth=excluded.birth, attrs=excluded.attrs,"
		" in_force=excluded.in_force",
	[HOT_SCRUB_GET] = "SELECT birth, at, clean, steps FROM scrubs WHERE pf = ? AND idx = ?",
};

int db_prepare_hot(struct ledger *l, enum db_hot which, sqlite3_stmt **st, struct err *e)
{
	sqlite3_stmt **kept = &l->hot[which];

	if (*kept == NULL && sqlite3_prepare_v3(l->db, hot_sql[which], -1,
						SQLITE_PREPARE_PERSISTENT, kept, NULL) != SQLITE_OK)
		return db_failed(l->db, e);
	*st = *kept;
	return writer_begin(l, *st, e);
}

void db_bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT);
}

const char *db_text(sqlite3_stmt *st, int column)
{
	const char *text = (const char *)sqlite3_column_text(st, column);

	return text != NULL ? text : "";
}

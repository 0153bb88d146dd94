// SPDX-License-Identifier: BSD-3-Clause
/* Changes of PFs that are on trial, in the ledger. */
#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdio.h>

static int row_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(&((const struct confirm_row *)a)->pf,
			    &((const struct confirm_row *)b)->pf);
}

void ledger_confirm_init(struct ledger *l)
{
	l->confirms = (struct table){ .item_bytes = sizeof(struct confirm_row), .cmp = row_cmp };
}

int ledger_confirms_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(
			l,
			"SELECT pf, former, vfs, uid, boot_id, deadline_ns, deadline_at, note"
			" FROM confirms",
			&st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct confirm_row row = { .former = (uint16_t)sqlite3_column_int(st, 1),
					   .vfs = (uint16_t)sqlite3_column_int(st, 2),
					   .uid = (uid_t)sqlite3_column_int64(st, 3),
					   .deadline_ns = (uint64_t)sqlite3_column_int64(st, 5),
					   .deadline_at = sqlite3_column_int64(st, 6) };

		if (parse_pci_addr(db_text(st, 0), &row.pf) < 0)
			return err_set(e, EBADMSG, "the state holds a trial that is damaged");
		snprintf(row.boot_id, sizeof(row.boot_id), "%s", db_text(st, 4));
		snprintf(row.note, sizeof(row.note), "%s", db_text(st, 7));
		r = table_put(&l->confirms, &row, e);
		if (r < 0)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

const struct confirm_row *ledger_confirm_find(const struct ledger *l, const struct pci_addr *pf)
{
	const struct confirm_row key = { .pf = *pf };

	return table_find(&l->confirms, &key);
}

size_t ledger_confirm_count(const struct ledger *l)
{
	return l->confirms.count;
}

const struct confirm_row *ledger_confirm_at(const struct ledger *l, size_t i)
{
	return (const struct confirm_row *)l->confirms.items + i;
}

int ledger_confirm_put(struct ledger *l, const struct confirm_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	char pf[PCI_ADDR_TEXT];
	int r = table_reserve(&l->confirms, e);

	if (r == 0)
		r = db_prepare(l, "INSERT OR REPLACE INTO confirms VALUES(?,?,?,?,?,?,?,?)", &st,
			       e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(&row->pf, pf));
	sqlite3_bind_int(st, 2, row->former);
	sqlite3_bind_int(st, 3, row->vfs);
	sqlite3_bind_int64(st, 4, row->uid);
	db_bind_text(st, 5, row->boot_id);
	sqlite3_bind_int64(st, 6, (sqlite3_int64)row->deadline_ns);
	sqlite3_bind_int64(st, 7, row->deadline_at);
	db_bind_text(st, 8, row->note);
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	return table_put(&l->confirms, row, e);
}

int ledger_confirm_del(struct ledger *l, const struct pci_addr *pf, struct err *e)
{
	const struct confirm_row key = { .pf = *pf };
	auto_stmt sqlite3_stmt *st = NULL;
	char text[PCI_ADDR_TEXT];
	int r = db_prepare(l, "DELETE FROM confirms WHERE pf = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(&key.pf, text));
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	table_del(&l->confirms, &key);
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
/* Leases that wait for a VF, in the ledger. */
#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdio.h>

static int row_cmp(const void *a, const void *b)
{
	return strcmp(((const struct parked_row *)a)->lease, ((const struct parked_row *)b)->lease);
}

void ledger_parked_init(struct ledger *l)
{
	l->parked = (struct table){ .item_bytes = sizeof(struct parked_row), .cmp = row_cmp };
}

int ledger_parked_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(
			l, "SELECT lease, identity, pf, idx, generation, attrs, why FROM parked",
			&st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct parked_row row = { .index = (uint16_t)sqlite3_column_int(st, 3),
					  .generation = (uint64_t)sqlite3_column_int64(st, 4) };

		if (parse_pci_addr(db_text(st, 2), &row.pf) < 0 ||
		    db_attrs_parse(db_text(st, 5), &row.attrs) < 0)
			return err_set(e, EBADMSG, "the state holds a lease that is damaged");
		snprintf(row.lease, sizeof(row.lease), "%s", db_text(st, 0));
		snprintf(row.identity, sizeof(row.identity), "%s", db_text(st, 1));
		snprintf(row.why, sizeof(row.why), "%s", db_text(st, 6));
		r = table_put(&l->parked, &row, e);
		if (r < 0)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

const struct parked_row *ledger_parked_find(const struct ledger *l, const char *lease)
{
	struct parked_row key = { 0 };

	snprintf(key.lease, sizeof(key.lease), "%s", lease);
	return table_find(&l->parked, &key);
}

size_t ledger_parked_count(const struct ledger *l)
{
	return l->parked.count;
}

const struct parked_row *ledger_parked_at(const struct ledger *l, size_t i)
{
	return (const struct parked_row *)l->parked.items + i;
}

/* In the database alone. */
static int parked_insert(struct ledger *l, const struct parked_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	char pf[PCI_ADDR_TEXT], attrs[DB_ATTRS_TEXT];
	int r = db_prepare(l, "INSERT OR REPLACE INTO parked VALUES(?,?,?,?,?,?,?)", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, row->lease);
	db_bind_text(st, 2, row->identity);
	db_bind_text(st, 3, pci_addr_text(&row->pf, pf));
	sqlite3_bind_int(st, 4, row->index);
	sqlite3_bind_int64(st, 5, (sqlite3_int64)row->generation);
	db_bind_text(st, 6, db_attrs_text(&row->attrs, attrs));
	db_bind_text(st, 7, row->why);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

static int parked_erase(struct ledger *l, const char *lease, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "DELETE FROM parked WHERE lease = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, lease);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_parked_put(struct ledger *l, const struct parked_row *row, struct err *e)
{
	int r = table_reserve(&l->parked, e);

	if (r == 0)
		r = parked_insert(l, row, e);
	return r == 0 ? table_put(&l->parked, row, e) : r;
}

int ledger_parked_del(struct ledger *l, const char *lease, struct err *e)
{
	struct parked_row key = { 0 };
	int r;

	snprintf(key.lease, sizeof(key.lease), "%s", lease);
	r = parked_erase(l, key.lease, e);
	if (r == 0)
		table_del(&l->parked, &key);
	return r;
}

static int insert_also(struct ledger *l, const void *arg, struct err *e)
{
	return parked_insert(l, arg, e);
}

static int erase_also(struct ledger *l, const void *arg, struct err *e)
{
	const struct parked_row *row = arg;

	return parked_erase(l, row->lease, e);
}

int ledger_park(struct ledger *l, const struct parked_row *parked, const struct vf_row *vf,
		struct err *e)
{
	const struct also also = { insert_also, parked };
	int r = table_reserve(&l->parked, e);

	if (r == 0)
		r = ledger_vf_force_also(l, vf, &also, e);
	return r == 0 ? table_put(&l->parked, parked, e) : r;
}

int ledger_unpark(struct ledger *l, const struct parked_row *parked, const struct vf_row *vf,
		  struct err *e)
{
	const struct parked_row key = *parked; /* may be the table's own */
	const struct also also = { erase_also, &key };
	int r = ledger_vf_force_also(l, vf, &also, e);

	if (r == 0)
		table_del(&l->parked, &key);
	return r;
}

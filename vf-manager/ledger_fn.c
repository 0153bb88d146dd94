// SPDX-License-Identifier: BSD-3-Clause
/* Whole functions in the ledger. */
#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdio.h>

static const char *const names[FN_STATES] = {
	[FN_HOST] = "host",
	[FN_TAKEN] = "taken",
	[FN_ASSIGNED] = "assigned",
	[FN_RETURNING] = "returning",
	[FN_QUARANTINED] = "quarantined",
};

static const bool may[FN_STATES][FN_STATES] = {
	[FN_HOST] = { [FN_TAKEN] = true },
	[FN_TAKEN] = { [FN_ASSIGNED] = true, [FN_RETURNING] = true },
	[FN_ASSIGNED] = { [FN_RETURNING] = true },
	[FN_RETURNING] = { [FN_QUARANTINED] = true },
	[FN_QUARANTINED] = { [FN_RETURNING] = true },
};

const char *fn_state_text(enum fn_state state)
{
	return (unsigned int)state < FN_STATES ? names[state] : "unknown";
}

static int state_parse(const char *text, enum fn_state *out)
{
	for (unsigned int i = FN_TAKEN; i < FN_STATES; i++) {
		if (strcmp(names[i], text) == 0) {
			*out = (enum fn_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int row_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(&((const struct fn_row *)a)->addr, &((const struct fn_row *)b)->addr);
}

void ledger_fn_init(struct ledger *l)
{
	l->fns = (struct table){ .item_bytes = sizeof(struct fn_row), .cmp = row_cmp };
}

static void text_load(char *out, size_t cap, sqlite3_stmt *st, int column)
{
	snprintf(out, cap, "%s", db_text(st, column));
}

int ledger_fns_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT address, state, owner, driver, override, device, namespaces,"
			       " boot_id, note FROM functions",
			       &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct fn_row row = { .namespaces = (unsigned int)sqlite3_column_int(st, 6) };

		if (parse_pci_addr(db_text(st, 0), &row.addr) < 0 ||
		    state_parse(db_text(st, 1), &row.state) < 0)
			return err_set(e, EBADMSG,
				       "the state holds a function's row that is damaged");
		text_load(row.owner, sizeof(row.owner), st, 2);
		text_load(row.was.driver, sizeof(row.was.driver), st, 3);
		text_load(row.was.override, sizeof(row.was.override), st, 4);
		text_load(row.dev_name, sizeof(row.dev_name), st, 5);
		text_load(row.boot_id, sizeof(row.boot_id), st, 7);
		text_load(row.note, sizeof(row.note), st, 8);
		r = table_put(&l->fns, &row, e);
		if (r < 0)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

const struct fn_row *ledger_fn_find(const struct ledger *l, const struct pci_addr *addr)
{
	const struct fn_row key = { .addr = *addr };

	return table_find(&l->fns, &key);
}

size_t ledger_fn_count(const struct ledger *l)
{
	return l->fns.count;
}

const struct fn_row *ledger_fn_at(const struct ledger *l, size_t i)
{
	return (const struct fn_row *)l->fns.items + i;
}

static int arc_check(const struct ledger *l, const struct fn_row *row, struct err *e)
{
	const struct fn_row *now = ledger_fn_find(l, &row->addr);
	enum fn_state from = now != NULL ? now->state : FN_HOST;

	if (from == row->state || may[from][row->state])
		return 0;
	err_set(e, EBUSY, "is %s and cannot become %s", fn_state_text(from),
		fn_state_text(row->state));
	return err_code(e, "function-state");
}

int ledger_fn_put(struct ledger *l, const struct fn_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	char addr[PCI_ADDR_TEXT];
	int r = arc_check(l, row, e);

	if (r == 0)
		r = table_reserve(&l->fns, e);
	if (r == 0)
		r = db_prepare(l, "INSERT OR REPLACE INTO functions VALUES(?,?,?,?,?,?,?,?,?)", &st,
			       e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(&row->addr, addr));
	db_bind_text(st, 2, fn_state_text(row->state));
	db_bind_text(st, 3, row->owner);
	db_bind_text(st, 4, row->was.driver);
	db_bind_text(st, 5, row->was.override);
	db_bind_text(st, 6, row->dev_name);
	sqlite3_bind_int(st, 7, (int)row->namespaces);
	db_bind_text(st, 8, row->boot_id);
	db_bind_text(st, 9, row->note);
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	return table_put(&l->fns, row, e);
}

int ledger_fn_del(struct ledger *l, const struct pci_addr *addr, struct err *e)
{
	const struct fn_row key = { .addr = *addr };
	auto_stmt sqlite3_stmt *st = NULL;
	char text[PCI_ADDR_TEXT];
	int r = db_prepare(l, "DELETE FROM functions WHERE address = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(addr, text));
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	table_del(&l->fns, &key);
	return 0;
}

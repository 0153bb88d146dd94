// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger_event.h"

#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_MS "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
#define ADD    "INSERT INTO events(at_ms, kind, object, was, state, text) VALUES(" NOW_MS ", "

/* INSERT OR REPLACE fires no trigger for the row that it replaces: the old one is read before. */
const char ledger_event_schema[] =
	"CREATE TABLE events(cursor INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,"
	" kind TEXT NOT NULL, object TEXT NOT NULL, was TEXT NOT NULL, state TEXT NOT NULL,"
	" text TEXT NOT NULL);"
	"CREATE TABLE alarms(kind TEXT NOT NULL, object TEXT NOT NULL, severity TEXT NOT NULL,"
	" text TEXT NOT NULL, hint TEXT NOT NULL, raised_at INTEGER NOT NULL,"
	" cursor INTEGER NOT NULL, PRIMARY KEY(kind, object));"
	"CREATE TRIGGER event_ring AFTER INSERT ON events BEGIN"
	" DELETE FROM events WHERE cursor <= NEW.cursor - 8192; END;"
	"CREATE TRIGGER event_vf_new AFTER INSERT ON vfs WHEN NEW.state <> 'free' BEGIN " ADD
	"'vf', NEW.address, 'free', NEW.state, CASE WHEN NEW.note <> '' THEN NEW.note"
	" WHEN NEW.owner <> '' THEN NEW.owner ELSE NEW.lease END); END;"
	"CREATE TRIGGER event_vf AFTER UPDATE ON vfs WHEN OLD.state <> NEW.state BEGIN " ADD
	"'vf', NEW.address, OLD.state, NEW.state, CASE WHEN NEW.note <> '' THEN NEW.note"
	" WHEN NEW.owner <> '' THEN NEW.owner ELSE NEW.lease END); END;"
	"CREATE TRIGGER event_pf BEFORE INSERT ON pfs WHEN NEW.vfs <>"
	" COALESCE((SELECT vfs FROM pfs WHERE pf = NEW.pf), 0) BEGIN " ADD
	"'pf', NEW.pf, COALESCE((SELECT vfs FROM pfs WHERE pf = NEW.pf), 0), NEW.vfs, 'VFs'); END;"
	"CREATE TRIGGER event_function BEFORE INSERT ON functions WHEN NEW.state <>"
	" COALESCE((SELECT state FROM functions WHERE address = NEW.address), 'host') BEGIN " ADD
	"'function', NEW.address,"
	" COALESCE((SELECT state FROM functions WHERE address = NEW.address), 'host'), NEW.state,"
	" CASE WHEN NEW.note <> '' THEN NEW.note ELSE NEW.owner END); END;"
	"CREATE TRIGGER event_function_back AFTER DELETE ON functions BEGIN " ADD
	"'function', OLD.address, OLD.state, 'host', ''); END;"
	"CREATE TRIGGER event_vm BEFORE INSERT ON vms WHEN NEW.state <>"
	" COALESCE((SELECT state FROM vms WHERE name = NEW.name), '') BEGIN " ADD
	"'vm', NEW.name, COALESCE((SELECT state FROM vms WHERE name = NEW.name), ''), NEW.state,"
	" CASE WHEN NEW.state IN ('stopped', 'failed', 'unknown') AND json_valid(NEW.facts) THEN"
	" COALESCE(json_extract(NEW.facts, '$.exit.reason') || ': ' ||"
	" json_extract(NEW.facts, '$.exit.text'), '') ELSE '' END); END;"
	"CREATE TRIGGER event_vm_gone AFTER DELETE ON vms BEGIN " ADD
	"'vm', OLD.name, OLD.state, '', 'forgotten'); END;"
	"CREATE TRIGGER event_alarm AFTER INSERT ON alarms BEGIN " ADD
	"'alarm', NEW.object, '', NEW.kind, NEW.severity || ': ' || NEW.text);"
	" UPDATE alarms SET cursor = (SELECT max(cursor) FROM events)"
	" WHERE kind = NEW.kind AND object = NEW.object; END;"
	"CREATE TRIGGER event_alarm_over AFTER DELETE ON alarms BEGIN " ADD
	"'alarm', OLD.object, OLD.kind, '', 'cleared'); END;";

int ledger_event_range(struct ledger *l, uint64_t *oldest, uint64_t *newest, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = batch_end(l, e);

	if (r == 0)
		r = db_prepare(
			l,
			"SELECT (SELECT min(cursor) FROM events), (SELECT max(cursor) FROM events)",
			&st, e);
	if (r < 0)
		return r;
	if (sqlite3_step(st) != SQLITE_ROW)
		return db_failed(l->db, e);
	*oldest = (uint64_t)sqlite3_column_int64(st, 0);
	*newest = (uint64_t)sqlite3_column_int64(st, 1);
	return 0;
}

int ledger_event_check(struct ledger *l, uint64_t since, struct err *e)
{
	uint64_t oldest, newest;
	int r = ledger_event_range(l, &oldest, &newest, e);

	if (r < 0)
		return r;
	if (since > newest) {
		err_set(e, ERANGE, "there is no event %llu yet: the newest is %llu",
			(unsigned long long)since, (unsigned long long)newest);
		err_code(e, "cursor-ahead");
		return err_hint(e, "viaduct events   shows all; is this another state folder than "
				   "the one that gave the cursor out?");
	}
	if (oldest == 0 || since + 1 >= oldest)
		return 0;
	err_set(e, ESTALE, "the events after %llu are no longer kept: the oldest is %llu",
		(unsigned long long)since, (unsigned long long)oldest);
	err_code(e, "cursor-lost");
	return err_hint(e, "viaduct events --since %llu   shows all there are",
			(unsigned long long)(oldest - 1));
}

int ledger_event_each(struct ledger *l, const struct event_walk *walk, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	/* A cursor that somebody has seen must never be given out again. */
	int rc, r = batch_end(l, e);

	if (r == 0)
		r = db_prepare(l,
			       "SELECT cursor, at_ms, kind, object, was, state, text FROM events"
			       " WHERE cursor > ? ORDER BY cursor LIMIT ?",
			       &st, e);

	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, (sqlite3_int64)walk->since);
	sqlite3_bind_int64(st, 2, walk->limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct event event = { .cursor = (uint64_t)sqlite3_column_int64(st, 0),
					     .at_ms = sqlite3_column_int64(st, 1),
					     .kind = db_text(st, 2),
					     .object = db_text(st, 3),
					     .from = db_text(st, 4),
					     .to = db_text(st, 5),
					     .text = db_text(st, 6) };

		walk->fn(walk->arg, &event);
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_event_add(struct ledger *l, const char *kind, const char *object, const char *text,
		     struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, ADD "?, ?, '', '', ?)", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, kind);
	db_bind_text(st, 2, object);
	db_bind_text(st, 3, text);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int alarm_cmp(const void *a, const void *b)
{
	const struct alarm *x = a, *y = b;
	int c = strcmp(x->kind, y->kind);

	return c != 0 ? c : strcmp(x->object, y->object);
}

static int rows_each(struct ledger *l, alarm_fn *fn, void *arg, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT kind, object, severity, text, hint, raised_at, cursor"
			       " FROM alarms ORDER BY kind, object",
			       &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct alarm a = { .raised_at = sqlite3_column_int64(st, 5),
				   .cursor = (uint64_t)sqlite3_column_int64(st, 6) };

		snprintf(a.kind, sizeof(a.kind), "%s", db_text(st, 0));
		snprintf(a.object, sizeof(a.object), "%s", db_text(st, 1));
		snprintf(a.severity, sizeof(a.severity), "%s", db_text(st, 2));
		snprintf(a.text, sizeof(a.text), "%s", db_text(st, 3));
		snprintf(a.hint, sizeof(a.hint), "%s", db_text(st, 4));
		fn(arg, &a);
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_alarm_each(struct ledger *l, alarm_fn *fn, void *arg, struct err *e)
{
	struct alarm locked;
	int r = rows_each(l, fn, arg, e);

	if (r == 0 && ledger_locked_alarm(l, &locked))
		fn(arg, &locked);
	return r;
}

/* One that is there already keeps its time and cursor, and tells of no event. */
static int alarm_put(struct ledger *l, const struct alarm *a, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l,
			   "INSERT INTO alarms VALUES(?, ?, ?, ?, ?, strftime('%s', 'now'), 0)"
			   " ON CONFLICT(kind, object) DO UPDATE SET severity = excluded.severity,"
			   " text = excluded.text, hint = excluded.hint",
			   &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, a->kind);
	db_bind_text(st, 2, a->object);
	db_bind_text(st, 3, a->severity);
	db_bind_text(st, 4, a->text);
	db_bind_text(st, 5, a->hint);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

static int alarm_del(struct ledger *l, const struct alarm *a, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "DELETE FROM alarms WHERE kind = ? AND object = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, a->kind);
	db_bind_text(st, 2, a->object);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

struct alarm_list {
	struct alarm *items;
	size_t count, cap;
	bool is_short; /* of memory */
};

static void list_add(void *arg, const struct alarm *a)
{
	struct alarm_list *list = arg;
	size_t cap = list->cap * 2 + 16;

	if (list->count == list->cap) {
		struct alarm *items = reallocarray(list->items, cap, sizeof(*items));

		list->is_short |= items == NULL;
		if (items == NULL)
			return;
		list->items = items;
		list->cap = cap;
	}
	list->items[list->count++] = *a;
}

static bool is_as_before(const struct alarm *a, const struct alarm *b)
{
	return strcmp(a->severity, b->severity) == 0 && strcmp(a->text, b->text) == 0 &&
	       strcmp(a->hint, b->hint) == 0;
}

/* Both lists are sorted: one walk. With `told` nothing is written, the changes are told. */
static int lists_merge(struct ledger *l, const struct alarm_list *have,
		       const struct alarm_list *want, const struct alarm_changes *told,
		       struct err *e)
{
	size_t h = 0, w = 0;
	int r = 0;

	while (r == 0 && (h < have->count || w < want->count)) {
		const struct alarm *old = h < have->count ? &have->items[h] : NULL;
		const struct alarm *new = w < want->count ? &want->items[w] : NULL;
		int c = old == NULL ? 1 : new == NULL ? -1 : alarm_cmp(old, new);

		if (c != 0 && told != NULL)
			told->fn(told->arg, c < 0 ? old : new, c > 0);
		else if (c < 0)
			r = alarm_del(l, old, e);
		else if (told == NULL && (c > 0 || !is_as_before(old, new)))
			r = alarm_put(l, new, e);
		h += c <= 0;
		w += c >= 0;
	}
	return r;
}

int ledger_alarms_sync(struct ledger *l, const struct alarm *want, size_t count,
		       const struct alarm_changes *told, struct err *e)
{
	const struct alarm_list wanted = { .items = (struct alarm *)want, .count = count };
	struct alarm_list have = { 0 };
	int r = rows_each(l, list_add, &have, e);

	if (r == 0 && have.is_short)
		r = err_set(e, ENOMEM, "no memory for the alarms");
	if (r == 0)
		r = db_exec(l, "BEGIN", e);
	if (r == 0) {
		r = lists_merge(l, &have, &wanted, NULL, e);
		if (r == 0)
			r = db_exec(l, "COMMIT", e);
		if (r < 0)
			db_exec(l, "ROLLBACK", NULL);
	}
	if (r == 0)
		lists_merge(l, &have, &wanted, told, e);
	free(have.items);
	return r;
}

int ledger_alarms_differ(struct ledger *l, const struct alarm *want, size_t count, struct err *e)
{
	struct alarm_list have = { 0 };
	int r = rows_each(l, list_add, &have, e);

	if (r == 0) {
		r = have.is_short || have.count != count;
		for (size_t i = 0; r == 0 && i < count; i++)
			r = alarm_cmp(&have.items[i], &want[i]) != 0 ||
			    !is_as_before(&have.items[i], &want[i]);
	}
	free(have.items);
	return r;
}

static void row_changed(void *arg, int op, const char *db, const char *table, sqlite3_int64 row)
{
	const struct ledger *l = arg;

	if (op == SQLITE_DELETE && strcmp(table, "events") == 0)
		return;
	l->watch(l->watch_arg, strcmp(table, "events") == 0 || strcmp(table, "alarms") == 0);
}

void ledger_watch(struct ledger *l, ledger_watch_fn *fn, void *arg)
{
	l->watch = fn;
	l->watch_arg = arg;
	sqlite3_update_hook(l->db, fn != NULL ? row_changed : NULL, l);
}

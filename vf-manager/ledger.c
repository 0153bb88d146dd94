// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ledger.h"

#include "vf-manager/ledger_db.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

/* One for each version. A later version adds its statements to the end; none is ever changed. */
static const char *const migrations[] = {
	"CREATE TABLE pfs(pf TEXT PRIMARY KEY, vfs INTEGER NOT NULL, boot_id TEXT NOT NULL);"
	"CREATE TABLE vfs(pf TEXT NOT NULL, idx INTEGER NOT NULL, address TEXT NOT NULL,"
	" state TEXT NOT NULL, lease TEXT NOT NULL, owner TEXT NOT NULL,"
	" generation INTEGER NOT NULL, boot_id TEXT NOT NULL, note TEXT NOT NULL,"
	" PRIMARY KEY(pf, idx));"
	"CREATE UNIQUE INDEX vfs_lease ON vfs(lease) WHERE lease <> '';"
	"CREATE TABLE vms(name TEXT PRIMARY KEY, state TEXT NOT NULL, uid INTEGER NOT NULL,"
	" pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL, boot_id TEXT NOT NULL,"
	" yaml TEXT NOT NULL, facts TEXT NOT NULL);",
	"CREATE TABLE functions(address TEXT PRIMARY KEY, state TEXT NOT NULL, owner TEXT NOT NULL,"
	" driver TEXT NOT NULL, override TEXT NOT NULL, device TEXT NOT NULL,"
	" namespaces INTEGER NOT NULL, boot_id TEXT NOT NULL, note TEXT NOT NULL);",
	"ALTER TABLE pfs ADD COLUMN birth INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE vfs ADD COLUMN birth INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE vfs ADD COLUMN attrs TEXT NOT NULL DEFAULT '';"
	"CREATE TABLE intents(kind TEXT NOT NULL, pf TEXT NOT NULL, idx INTEGER NOT NULL,"
	" vfs INTEGER NOT NULL, generation INTEGER NOT NULL, attrs TEXT NOT NULL,"
	" uid INTEGER NOT NULL, boot_id TEXT NOT NULL, PRIMARY KEY(kind, pf, idx));",
	ledger_event_schema,
	"CREATE TABLE confirms(pf TEXT PRIMARY KEY, former INTEGER NOT NULL, vfs INTEGER NOT NULL,"
	" uid INTEGER NOT NULL, boot_id TEXT NOT NULL, deadline_ns INTEGER NOT NULL,"
	" deadline_at INTEGER NOT NULL, note TEXT NOT NULL);",
	"CREATE TABLE scrubs(pf TEXT NOT NULL, idx INTEGER NOT NULL, birth INTEGER NOT NULL,"
	" at INTEGER NOT NULL, clean INTEGER NOT NULL, steps TEXT NOT NULL, PRIMARY KEY(pf, idx));",
	"ALTER TABLE pfs ADD COLUMN identity TEXT NOT NULL DEFAULT '';"
	"CREATE TABLE parked(lease TEXT PRIMARY KEY, identity TEXT NOT NULL, pf TEXT NOT NULL,"
	" idx INTEGER NOT NULL, generation INTEGER NOT NULL, attrs TEXT NOT NULL,"
	" why TEXT NOT NULL);",
	"ALTER TABLE vfs ADD COLUMN in_force TEXT NOT NULL DEFAULT '';",
	"CREATE TABLE host(id INTEGER PRIMARY KEY CHECK(id = 1), key BLOB NOT NULL);"
	"INSERT INTO host VALUES(1, randomblob(16));",
	"CREATE TABLE kernel_log(id INTEGER PRIMARY KEY CHECK(id = 1), boot_id TEXT NOT NULL,"
	" seq INTEGER NOT NULL);",
	"CREATE TABLE backends(name TEXT PRIMARY KEY, uid INTEGER NOT NULL, pid INTEGER NOT NULL,"
	" start_ticks INTEGER NOT NULL, boot_id TEXT NOT NULL, wish TEXT NOT NULL);",
	"CREATE TABLE filters(ifindex INTEGER NOT NULL, mac TEXT NOT NULL, dev TEXT NOT NULL,"
	" boot_id TEXT NOT NULL, PRIMARY KEY(ifindex, mac));",
	ledger_def_schema,
};
static_assert(ARRAY_SIZE(migrations) == LEDGER_SCHEMA, "one migration for each version");

static int schema_upgrade(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int version = 0, r = db_prepare(l, "PRAGMA user_version", &st, e);

	if (r < 0)
		return r;
	if (sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	if (version > LEDGER_SCHEMA) {
		err_set(e, EPROTO,
			"the state was written by a newer viaduct (schema %d, this is %d)", version,
			LEDGER_SCHEMA);
		err_code(e, "schema-newer");
		return err_hint(e, "install that version again, or move the state folder away");
	}
	for (; version < LEDGER_SCHEMA; version++) {
		char sql[8192];

		snprintf(sql, sizeof(sql), "BEGIN;%s PRAGMA user_version=%d;COMMIT;",
			 migrations[version], version + 1);
		r = db_exec(l, sql, e);
		if (r < 0) {
			db_exec(l, "ROLLBACK", NULL);
			return r;
		}
	}
	return 0;
}

static int lease_cmp(const void *a, const void *b)
{
	return strcmp(((const struct lease_key *)a)->lease, ((const struct lease_key *)b)->lease);
}

/* Before vfs_put(), which then cannot fail. */
static int vfs_reserve(struct ledger *l, struct err *e)
{
	int r = table_reserve(&l->vfs, e);

	return r < 0 ? r : table_reserve(&l->leases, e);
}

static int vfs_put(struct ledger *l, const struct vf_row *row, struct err *e)
{
	const struct vf_row *was = ledger_vf_find(l, &row->pf, row->index);
	struct lease_key key = { .pf = row->pf, .index = row->index };
	int r = vfs_reserve(l, e);

	if (r < 0)
		return r;
	if (was != NULL && was->lease[0] != '\0') {
		memcpy(key.lease, was->lease, sizeof(key.lease));
		table_del(&l->leases, &key);
	}
	memcpy(key.lease, row->lease, sizeof(key.lease));
	if (key.lease[0] != '\0')
		r = table_put(&l->leases, &key, e);
	return r < 0 ? r : table_put(&l->vfs, row, e);
}

void ledger_vf_back(struct ledger *l, const struct vf_row *row, bool is_there)
{
	struct vf_row none = { .pf = row->pf, .index = row->index };

	(void)vfs_put(l, is_there ? row : &none, NULL);
	if (!is_there)
		table_del(&l->vfs, &none);
}

static int vfs_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT pf, idx, address, state, lease, owner, generation, boot_id,"
			       " note, birth, attrs, in_force FROM vfs ORDER BY pf, idx",
			       &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct vf_row row = { .index = (uint16_t)sqlite3_column_int(st, 1) };

		if (parse_pci_addr(db_text(st, 0), &row.pf) < 0 ||
		    parse_pci_addr(db_text(st, 2), &row.addr) < 0 ||
		    vf_state_parse(db_text(st, 3), &row.state) < 0 ||
		    db_attrs_parse(db_text(st, 10), &row.attrs) < 0 ||
		    db_attrs_parse(db_text(st, 11), &row.in_force) < 0)
			return err_set(e, EBADMSG, "the state holds a VF row that is damaged");
		snprintf(row.lease, sizeof(row.lease), "%s", db_text(st, 4));
		snprintf(row.owner, sizeof(row.owner), "%s", db_text(st, 5));
		row.generation = (uint64_t)sqlite3_column_int64(st, 6);
		snprintf(row.boot_id, sizeof(row.boot_id), "%s", db_text(st, 7));
		snprintf(row.note, sizeof(row.note), "%s", db_text(st, 8));
		row.birth = (uint64_t)sqlite3_column_int64(st, 9);
		r = vfs_put(l, &row, e);
		if (r < 0)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

static int pfs_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l, "SELECT pf, vfs, boot_id, birth, identity FROM pfs", &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct pf_row row = { .vfs = (uint16_t)sqlite3_column_int(st, 1) };

		if (parse_pci_addr(db_text(st, 0), &row.pf) < 0)
			return err_set(e, EBADMSG, "the state holds a PF row that is damaged");
		snprintf(row.boot_id, sizeof(row.boot_id), "%s", db_text(st, 2));
		row.birth = (uint64_t)sqlite3_column_int64(st, 3);
		snprintf(row.identity, sizeof(row.identity), "%s", db_text(st, 4));
		r = table_put(&l->pfs, &row, e);
		if (r < 0)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

static int host_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int r = db_prepare(l, "SELECT key FROM host", &st, e);

	if (r < 0)
		return r;
	if (sqlite3_step(st) != SQLITE_ROW || sqlite3_column_bytes(st, 0) != HOST_KEY)
		return err_set(e, EBADMSG, "the state holds no key of this host");
	memcpy(l->host_key, sqlite3_column_blob(st, 0), HOST_KEY);
	return 0;
}

static int vf_row_cmp(const void *a, const void *b)
{
	const struct vf_row *x = a, *y = b;
	int c = pci_addr_cmp(&x->pf, &y->pf);

	return c != 0 ? c : (int)x->index - (int)y->index;
}

static int pf_row_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(&((const struct pf_row *)a)->pf, &((const struct pf_row *)b)->pf);
}

/* Two daemons on one state would each give away what the other has given. Ends with the process. */
int ledger_claim(const char *dir, int *fd_out, struct err *e)
{
	char path[4096];
	auto_fd int fd = -1;

	snprintf(path, sizeof(path), "%s/state.lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, errno, "open %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*fd_out = fd_take(&fd);
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return err_set(e, errno, "lock %s: %s", path, strerror(errno));
	err_set(e, EADDRINUSE, "another viaductd works on the state in %s", dir);
	err_code(e, "state-in-use");
	return err_hint(e, "viaduct version   says its pid");
}

int ledger_open(struct ledger **out, const char *dir, const char *boot_id, struct err *e)
{
	struct ledger *l = calloc(1, sizeof(*l));
	char path[4096];
	int r;

	if (l == NULL)
		return err_set(e, ENOMEM, "no memory");
	l->vfs = (struct table){ .item_bytes = sizeof(struct vf_row), .cmp = vf_row_cmp };
	l->leases = (struct table){ .item_bytes = sizeof(struct lease_key), .cmp = lease_cmp };
	l->pfs = (struct table){ .item_bytes = sizeof(struct pf_row), .cmp = pf_row_cmp };
	ledger_fn_init(l);
	ledger_intent_init(l);
	ledger_confirm_init(l);
	ledger_parked_init(l);
	batch_init(&l->batch);
	l->lock_fd = -1;
	snprintf(l->boot_id, sizeof(l->boot_id), "%s", boot_id);
	r = dir != NULL ? ledger_claim(dir, &l->lock_fd, e) : 0;
	if (r < 0)
		goto fail;
	snprintf(path, sizeof(path), "%s%s",
		 dir != NULL ? dir : ":memory:", dir != NULL ? "/state.db" : "");
	if (sqlite3_open_v2(path, &l->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
			    NULL) != SQLITE_OK) {
		r = err_set(e, EIO, "open %s: %s", path,
			    l->db != NULL ? sqlite3_errmsg(l->db) : "no memory");
		goto fail;
	}
	sqlite3_busy_timeout(l->db, 5000);
	/* FULL: a commit is on the disk before the change it announces is made. */
	r = db_exec(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", e);
	if (r == 0)
		r = schema_upgrade(l, e);
	if (r == 0)
		r = host_load(l, e);
	if (r == 0)
		r = vfs_load(l, e);
	if (r == 0)
		r = pfs_load(l, e);
	if (r == 0)
		r = ledger_fns_load(l, e);
	if (r == 0)
		r = ledger_intents_load(l, e);
	if (r == 0)
		r = ledger_confirms_load(l, e);
	if (r == 0)
		r = ledger_parked_load(l, e);
	if (r < 0) {
		err_wrap(e, "%s", path);
		if (r == -EBADMSG)
			db_damaged(e);
		goto fail;
	}
	ledger_lock_init(l);
	ledger_room_keep(l);
	*out = l;
	return 0;
fail:
	ledger_close(l);
	return r;
}

void ledger_close(struct ledger *l)
{
	if (l == NULL)
		return;
	if (l->db != NULL)
		(void)batch_end(l, NULL);
	batch_fini(&l->batch);
	for (size_t i = 0; i < HOT_COUNT; i++)
		sqlite3_finalize(l->hot[i]);
	if (l->db != NULL)
		ledger_room_leave(l);
	sqlite3_close(l->db);
	fd_close(&l->lock_fd);
	free(l->leases.items);
	free(l->vfs.items);
	free(l->pfs.items);
	free(l->fns.items);
	free(l->intents.items);
	free(l->confirms.items);
	free(l->parked.items);
	free(l);
}

const uint8_t *ledger_host_key(const struct ledger *l)
{
	return l->host_key;
}

const struct vf_row *ledger_vf_find(const struct ledger *l, const struct pci_addr *pf,
				    uint16_t index)
{
	const struct vf_row key = { .pf = *pf, .index = index };

	return table_find(&l->vfs, &key);
}

const struct vf_row *ledger_vf_by_lease(const struct ledger *l, const char *lease)
{
	const struct lease_key *found;
	struct lease_key key;

	if (lease[0] == '\0' || strlen(lease) >= sizeof(key.lease))
		return NULL;
	snprintf(key.lease, sizeof(key.lease), "%s", lease);
	found = table_find(&l->leases, &key);
	return found != NULL ? ledger_vf_find(l, &found->pf, found->index) : NULL;
}

size_t ledger_vf_count(const struct ledger *l)
{
	return l->vfs.count;
}

const struct vf_row *ledger_vf_at(const struct ledger *l, size_t i)
{
	return (const struct vf_row *)l->vfs.items + i;
}

size_t ledger_vf_place(const struct ledger *l, const struct pci_addr *pf, uint16_t index)
{
	const struct vf_row key = { .pf = *pf, .index = index };
	bool is_there;

	return table_place(&l->vfs, &key, &is_there);
}

const struct pf_row *ledger_pf_find(const struct ledger *l, const struct pci_addr *pf)
{
	const struct pf_row key = { .pf = *pf };

	return table_find(&l->pfs, &key);
}

int ledger_vf_put(struct ledger *l, const struct vf_row *row, struct err *e)
{
	const struct vf_row *now = ledger_vf_find(l, &row->pf, row->index);
	enum vf_state from = now != NULL ? now->state : VF_FREE;
	int r = from == row->state ? 0 : vf_state_check(from, row->state, e);

	return r < 0 ? r : ledger_vf_force(l, row, e);
}

int ledger_vf_force(struct ledger *l, const struct vf_row *row, struct err *e)
{
	auto_hot sqlite3_stmt *st = NULL;
	char pf[PCI_ADDR_TEXT], addr[PCI_ADDR_TEXT], attrs[DB_ATTRS_TEXT], in_force[DB_ATTRS_TEXT];
	int r = vfs_reserve(l, e);

	if (r == 0)
		r = db_prepare_hot(l, HOT_VF_UPSERT, &st, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(&row->pf, pf));
	sqlite3_bind_int(st, 2, row->index);
	db_bind_text(st, 3, pci_addr_text(&row->addr, addr));
	db_bind_text(st, 4, vf_state_text(row->state));
	db_bind_text(st, 5, row->lease);
	db_bind_text(st, 6, row->owner);
	sqlite3_bind_int64(st, 7, (sqlite3_int64)row->generation);
	db_bind_text(st, 8, row->boot_id);
	db_bind_text(st, 9, row->note);
	sqlite3_bind_int64(st, 10, (sqlite3_int64)row->birth);
	db_bind_text(st, 11, db_attrs_text(&row->attrs, attrs));
	db_bind_text(st, 12, db_attrs_text(&row->in_force, in_force));
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	return vfs_put(l, row, e);
}

int ledger_vf_force_also(struct ledger *l, const struct vf_row *row, const struct also *also,
			 struct err *e)
{
	const struct vf_row *now = ledger_vf_find(l, &row->pf, row->index);
	const struct vf_row was = now != NULL ? *now : *row;
	const bool is_there = now != NULL;
	int r = db_exec(l, "BEGIN", e);

	if (r < 0)
		return r;
	r = also->write(l, also->arg, e);
	if (r == 0)
		r = ledger_vf_force(l, row, e);
	if (r == 0)
		r = db_exec(l, "COMMIT", e);
	if (r == 0)
		return 0;
	(void)db_exec(l, "ROLLBACK", NULL);
	ledger_vf_back(l, &was, is_there);
	return r;
}

int ledger_pf_put(struct ledger *l, const struct pf_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	char pf[PCI_ADDR_TEXT];
	int r = table_reserve(&l->pfs, e);

	if (r == 0)
		r = db_prepare(l, "INSERT OR REPLACE INTO pfs VALUES(?,?,?,?,?)", &st, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(&row->pf, pf));
	sqlite3_bind_int(st, 2, row->vfs);
	db_bind_text(st, 3, row->boot_id);
	sqlite3_bind_int64(st, 4, (sqlite3_int64)row->birth);
	db_bind_text(st, 5, row->identity);
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	return table_put(&l->pfs, row, e);
}

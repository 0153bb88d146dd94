// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/statefile.h"

#include "vf-manager/ledger.h"

#include "base/fd.h"

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 5000

static void db_put(sqlite3 **db)
{
	sqlite3_close(*db);
}
#define auto_db __attribute__((cleanup(db_put)))

static int sql_failed(sqlite3 *db, const char *path, struct err *e)
{
	int code = db != NULL ? sqlite3_errcode(db) : SQLITE_NOMEM;

	return err_set(e,
		       code == SQLITE_FULL				 ? ENOSPC
		       : code == SQLITE_CANTOPEN			 ? ENOENT
		       : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? EBADMSG
									 : EIO,
		       "%s: %s", path, db != NULL ? sqlite3_errmsg(db) : "no memory");
}

static int db_open(const char *path, int flags, sqlite3 **out, struct err *e)
{
	if (sqlite3_open_v2(path, out, flags, NULL) != SQLITE_OK)
		return sql_failed(*out, path, e);
	sqlite3_busy_timeout(*out, BUSY_MS);
	return 0;
}

static int number_of(sqlite3 *db, const char *path, const char *sql, int *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW)
		r = sql_failed(db, path, e);
	else
		*out = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return r;
}

static int damaged(const char *path, struct err *e)
{
	err_set(e, EBADMSG, "%s is not a whole ledger of viaduct", path);
	err_code(e, "state-damaged");
	return err_hint(e, "take another backup");
}

/* A ledger, whole, and of a version that we can read. */
static int ledger_check(sqlite3 *db, const char *path, int *schema, struct err *e)
{
	int is_whole = 0, tables = 0;

	if (number_of(db, path, "SELECT integrity_check = 'ok' FROM pragma_integrity_check LIMIT 1",
		      &is_whole, NULL) < 0 ||
	    number_of(db, path,
		      "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
		      " AND name IN ('pfs', 'vfs', 'vms')",
		      &tables, NULL) < 0 ||
	    number_of(db, path, "PRAGMA user_version", schema, NULL) < 0 || !is_whole ||
	    tables != 3 || *schema < 1)
		return damaged(path, e);
	if (*schema <= LEDGER_SCHEMA)
		return 0;
	err_set(e, EPROTO, "%s was written by a newer viaduct (schema %d, this is %d)", path,
		*schema, LEDGER_SCHEMA);
	err_code(e, "schema-newer");
	return err_hint(e, "install that version of viaduct first");
}

static int path_sync(const char *path, int flags, struct err *e)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

	return fd < 0 || fsync(fd) < 0 ? err_set(e, errno, "%s: %s", path, strerror(errno)) : 0;
}

/*
 * In one file, without a log beside it, and on the disk. `to` must not be there. `name` is the file that the operator knows,
 * of which `to` becomes a part: an error names that one.
 */
static int copy(sqlite3 *from, const char *to, const char *name, struct err *e)
{
	auto_fd int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	auto_db sqlite3 *db = NULL;
	sqlite3_backup *b;
	int r;

	if (fd < 0)
		return err_set(e, errno, "make %s: %s", errno == EEXIST ? to : name,
			       strerror(errno));
	r = db_open(to, SQLITE_OPEN_READWRITE, &db, e);
	if (r < 0)
		return r;
	b = sqlite3_backup_init(db, "main", from, "main");
	if (b == NULL || sqlite3_backup_step(b, -1) != SQLITE_DONE) {
		sqlite3_backup_finish(b);
		return sql_failed(db, name, e);
	}
	if (sqlite3_backup_finish(b) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK)
		return sql_failed(db, name, e);
	return fsync(fd) < 0 ? err_set(e, errno, "%s: %s", name, strerror(errno)) : 0;
}

static int folder_sync(const char *file, struct err *e)
{
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s", file);
	return path_sync(dirname(text), O_DIRECTORY, e);
}

static int path_make(char out[PATH_MAX], const char *a, const char *b, struct err *e)
{
	return snprintf(out, PATH_MAX, "%s%s", a, b) < PATH_MAX
		       ? 0
		       : err_set(e, ENAMETOOLONG, "%.64s...: the path is too long", a);
}

static int size_of(const char *file, struct state_file *out, struct err *e)
{
	struct stat st;

	if (stat(file, &st) < 0)
		return err_set(e, errno, "%s: %s", file, strerror(errno));
	out->bytes = (uint64_t)st.st_size;
	return 0;
}

int state_backup(const char *dir, const char *file, struct state_file *out, struct err *e)
{
	char path[PATH_MAX], part[PATH_MAX];
	auto_db sqlite3 *db = NULL;
	int log_stays = 1;
	int r = path_make(path, dir, "/state.db", e);

	if (r == 0)
		r = path_make(part, file, ".partial", e);
	if (r == 0)
		r = db_open(path, SQLITE_OPEN_READWRITE, &db, e);
	/* It is the room that the ledger has on a full disk (ledger_room.c). */
	if (r == 0)
		sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &log_stays);
	if (r == 0)
		r = ledger_check(db, path, &out->schema, e);
	if (r < 0)
		return r;
	r = copy(db, part, file, e);
	if (r < 0) {
		if (r != -EEXIST)
			unlink(part);
		return r;
	}
	/* Not rename(): that would overwrite. */
	if (link(part, file) < 0)
		r = err_set(e, errno, "make %s: %s", file, strerror(errno));
	unlink(part);
	if (r == 0)
		r = folder_sync(file, e);
	return r < 0 ? r : size_of(file, out, e);
}

static int former_copy(const char *path, const char *aside, struct err *e)
{
	auto_db sqlite3 *db = NULL;
	int r = db_open(path, SQLITE_OPEN_READWRITE, &db, e);

	return r < 0 ? r : copy(db, aside, aside, e);
}

/* The ledger and its log under another name, byte for byte. */
static int former_link(const char *path, const char *aside, struct err *e)
{
	static const char *const suffixes[] = { "", "-wal" };
	char from[PATH_MAX], to[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(from, sizeof(from), "%.4080s%s", path, suffixes[i]);
		snprintf(to, sizeof(to), "%.4080s%s", aside, suffixes[i]);
		unlink(to);
		if (link(from, to) < 0 && errno != ENOENT)
			return err_set(e, errno, "make %s: %s", to, strerror(errno));
	}
	return 0;
}

/* What is there now goes aside, in one file; none: there is nothing to keep. One that is damaged is why somebody restores. */
static int keep_former(const char *path, const char *aside, struct err *e)
{
	int r;

	if (access(path, F_OK) < 0)
		return 0;
	if (unlink(aside) < 0 && errno != ENOENT)
		return err_set(e, errno, "%s: %s", aside, strerror(errno));
	r = former_copy(path, aside, e);
	return r == -EBADMSG ? former_link(path, aside, e) : r;
}

static int swap_in(const char *path, const char *next, struct err *e)
{
	char log[PATH_MAX];

	/* The log belongs to the ledger that goes, and is in what was kept of it. */
	for (size_t i = 0; i < 2; i++) {
		snprintf(log, sizeof(log), "%.4080s%s", path, i == 0 ? "-wal" : "-shm");
		if (unlink(log) < 0 && errno != ENOENT)
			return err_set(e, errno, "%s: %s", log, strerror(errno));
	}
	if (rename(next, path) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	return folder_sync(path, e);
}

int state_restore(const char *dir, const char *file, struct state_file *out, struct err *e)
{
	char path[PATH_MAX], next[PATH_MAX], aside[PATH_MAX];
	auto_db sqlite3 *db = NULL;
	auto_fd int lock = -1;
	int r = ledger_claim(dir, &lock, e);

	if (r == 0)
		r = path_make(path, dir, "/state.db", e);
	if (r == 0)
		r = path_make(next, path, ".next", e);
	if (r == 0)
		r = path_make(aside, path, ".before-restore", e);
	if (r == 0)
		r = db_open(file, SQLITE_OPEN_READONLY, &db, e);
	if (r == 0)
		r = ledger_check(db, file, &out->schema, e);
	if (r < 0)
		return r;
	unlink(next); /* of a restore that was cut short */
	r = copy(db, next, path, e);
	if (r == 0)
		r = keep_former(path, aside, e);
	if (r == 0)
		r = swap_in(path, next, e);
	if (r < 0) {
		unlink(next);
		return r;
	}
	return size_of(path, out, e);
}

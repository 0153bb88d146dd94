// SPDX-License-Identifier: BSD-3-Clause
/* A ledger that another program has locked. Whoever writes has the daemon's `state`, for which all others wait: so the
 * first write waits for a moment, those that follow fail at once until the lock is gone. */
#include "vf-manager/ledger_db.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS	 500
#define PAUSE_MS 10
#define WAL_LOCK 120 /* SQLite's byte of the file beside the ledger: who has it writes */

/* The process that has the lock, by the kernel's word; 0: not known. Not by F_GETLK: to close the file would drop SQLite's own locks. */
static pid_t holder_find(sqlite3 *db)
{
	const char *file = sqlite3_db_filename(db, "main");
	char path[4096], line[256];
	struct stat st;
	pid_t found = 0;
	FILE *locks;

	snprintf(path, sizeof(path), "%s-shm", file != NULL ? file : "");
	if (stat(path, &st) < 0)
		return 0;
	locks = fopen("/proc/locks", "re");
	while (locks != NULL && found == 0 && fgets(line, sizeof(line), locks) != NULL) {
		unsigned long long inode, first;
		unsigned int major_nr, minor_nr;
		char last[24];
		int pid;

		if (sscanf(line, "%*u: POSIX %*s WRITE %d %x:%x:%llu %llu %23s", &pid, &major_nr,
			   &minor_nr, &inode, &first, last) != 6)
			continue;
		if (inode == st.st_ino && major_nr == major(st.st_dev) &&
		    minor_nr == minor(st.st_dev) && first <= WAL_LOCK &&
		    (strcmp(last, "EOF") == 0 || strtoull(last, NULL, 10) >= WAL_LOCK) && pid > 0 &&
		    pid != getpid())
			found = pid;
	}
	if (locks != NULL)
		fclose(locks);
	return found;
}

int db_locked(sqlite3 *db, struct err *e)
{
	const char *file = sqlite3_db_filename(db, "main");
	pid_t pid = holder_find(db);
	char path[64], name[32] = "";

	if (pid == 0) {
		err_set(e, EAGAIN, "another program has locked the state database");
		err_code(e, "state-locked");
		return err_hint(e, "fuser -v %s-shm   says who has it; then the same again", file);
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (file_read_at(AT_FDCWD, path, name, sizeof(name)) > 0)
		name[strcspn(name, "\n")] = '\0';
	/* Any bytes that it likes, or the kernel has left of them. */
	for (char *c = name; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	err_set(e, EAGAIN, "another program has locked the state database: %s, pid %d",
		name[0] != '\0' ? name : "a process", (int)pid);
	err_code(e, "state-locked");
	return err_hint(
		e,
		"end its transaction, or it: kill %d   then the same again; to look into the "
		"ledger: viaduct state backup FILE",
		(int)pid);
}

static int is_busy(void *arg, int tries)
{
	struct ledger *l = arg;
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct err e;

	if (l->locked_at != 0)
		return 0;
	if (tries * PAUSE_MS < WAIT_MS) {
		nanosleep(&pause, NULL);
		return 1;
	}
	l->locked_at = time(NULL);
	db_locked(l->db, &e);
	log_err(&e, "nothing can be changed");
	return 0;
}

static int is_written(void *arg)
{
	struct ledger *l = arg;

	if (l->locked_at != 0)
		log_info("the state database is locked no longer");
	l->locked_at = 0;
	return 0;
}

void ledger_lock_init(struct ledger *l)
{
	sqlite3_busy_handler(l->db, is_busy, l);
	sqlite3_commit_hook(l->db, is_written, l);
}

bool ledger_is_locked(struct ledger *l)
{
	int rc;

	if (l->batch.count > 0 || sqlite3_get_autocommit(l->db) == 0)
		return false; /* it is we who write */
	rc = sqlite3_exec(l->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return rc == SQLITE_BUSY;
	sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	(void)is_written(l);
	return false;
}

/* As a row of the table in alarms.c, for whoever counts them. */
static const struct {
	const char *kind, *severity, *object;
} locked_alarm[] = {
	{ "state-locked", "critical", "state.db" },
};

bool ledger_locked_alarm(struct ledger *l, struct alarm *out)
{
	struct err e = { 0 };

	if (l->locked_at == 0 || !ledger_is_locked(l))
		return false;
	db_locked(l->db, &e);
	*out = (struct alarm){ .raised_at = l->locked_at };
	snprintf(out->kind, sizeof(out->kind), "%s", locked_alarm[0].kind);
	snprintf(out->severity, sizeof(out->severity), "%s", locked_alarm[0].severity);
	snprintf(out->object, sizeof(out->object), "%s", locked_alarm[0].object);
	snprintf(out->text, sizeof(out->text), "nothing can be changed: %.300s", e.text);
	snprintf(out->hint, sizeof(out->hint), "%s", e.hint);
	return true;
}

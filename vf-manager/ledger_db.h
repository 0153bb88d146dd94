/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the ledger: SQLite with our errors, and a sorted table in memory.
 */
#ifndef VIADUCT_VF_MANAGER_LEDGER_DB_H
#define VIADUCT_VF_MANAGER_LEDGER_DB_H

#include "vf-manager/ledger_event.h"

#include <sqlite3.h>

#include <pthread.h>

struct table {
	size_t item_bytes;
	int (*cmp)(const void *a, const void *b);
	void *items; /* sorted */
	size_t count, cap;
};

struct lease_key {
	char lease[LEASE_TEXT];
	struct pci_addr pf;
	uint16_t index;
};

/* Statements that every lease runs: compiled once, since compiling one costs more than running it. */
enum db_hot { HOT_VF_UPSERT, HOT_SCRUB_GET, HOT_COUNT };

/* Leases that wait for one sync together. */
#define BATCH_MAX 64
struct batch {
	uint64_t number; /* of the open one, or of the next */
	unsigned int count; /* 0: none is open */
	bool is_joining; /* the statement under way belongs to it */
	struct {
		struct vf_row row;
		bool is_there;
	} before[BATCH_MAX]; /* to go back to */
	uint64_t lost; /* could not be written: bit 0 is the batch before this one, and so on */
	struct err why;
	pthread_cond_t ended;
};

struct ledger {
	sqlite3 *db;
	sqlite3_stmt *hot[HOT_COUNT]; /* NULL: not yet used */
	struct batch batch;
	int lock_fd; /* -1: in memory */
	char boot_id[BOOT_ID_TEXT];
	uint8_t host_key[HOST_KEY];
	struct table vfs; /* struct vf_row */
	struct table leases; /* struct lease_key: which VF has the lease of a name */
	struct table pfs; /* struct pf_row */
	struct table fns; /* struct fn_row */
	struct table intents; /* struct intent_row */
	struct table parked; /* struct parked_row */
	struct table confirms; /* struct confirm_row */
	ledger_watch_fn *watch; /* NULL: nobody wants to know */
	void *watch_arg;
	time_t locked_at; /* by another program, since then; 0: it was not at the last write */
};

/* The rows of the batch become durable, or what they were before; whoever waits for it is told. */
void batch_init(struct batch *b);
void batch_fini(struct batch *b);
int batch_end(struct ledger *l, struct err *e);

/* One transaction for the row and what `write` changes of the database (of the database alone: its table in memory
 * follows when this says 0). On failure both are as they were, in memory too. */
struct also {
	int (*write)(struct ledger *l, const void *arg, struct err *e);
	const void *arg;
};
int ledger_vf_force_also(struct ledger *l, const struct vf_row *row, const struct also *also,
			 struct err *e);

/* In memory alone: the row as it was, or none. */
void ledger_vf_back(struct ledger *l, const struct vf_row *row, bool is_there);

/* Of the whole functions (ledger_fn.c). */
void ledger_fn_init(struct ledger *l);
int ledger_fns_load(struct ledger *l, struct err *e);

/* Of the intents (ledger_intent.c). */
void ledger_intent_init(struct ledger *l);
int ledger_intents_load(struct ledger *l, struct err *e);

/* Of definitions and the history of VMs (ledger_def.c). */
extern const char ledger_def_schema[];

/* Of leases that wait (ledger_parked.c). */
void ledger_parked_init(struct ledger *l);
int ledger_parked_load(struct ledger *l, struct err *e);

/* Of PFs on trial (ledger_confirm.c). */
void ledger_confirm_init(struct ledger *l);
int ledger_confirms_load(struct ledger *l, struct err *e);

/* Attributes as one column: "" for none. -EBADMSG: it was not written by us. */
#define DB_ATTRS_TEXT 96
char *db_attrs_text(const struct vf_attrs *attrs, char buf[DB_ATTRS_TEXT]);
int db_attrs_parse(const char *text, struct vf_attrs *out);

void *table_find(const struct table *t, const void *key);
size_t table_place(const struct table *t, const void *key, bool *is_there);

/* Room for one more, so that table_put() after a commit cannot fail. */
int table_reserve(struct table *t, struct err *e);
int table_put(struct table *t, const void *item, struct err *e);
void table_del(struct table *t, const void *key); /* not there: nothing to do */

static inline void stmt_put(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
#define auto_stmt __attribute__((cleanup(stmt_put)))

/* Ends the statement's run, which else would keep its transaction open, and forgets what was bound. */
static inline void hot_put(sqlite3_stmt **st)
{
	if (*st == NULL)
		return; /* SQLite does not take it */
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
}
#define auto_hot __attribute__((cleanup(hot_put)))

int db_failed(sqlite3 *db, struct err *e);

/* Of a database that another program has locked (ledger_lock.c): code "state-locked", and who it is. */
int db_locked(sqlite3 *db, struct err *e);
void ledger_lock_init(struct ledger *l);

/* Takes blocks of the disk for some hundred changes, so that these can be made when it is full; an open ledger keeps them. */
void ledger_room_keep(struct ledger *l);
/* Just before it is closed: they stay for the next one. */
void ledger_room_leave(struct ledger *l);

/* The alarm of it, which no table can have meanwhile. False: it is not locked. */
bool ledger_locked_alarm(struct ledger *l, struct alarm *out);

/* The code and the remedy of what cannot be read. */
int db_damaged(struct err *e);

/* What writes ends the batch first, so that it is not part of it. */
int db_exec(struct ledger *l, const char *sql, struct err *e);
int db_prepare(struct ledger *l, const char *sql, sqlite3_stmt **st, struct err *e);

/* The same, of a statement that the ledger keeps: for auto_hot. */
int db_prepare_hot(struct ledger *l, enum db_hot which, sqlite3_stmt **st, struct err *e);
void db_bind_text(sqlite3_stmt *st, int at, const char *text);
const char *db_text(sqlite3_stmt *st, int column); /* never NULL */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has happened, and what is wrong now. Events are written by triggers of the database, in the same
 * transaction as the change that they tell of, so neither is there without the other; the newest
 * LEDGER_EVENTS are kept. An alarm is a row as long as its condition lasts. The daemon's `state` lock
 * guards all of it.
 */
#ifndef VIADUCT_VF_MANAGER_LEDGER_EVENT_H
#define VIADUCT_VF_MANAGER_LEDGER_EVENT_H

#include "vf-manager/ledger.h"

#define LEDGER_EVENTS 8192 /* as the triggers have it */

/* The texts are valid during the callback; "" where there is none. */
struct event {
	uint64_t cursor; /* grows by one, over restarts, too */
	int64_t at_ms; /* since the epoch */
	const char *kind; /* "vf", "vm", "pf", "function", "alarm", "daemon", "backend" */
	const char *object;
	const char *from, *to; /* states; of an alarm its kind; of a PF counts of VFs */
	const char *text;
};

#define ALARM_WORD   32
#define ALARM_OBJECT 132 /* room for OWNER_TEXT */
#define ALARM_TEXT   384

struct alarm {
	char kind[ALARM_WORD], object[ALARM_OBJECT]; /* the key */
	char severity[ALARM_WORD];
	char text[ALARM_TEXT], hint[ALARM_TEXT];
	int64_t raised_at; /* seconds since the epoch */
	uint64_t cursor; /* of the event that told of it */
};

/* The schema's part, for the migration. */
extern const char ledger_event_schema[];

/* Cursors of the oldest and the newest event; 0 and 0: there is none. */
int ledger_event_range(struct ledger *l, uint64_t *oldest, uint64_t *newest, struct err *e);

/* -ESTALE code "cursor-lost" if events after it are no longer kept; -ERANGE code "cursor-ahead" if it
 * was never given out. */
int ledger_event_check(struct ledger *l, uint64_t since, struct err *e);

/* At most `limit` events after `since`, oldest first. */
typedef void event_fn(void *arg, const struct event *event);

struct event_walk {
	uint64_t since;
	unsigned int limit;
	event_fn *fn;
	void *arg;
};

int ledger_event_each(struct ledger *l, const struct event_walk *walk, struct err *e);

int ledger_event_add(struct ledger *l, const char *kind, const char *object, const char *text,
		     struct err *e);

/* By kind, then object; last of all, that nothing can be written, as long as it is so. */
typedef void alarm_fn(void *arg, const struct alarm *alarm);
int ledger_alarm_each(struct ledger *l, alarm_fn *fn, void *arg, struct err *e);
int alarm_cmp(const void *a, const void *b);

/* Makes the table what `want` says (sorted by alarm_cmp, no two alike), in one transaction: what is
 * new is raised, what is missing is cleared, the rest keeps its time and cursor. */
struct alarm_changes {
	void (*fn)(void *arg, const struct alarm *alarm, bool is_raised);
	void *arg;
};
int ledger_alarms_sync(struct ledger *l, const struct alarm *want, size_t count,
		       const struct alarm_changes *told, struct err *e);

/* 1 if that would change anything, else 0. */
int ledger_alarms_differ(struct ledger *l, const struct alarm *want, size_t count, struct err *e);

/* fn is called within each change of a table, and must not use the ledger. NULL: no more. */
typedef void ledger_watch_fn(void *arg, bool is_event);
void ledger_watch(struct ledger *l, ledger_watch_fn *fn, void *arg);

#endif

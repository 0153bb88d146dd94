// SPDX-License-Identifier: BSD-3-Clause
/* Many leases, one sync: a row of a batch is in memory and in a transaction that is open, and nobody has been
 * told that he has it. Whatever else writes ends the batch first. */
#include "vf-manager/ledger_db.h"

#include <errno.h>

void batch_init(struct batch *b)
{
	pthread_condattr_t attr;

	b->number = 1;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->ended, &attr);
	pthread_condattr_destroy(&attr);
}

void batch_fini(struct batch *b)
{
	pthread_cond_destroy(&b->ended);
}

/* In memory as it was before; the last change first. */
static void batch_undo(struct ledger *l)
{
	struct batch *b = &l->batch;

	while (b->count > 0) {
		b->count--;
		ledger_vf_back(l, &b->before[b->count].row, b->before[b->count].is_there);
	}
}

static void batch_over(struct ledger *l, bool is_lost)
{
	l->batch.count = 0;
	l->batch.number++;
	l->batch.lost = l->batch.lost << 1 | is_lost;
	pthread_cond_broadcast(&l->batch.ended);
}

static int batch_lose(struct ledger *l, struct err *e)
{
	struct batch *b = &l->batch;
	int r;

	b->why = (struct err){ 0 };
	r = db_failed(l->db, &b->why);
	if (e != NULL)
		*e = b->why;
	sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	batch_undo(l);
	batch_over(l, true);
	return r;
}

int batch_end(struct ledger *l, struct err *e)
{
	if (l->batch.count == 0)
		return 0;
	if (sqlite3_exec(l->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return batch_lose(l, e);
	batch_over(l, false);
	return 0;
}

int ledger_vf_join(struct ledger *l, const struct vf_row *row, uint64_t *batch, struct err *e)
{
	const struct vf_row *now = ledger_vf_find(l, &row->pf, row->index);
	struct batch *b = &l->batch;
	int r = 0;

	if (b->count == BATCH_MAX)
		r = batch_end(l, e);
	if (r == 0 && b->count == 0 && sqlite3_exec(l->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		r = db_failed(l->db, e);
	if (r < 0)
		return r;
	b->before[b->count].is_there = now != NULL;
	b->before[b->count].row = now != NULL ? *now : *row;
	b->is_joining = true;
	r = ledger_vf_force(l, row, e);
	b->is_joining = false;
	if (r == 0) {
		b->count++;
		*batch = b->number;
		return 0;
	}
	/* A full disk may have ended the transaction, and one without rows is not to stay open. */
	if (sqlite3_get_autocommit(l->db) != 0 && b->count > 0)
		(void)batch_lose(l, NULL);
	else if (b->count == 0)
		sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int ledger_sync(struct ledger *l, struct err *e)
{
	return batch_end(l, e);
}

int ledger_batch_wait(struct ledger *l, uint64_t batch, pthread_mutex_t *lock, struct err *e)
{
	struct batch *b = &l->batch;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LEDGER_BATCH_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (b->number == batch)
		if (pthread_cond_timedwait(&b->ended, lock, &until) == ETIMEDOUT &&
		    b->number == batch)
			(void)batch_end(l, NULL);
	/* Who comes so late that it is not known any more has nothing, too. */
	if (b->number - batch <= 64 && (b->lost >> (b->number - batch - 1) & 1) == 0)
		return 0;
	err_set(e, EIO, "the lease could not be written: %s", b->why.text);
	return err_code(e, "state-write");
}

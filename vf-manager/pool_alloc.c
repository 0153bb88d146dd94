// SPDX-License-Identifier: BSD-3-Clause
/* Leases by `vf alloc`. Whoever finds nobody serving serves all who wait, himself among them: one taking of the
 * locks and one sync for as many as have come since the last turn. Then the next one who waits does so. */
#include "vf-manager/pool.h"
#include "vf-manager/pool_pick.h"
#include "vf-manager/view.h"

#include "base/fd.h"

#include <errno.h>
#include <semaphore.h>

#define TURN_MAX 32 /* then whoever else waits for the locks comes */

struct alloc {
	const struct vf_want *want;
	json_t *view;
	uint64_t batch;
	struct err e;
	int r;
	bool is_done; /* else woken to serve */
	sem_t woken; /* not a condition: who waits may be gone before it is told */
	struct alloc *next;
};

/* State locked. After one that got nothing the whole machine was looked at, for all of the turn. */
static void one_lease(struct daemon *d, struct alloc *a, bool *is_looked)
{
	struct vf_want want = *a->want;
	const struct pci_fn *vf;
	struct vf_hold hold;

	want.is_looked = *is_looked;
	a->r = pool_lease_join(d, &want, &hold, &a->batch, &a->e);
	*is_looked |= a->r < 0 && a->r != -EEXIST;
	if (a->r < 0)
		return;
	vf = inventory_find(d->inv, &hold.addr);
	a->view = vf != NULL ? view_vf_full(d, vf) : NULL;
}

/* State locked. What could not be written is nobody's. */
static void one_wait(struct daemon *d, struct alloc *a)
{
	if (a->r == 0)
		a->r = ledger_batch_wait(d->ledger, a->batch, &d->state, &a->e);
	if (a->r == 0 && a->view == NULL)
		a->r = err_set(&a->e, ENOMEM, "no memory for the reply");
	if (a->r < 0)
		json_decref(ptr_take(&a->view));
}

static void serve(struct daemon *d, struct alloc *first)
{
	bool is_looked = false;

	op_lock(d);
	state_lock(d);
	for (struct alloc *a = first; a != NULL; a = a->next)
		one_lease(d, a, &is_looked);
	(void)ledger_sync(d->ledger, NULL);
	for (struct alloc *a = first; a != NULL; a = a->next)
		one_wait(d, a);
	state_unlock(d);
	op_unlock(d);
}

/* True: it is for the caller to serve. */
static bool queue_join(struct alloc_queue *q, struct alloc *mine)
{
	bool serves;

	pthread_mutex_lock(&q->lock);
	if (q->first == NULL)
		q->end = &q->first;
	*q->end = mine;
	q->end = &mine->next;
	serves = !q->is_served;
	q->is_served = true;
	pthread_mutex_unlock(&q->lock);
	return serves;
}

/* Never empty: who takes is in it. */
static struct alloc *queue_take(struct alloc_queue *q)
{
	struct alloc *first, *last;

	pthread_mutex_lock(&q->lock);
	first = last = q->first;
	for (unsigned int n = 1; n < TURN_MAX && last->next != NULL; n++)
		last = last->next;
	q->first = last->next;
	last->next = NULL;
	pthread_mutex_unlock(&q->lock);
	return first;
}

/* To the first of those who have come meanwhile. */
static void queue_hand_on(struct alloc_queue *q)
{
	struct alloc *next;

	pthread_mutex_lock(&q->lock);
	next = q->first;
	q->is_served = next != NULL;
	pthread_mutex_unlock(&q->lock);
	/* It waits until it is told, and only its server may tell it. */
	if (next != NULL)
		sem_post(&next->woken);
}

static void serve_turn(struct daemon *d, const struct alloc *mine)
{
	struct alloc *a = queue_take(&d->allocs), *next;

	serve(d, a);
	for (; a != NULL; a = next) {
		next = a->next;
		if (a == mine)
			continue;
		a->is_done = true;
		sem_post(&a->woken);
	}
	queue_hand_on(&d->allocs);
}

int pool_alloc(struct daemon *d, const struct vf_want *want, json_t **view, struct err *e)
{
	struct alloc mine = { .want = want };
	bool serves;

	sem_init(&mine.woken, 0, 0);
	serves = queue_join(&d->allocs, &mine);
	while (!serves && sem_wait(&mine.woken) < 0)
		; /* EINTR */
	if (!mine.is_done)
		serve_turn(d, &mine);
	sem_destroy(&mine.woken);
	if (mine.r == 0)
		*view = mine.view;
	else if (e != NULL)
		*e = mine.e;
	return mine.r;
}

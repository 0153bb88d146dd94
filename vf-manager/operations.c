// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/operations.h"

#include "base/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES (512U << 10)
#define ID_TEXT	    40
#define TARGET_TEXT 256
#define STEP_TEXT   160
#define NS_PER_S    1000000000ULL
#define NS_PER_MS   1000000ULL

struct operation {
	struct daemon *d;
	struct operation_plan plan;
	char id[ID_TEXT], target[TARGET_TEXT];
	json_t *steps; /* array */
	uint64_t started_ns, ended_ns; /* ended_ns 0: it runs */
	time_t started_at, ended_at;
	json_t *result, *error; /* once it has ended, one of them; never changed */
	unsigned int status;
	size_t bytes; /* of the result, as text */
	pthread_t thread;
	bool is_joined;
};

struct operations {
	struct operation *list[OPERATIONS_KEPT]; /* oldest first */
	size_t count;
	uint64_t begun;
	uint64_t epoch_ms; /* first part of the ids: a daemon that starts again gives out others */
};

int operations_create(struct daemon *d, struct err *e)
{
	struct timespec now;

	d->operations = calloc(1, sizeof(*d->operations));
	if (d->operations == NULL)
		return err_set(e, ENOMEM, "no memory");
	/* Seconds are not enough: a daemon can stop and another start within one. */
	clock_gettime(CLOCK_REALTIME, &now);
	d->operations->epoch_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return 0;
}

static void operation_free(struct operation *op)
{
	if (op == NULL)
		return;
	json_decref(op->steps);
	json_decref(op->result);
	json_decref(op->error);
	free(op);
}

static void operation_join(struct operation *op)
{
	if (!op->is_joined)
		pthread_join(op->thread, NULL);
	op->is_joined = true;
}

void operations_destroy(struct daemon *d)
{
	struct operations *all = d->operations;

	if (all == NULL)
		return;
	/* Nobody begins one any more. */
	for (size_t i = 0; i < all->count; i++) {
		operation_join(all->list[i]);
		operation_free(all->list[i]);
	}
	free(all);
	d->operations = NULL;
}

/* State locked. */
static void operation_drop(struct operations *all, size_t at)
{
	operation_free(all->list[at]);
	all->count--;
	memmove(&all->list[at], &all->list[at + 1], (all->count - at) * sizeof(all->list[0]));
}

/* State locked: the lock is the last thing that a thread which has ended lets go of, so joining it does not wait.
 * Those that ended long ago go. */
static void long_ended_drop(struct operations *all)
{
	uint64_t now = now_ns();

	for (size_t i = 0; i < all->count;) {
		const struct operation *op = all->list[i];

		if (op->ended_ns != 0)
			operation_join(all->list[i]);
		if (op->ended_ns == 0 || now - op->ended_ns < OPERATIONS_KEPT_S * NS_PER_S)
			i++;
		else
			operation_drop(all, i);
	}
}

struct kept {
	size_t count, bytes;
};

/* What of ended operations is kept for this user, or, with `of` NULL, in all. */
static struct kept kept_of(const struct operations *all, const uid_t *of)
{
	struct kept k = { 0 };

	for (size_t i = 0; i < all->count; i++) {
		if (all->list[i]->ended_ns == 0 || (of != NULL && all->list[i]->plan.uid != *of))
			continue;
		k.count++;
		k.bytes += all->list[i]->bytes;
	}
	return k;
}

/* The oldest ended one of the user who has the most kept: nobody pushes out what another waits for. */
static size_t victim_find(const struct operations *all, bool by_bytes)
{
	size_t found = all->count, most = 0;

	for (size_t i = 0; i < all->count; i++) {
		struct kept k;
		size_t has;

		if (all->list[i]->ended_ns == 0)
			continue;
		k = kept_of(all, &all->list[i]->plan.uid);
		has = by_bytes ? k.bytes : k.count;
		if (found == all->count || has > most) {
			found = i;
			most = has;
		}
	}
	return found;
}

/* State locked. Room for `room` more. */
static void operations_prune(struct operations *all, size_t room)
{
	struct kept k;

	long_ended_drop(all);
	for (k = kept_of(all, NULL); k.count > 0; k = kept_of(all, NULL)) {
		bool too_much = k.bytes > OPERATIONS_KEPT_BYTES;

		if (!too_much && all->count + room <= OPERATIONS_KEPT)
			return;
		operation_drop(all, victim_find(all, too_much));
	}
}

/* State locked. */
static json_t *operation_json(const struct operation *op, bool with_result)
{
	const char *state = op->ended_ns == 0 ? "running" : op->error != NULL ? "failed" : "done";
	json_t *j = json_pack("{s:s, s:s, s:s?, s:s, s:I, s:I, s:O}", "id", op->id, "kind",
			      op->plan.kind, "target", op->target[0] != '\0' ? op->target : NULL,
			      "state", state, "uid", (json_int_t)op->plan.uid, "started_at",
			      (json_int_t)op->started_at, "steps", op->steps);

	if (j == NULL)
		return NULL;
	/* The list grows while somebody prints the reply. */
	json_object_set_new(j, "steps", json_copy(op->steps));
	json_object_set_new(j, "ended_at",
			    op->ended_ns != 0 ? json_integer(op->ended_at) : json_null());
	json_object_set_new(
		j, "took_ms",
		op->ended_ns != 0
			? json_integer((json_int_t)((op->ended_ns - op->started_ns) / NS_PER_MS))
			: json_null());
	json_object_set_new(j, "status",
			    op->ended_ns != 0 ? json_integer(op->status) : json_null());
	if (!with_result)
		return j;
	json_object_set_new(j, "result",
			    op->result != NULL ? json_incref(op->result) : json_null());
	json_object_set_new(j, "error", op->error != NULL ? json_incref(op->error) : json_null());
	return j;
}

static void *operation_main(void *arg)
{
	struct operation *op = arg;
	struct operation_done done = { 0 };
	struct err e = { 0 };
	json_t *error = NULL;
	size_t bytes;
	int r = op->plan.run(op->plan.arg, op, &done, &e);

	op->plan.free(op->plan.arg);
	if (r == 0 && done.reply == NULL)
		r = err_set(&e, ENOMEM, "no memory for the reply");
	if (r < 0)
		error = json_from_err(&e);
	bytes = json_dumpb(done.reply, NULL, 0, JSON_COMPACT);
	log_info("operation %s, %s %s: %s", op->id, op->plan.kind, op->target,
		 r < 0 ? e.text : "done");
	state_lock(op->d);
	op->result = done.reply;
	op->error = error != NULL || r == 0 ? error : json_object();
	op->status = done.status;
	op->bytes = bytes;
	op->ended_at = time(NULL);
	op->ended_ns = now_ns();
	pthread_cond_broadcast(&op->d->changed);
	state_unlock(op->d);
	return NULL;
}

static int thread_start(struct operation *op, struct err *e)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&op->thread, &attr, operation_main, op);
	pthread_attr_destroy(&attr);
	return r == 0 ? 0 : err_set(e, r, "a thread for the operation: %s", strerror(r));
}

/* State locked. */
static int room_check(const struct daemon *d, uid_t uid, struct err *e)
{
	const struct operations *all = d->operations;
	size_t running = 0, his = 0;

	for (size_t i = 0; i < all->count; i++) {
		running += all->list[i]->ended_ns == 0;
		his += all->list[i]->ended_ns == 0 && all->list[i]->plan.uid == uid;
	}
	if (running < OPERATIONS_RUNNING - (uid == 0 ? 0 : OPERATIONS_OF_ROOT) &&
	    (uid == 0 || his < OPERATIONS_OF_ONE) && !d->is_ending)
		return 0;
	if (d->is_ending)
		return err_set(e, ECANCELED, "viaductd is ending");
	err_set(e, EAGAIN, "%zu operations are under way, %zu of them of uid %u: no more at once",
		running, his, uid);
	err_code(e, "too-many-operations");
	return err_hint(e,
			"viaduct operation list   shows them; without --no-wait it waits its turn");
}

int operation_begin(struct daemon *d, const struct operation_plan *plan, json_t **out,
		    struct err *e)
{
	struct operation *op = calloc(1, sizeof(*op));
	json_t *j = NULL;
	int r = 0;

	if (op == NULL || (op->steps = json_array()) == NULL) {
		operation_free(op);
		return err_set(e, ENOMEM, "no memory");
	}
	op->d = d;
	op->plan = *plan;
	snprintf(op->target, sizeof(op->target), "%s", plan->target);
	op->started_ns = now_ns();
	op->started_at = time(NULL);
	state_lock(d);
	operations_prune(d->operations, 1);
	r = room_check(d, plan->uid, e);
	if (r == 0) {
		snprintf(op->id, sizeof(op->id), "%llx-%llu",
			 (unsigned long long)d->operations->epoch_ms,
			 (unsigned long long)++d->operations->begun);
		j = operation_json(op, true);
		r = j != NULL ? thread_start(op, e) : err_set(e, ENOMEM, "no memory");
	}
	/* It gets to its end only under the lock. */
	if (r == 0)
		d->operations->list[d->operations->count++] = op;
	state_unlock(d);
	if (r < 0) {
		json_decref(j);
		operation_free(op);
		return r;
	}
	*out = j;
	return 0;
}

void operation_step(struct operation *op, const char *fmt, ...)
{
	char text[STEP_TEXT];
	json_t *step;
	va_list ap;

	if (op == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	step = json_pack("{s:s, s:I}", "step", text, "ms",
			 (json_int_t)((now_ns() - op->started_ns) / NS_PER_MS));
	state_lock(op->d);
	if (json_array_size(op->steps) < OPERATION_STEPS)
		json_array_append(op->steps, step);
	pthread_cond_broadcast(&op->d->changed);
	state_unlock(op->d);
	json_decref(step);
}

void operation_target(struct operation *op, const char *name)
{
	if (op == NULL)
		return;
	state_lock(op->d);
	snprintf(op->target, sizeof(op->target), "%s", name);
	state_unlock(op->d);
}

json_t *operations_json(struct daemon *d)
{
	json_t *list = json_array();

	if (d->operations == NULL)
		return list;
	state_lock(d);
	operations_prune(d->operations, 0);
	for (size_t i = d->operations->count; i-- > 0;)
		json_array_append_new(list, operation_json(d->operations->list[i], false));
	state_unlock(d);
	return list;
}

/* State locked. */
static int operation_find(const struct daemon *d, const char *id, struct operation **out,
			  struct err *e)
{
	for (size_t i = 0; i < d->operations->count; i++)
		if (strcmp(d->operations->list[i]->id, id) == 0) {
			*out = d->operations->list[i];
			return 0;
		}
	err_set(e, ENOENT,
		"there is no operation %.40s: it ended over an hour or %d operations ago, or "
		"before viaductd was started",
		id, OPERATIONS_KEPT);
	err_code(e, "no-such-operation");
	return err_hint(e, "viaduct events   shows what has come of it");
}

int operation_uid(struct daemon *d, const char *id, uid_t *out, struct err *e)
{
	struct operation *op = NULL;
	int r;

	state_lock(d);
	operations_prune(d->operations, 0);
	r = operation_find(d, id, &op, e);
	if (r == 0)
		*out = op->plan.uid;
	state_unlock(d);
	return r;
}

int operation_show(struct daemon *d, const char *id, const struct operation_look *look,
		   json_t **out, struct err *e)
{
	struct timespec deadline;
	struct operation *op = NULL;
	int timed_out = 0, r;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += look->wait_s;
	state_lock(d);
	for (;;) {
		/* Again each time: it may have gone. */
		r = operation_find(d, id, &op, e);
		if (r < 0 || op->ended_ns != 0 || json_array_size(op->steps) > look->steps ||
		    look->wait_s == 0 || timed_out != 0 || d->is_ending)
			break;
		timed_out = pthread_cond_timedwait(&d->changed, &d->state, &deadline);
	}
	if (r == 0)
		*out = operation_json(op, true);
	state_unlock(d);
	return r;
}

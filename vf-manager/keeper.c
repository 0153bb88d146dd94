// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/keeper.h"

#include "vf-manager/operations.h"
#include "vf-manager/vmdefops.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_S	 60 /* the clock may be set */
#define RETRY_S	 1 /* no operation could begin */
#define NS_PER_S 1000000000ULL

struct keeper {
	struct daemon *d;
	pthread_t thread;
};

/* Seconds. More than a back-off can be was set by a clock that has been put back since. */
static unsigned int restart_left(const struct vm_def *def, int64_t now)
{
	return def->restart_at > now && def->restart_at <= now + KEEP_BACKOFF_MAX_S
		       ? (unsigned int)(def->restart_at - now)
		       : 0;
}

static bool is_live(struct daemon *d, const struct vm_def *def)
{
	const struct vm *vm = vm_find(d, def->name);

	return vm != NULL && (vm_state_is_live(vm->state) || vm->pid != 0);
}

static bool is_starting(struct daemon *d, const struct vm_def *def)
{
	const struct vm *vm = vm_find(d, def->name);

	return def->is_busy || (vm != NULL && vm->state == VM_STARTING);
}

static bool is_pending(struct daemon *d, const struct vm_def *def)
{
	return def->is_wanted && def->held[0] == '\0' && !def->is_busy && !is_live(d, def);
}

/* It was tried, and it was too early. */
static bool is_put_off(const struct vm_def *def)
{
	return def->retry_ns > now_ns();
}

/* Others wait for it no longer: it runs, will not, or has been tried. */
static bool is_settled(struct daemon *d, const struct vm_def *def, int64_t now)
{
	if (is_starting(d, def))
		return false;
	return !is_pending(d, def) || restart_left(def, now) != 0 || is_put_off(def);
}

/* Of those that it waits for: one that shall run and is held; NULL: none is. */
static const struct vm_def *missing(struct daemon *d, const struct vm_def *def)
{
	for (unsigned int i = 0; i < def->keep.after_count; i++) {
		const struct vm_def *other = def_find(d, def->keep.after[i]);

		if (other != NULL && other->is_wanted && other->held[0] != '\0' &&
		    !is_live(d, other))
			return other;
	}
	return NULL;
}

/* One of those without which it does not start is put off, and so is this one. */
static bool is_behind(struct daemon *d, const struct vm_def *def)
{
	for (unsigned int i = 0; i < def->keep.after_count; i++) {
		const struct vm_def *other = def_find(d, def->keep.after[i]);

		if (other != NULL && is_pending(d, other) && is_put_off(other))
			return true;
	}
	return false;
}

static void hold_behind(struct daemon *d, struct vm_def *def, const struct vm_def *other)
{
	static const struct def_failure failure = { .cause = "autostart",
						    .who = "",
						    .is_held = true };
	struct err e = { 0 };

	err_set(&e, ECANCELED, "the VM %s, after which it starts, does not run: %.200s",
		other->name, other->held_text);
	log_err(&e, def->name);
	def_start_failed(d, def, &failure, &e);
}

/* Seconds until it may start. A restart has its own time; the delay is for starts in a row. */
static unsigned int left_s(struct vm_def *def, int64_t now)
{
	uint64_t waited_s;

	if (is_put_off(def))
		return (unsigned int)((def->retry_ns - now_ns()) / NS_PER_S) + 1;
	if (def->restart_at != 0)
		return (unsigned int)u64_min(restart_left(def, now), LOOK_S);
	if (def->ready_ns == 0)
		def->ready_ns = now_ns();
	waited_s = (now_ns() - def->ready_ns) / NS_PER_S;
	return waited_s >= def->keep.delay_s ? 0 : def->keep.delay_s - (unsigned int)waited_s;
}

/* The lowest rank of those that are not settled. */
static unsigned int turn_of(struct daemon *d, const unsigned int *ranks, int64_t now)
{
	unsigned int turn = UINT32_MAX;

	for (size_t i = 0; i < d->def_count; i++)
		if (!is_settled(d, d->defs[i], now) && ranks[i] < turn)
			turn = ranks[i];
	return turn;
}

static struct vm_def *due(struct daemon *d, const unsigned int *ranks, unsigned int *wait_s)
{
	const int64_t now = time(NULL);
	const unsigned int turn = turn_of(d, ranks, now);
	unsigned int starting = 0;

	for (size_t i = 0; i < d->def_count; i++)
		starting += is_starting(d, d->defs[i]);
	for (size_t i = 0; i < d->def_count; i++) {
		struct vm_def *def = d->defs[i];
		const struct vm_def *other;
		unsigned int left;

		if (!is_pending(d, def) ||
		    (def->restart_at == 0 && (ranks[i] > turn || is_behind(d, def))))
			continue;
		other = def->restart_at == 0 ? missing(d, def) : NULL;
		if (other != NULL) {
			hold_behind(d, def, other);
			*wait_s = 0;
			continue;
		}
		left = left_s(def, now);
		if (left == 0 && starting < KEEPER_STARTS)
			return def;
		if (left != 0 && left < *wait_s)
			*wait_s = left;
	}
	return NULL;
}

struct vm_def *keeper_next(struct daemon *d, unsigned int *wait_s)
{
	auto_free struct keep_node *nodes = NULL;
	auto_free unsigned int *ranks = NULL;
	bool is_any = false;

	*wait_s = LOOK_S;
	for (size_t i = 0; !is_any && i < d->def_count; i++)
		is_any = is_pending(d, d->defs[i]);
	if (!is_any || d->vms_are_held || d->host_stops > 0)
		return NULL;
	nodes = calloc(d->def_count, sizeof(*nodes));
	ranks = calloc(d->def_count, sizeof(*ranks));
	if (nodes == NULL || ranks == NULL)
		return NULL;
	for (size_t i = 0; i < d->def_count; i++)
		nodes[i] = (struct keep_node){ d->defs[i]->name, &d->defs[i]->keep };
	/* A cycle cannot be defined; one that is there all the same keeps nobody from starting. */
	if (keep_ranks(nodes, d->def_count, ranks, NULL) < 0)
		memset(ranks, 0, d->def_count * sizeof(*ranks));
	return due(d, ranks, wait_s);
}

/* An operation's argument. */
struct start {
	struct daemon *d;
	char name[64];
	const char *cause;
};

static int start_run(void *arg, struct operation *op, struct operation_done *done, struct err *e)
{
	const struct start *s = arg;
	const struct def_start_wish wish = { .op = op, .name = s->name, .cause = s->cause };
	int r = def_start(s->d, &wish, e);

	if (r == 0)
		r = vm_show(s->d, s->name, &done->reply, e);
	done->status = r == 0 ? 200 : 500;
	return r;
}

/* State locked, and given up meanwhile. */
static int start_begin(struct daemon *d, const struct vm_def *def, struct err *e)
{
	struct operation_plan plan = { .kind = "vm-start", .run = start_run, .free = free };
	struct start *s = calloc(1, sizeof(*s));
	json_t *op = NULL;
	int r;

	if (s == NULL)
		return err_set(e, ENOMEM, "no memory");
	plan.arg = s;
	plan.target = s->name;
	s->d = d;
	memcpy(s->name, def->name, sizeof(s->name));
	s->cause = def->restart_at != 0 ? "on_crash" : "autostart";
	state_unlock(d);
	r = operation_begin(d, &plan, &op, e);
	if (r < 0)
		free(s);
	json_decref(op);
	state_lock(d);
	return r;
}

/* Until its operation has claimed it, it is as if it had not been chosen. */
static void start_wait(struct daemon *d, const char *name)
{
	struct timespec deadline;
	const struct vm_def *def;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += RETRY_S;
	while (!d->is_ending && (def = def_find(d, name)) != NULL && is_pending(d, def))
		if (pthread_cond_timedwait(&d->changed, &d->state, &deadline) != 0)
			return;
}

static void wait_for(struct daemon *d, unsigned int seconds)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += seconds;
	pthread_cond_timedwait(&d->changed, &d->state, &deadline);
}

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	struct daemon *d = k->d;
	unsigned int wait_s;

	state_lock(d);
	while (!d->is_ending) {
		const struct vm_def *def = keeper_next(d, &wait_s);
		struct err e = { 0 };
		char name[64];

		if (def == NULL) {
			if (wait_s > 0)
				wait_for(d, wait_s);
			continue;
		}
		memcpy(name, def->name, sizeof(name));
		if (start_begin(d, def, &e) == 0)
			start_wait(d, name);
		else if (!d->is_ending)
			wait_for(d, RETRY_S);
	}
	state_unlock(d);
	return NULL;
}

/* State locked. The host was started since: what is to start with it is wanted, whatever became of it before. What only
 * could not start then is tried again; what crashed too often is not. */
static int boot_begin(struct daemon *d, struct err *e)
{
	int r = ledger_begin(d->ledger, e);

	for (size_t i = 0; r == 0 && i < d->def_count; i++) {
		struct vm_def *def = d->defs[i];

		def->is_wanted |= def->keep.is_autostart;
		if (strcmp(def->held, "vm-start-failed") == 0)
			def->held[0] = def->held_text[0] = '\0';
		def->restart_at = 0;
		r = def_save(d, def, e);
	}
	if (r == 0)
		r = ledger_keeper_put(d->ledger, d->boot_id, false, e);
	r = ledger_commit(d->ledger, r, e);
	if (r == 0)
		d->vms_are_held = false;
	return r;
}

static int boot_look(struct daemon *d, struct err *e)
{
	char boot_id[BOOT_ID_TEXT];
	bool is_held;
	int r;

	state_lock(d);
	r = ledger_keeper_get(d->ledger, boot_id, &is_held, e);
	if (r == 0 && strcmp(boot_id, d->boot_id) != 0)
		r = boot_begin(d, e);
	state_unlock(d);
	return r;
}

int keeper_create(struct daemon *d, struct keeper **out, struct err *e)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int r;

	if (k == NULL)
		return err_set(e, ENOMEM, "no memory");
	k->d = d;
	r = boot_look(d, e);
	/* Then they are started by hand; VMs that run are managed all the same. */
	if (r < 0)
		log_err(e, "autostart");
	*e = (struct err){ 0 };
	r = -pthread_create(&k->thread, NULL, keeper_main, k);
	if (r < 0) {
		free(k);
		return err_set(e, r, "the keeper: %s", strerror(-r));
	}
	*out = k;
	return 0;
}

void keeper_destroy(struct keeper *k)
{
	if (k == NULL)
		return;
	pthread_join(k->thread, NULL);
	free(k);
}

// SPDX-License-Identifier: BSD-3-Clause
/* What the starts and ends of VMs change of what is remembered of them: one transaction each. */
#include "vf-manager/vmdef.h"

#include "vf-manager/vmend.h"
#include "vf-manager/vmstart.h"

#include "base/fd.h"
#include "base/json.h"

#include <stdio.h>
#include <time.h>

/* Ends that were asked for and do not mean that the VM shall stay down. */
static const char *const passing[] = { "restart", "host-stop" };

static bool is_passing(const char *what)
{
	for (size_t i = 0; what != NULL && i < ARRAY_SIZE(passing); i++)
		if (strcmp(passing[i], what) == 0)
			return true;
	return false;
}

void def_owner_put(const struct vm_def *def, json_t *facts)
{
	if (def->owner.is_set)
		json_object_set_new(facts, "owner", vm_owner_json(&def->owner));
	else
		json_object_del(facts, "owner");
}

static void hold(struct vm_def *def, const char *alarm, const char *text)
{
	snprintf(def->held, sizeof(def->held), "%s", alarm);
	snprintf(def->held_text, sizeof(def->held_text), "%.380s", text);
	def->restart_at = 0;
}

/* The oldest makes room: what is remembered is more than any policy counts. */
static void crash_add(struct vm_def *def, int64_t now)
{
	if (def->crash_count == KEEP_CRASHES) {
		def->crash_count--;
		memmove(def->crashes, def->crashes + 1, def->crash_count * sizeof(def->crashes[0]));
	}
	def->crashes[def->crash_count++] = now;
}

static void crash_follow(struct vm_def *def, const char *why)
{
	struct crash_plan plan;
	char text[ALARM_TEXT];

	crash_add(def, time(NULL));
	crash_plan(&def->keep, def->crashes, def->crash_count, &plan);
	switch (plan.next) {
	case CRASH_STAYS:
		def->is_wanted = false;
		return;
	case CRASH_RESTARTS:
		def->restart_at = time(NULL) + plan.delay_s;
		log_warn(
			"VM %s crashed (%.200s): it is started again in %u s, crash %u of %u in %u s",
			def->name, why, plan.delay_s, plan.count, def->keep.max,
			def->keep.within_s);
		return;
	case CRASH_GIVES_UP:
		snprintf(text, sizeof(text),
			 "it crashed %u times within %u s and is not started again: %.200s",
			 plan.count, def->keep.within_s, why);
		hold(def, "vm-crash-loop", text);
	}
}

static void end_apply(struct vm_def *def, const char *reason, const char *text, const char *what)
{
	char why[300];

	if (is_passing(what) || !def->is_wanted || strcmp(reason, "host-restarted") == 0)
		return;
	if (what != NULL || !crash_is(reason)) {
		def->is_wanted = false;
		def->restart_at = 0;
		return;
	}
	snprintf(why, sizeof(why), "%.30s: %.250s", reason, text);
	crash_follow(def, why);
}

/* was: a start that viaductd's own end cut short is none of the guest's. */
static int ended(struct daemon *d, struct vm *vm, enum vm_state was, const json_t *any_asked,
		 struct err *e)
{
	const json_t *exit = json_object_get(vm->facts, "exit");
	const int64_t at = json_integer_value(json_object_get(exit, "wall_time"));
	const json_t *asked = vm_asked_at(any_asked, at);
	const char *who = json_string_value(json_object_get(asked, "who"));
	const char *what = json_string_value(json_object_get(asked, "what"));
	char reason[32] = "", text[512] = "";
	const struct history_row row = { .vm = vm->name,
					 .at = at,
					 .what = "ended",
					 .cause = reason,
					 .text = text,
					 .who = who != NULL ? who : "" };
	struct vm_def *def = def_find(d, vm->name);

	json_get_str_opt(exit, "reason", reason, sizeof(reason), NULL);
	json_get_str_opt(exit, "text", text, sizeof(text), NULL);
	if (def != NULL) {
		int r;

		if (was != VM_STARTING && !json_is_true(json_object_get(vm->facts, "start_failed")))
			end_apply(def, reason, text, what);
		def->ready_ns = 0;
		/* The next one's, if the file was replaced while it ran. */
		def_owner_put(def, vm->facts);
		r = def_save(d, def, e);
		if (r < 0)
			return r;
	}
	return ledger_history_add(d->ledger, &row, e);
}

/* Both or neither: a crash is counted once, also if viaductd is killed in between. */
static void vm_write(struct daemon *d, struct vm *vm, int r, struct err *e)
{
	if (r == 0)
		r = vm_save(d, vm, e);
	if (ledger_commit(d->ledger, r, e) < 0)
		log_err(e, vm->name);
}

void def_vm_ended(struct daemon *d, struct vm *vm, enum vm_state state, const json_t *asked)
{
	struct err e = { 0 };
	const enum vm_state was = vm->state;
	int r = ledger_begin(d->ledger, &e);

	json_object_del(vm->facts, "asked");
	vm_state_enter(d, vm, state);
	if (r == 0)
		r = ended(d, vm, was, asked, &e);
	else
		(void)ended(d, vm, was, asked, NULL);
	vm_write(d, vm, r, &e);
}

static void started_note(struct vm_def *def, const struct vm_start_wish *wish)
{
	def->is_wanted = true;
	def->held[0] = def->held_text[0] = '\0';
	def->restarts += def->restart_at != 0;
	def->restart_at = 0;
	def->ready_ns = def->retry_ns = 0;
	if (wish->is_manual)
		def->crash_count = def->restarts = 0;
}

int def_vm_started(struct daemon *d, struct vm *vm, const struct vm_start_wish *wish, struct err *e)
{
	const struct history_row row = { .vm = vm->name,
					 .at = time(NULL),
					 .what = "started",
					 .cause = wish->cause,
					 .text = "",
					 .who = wish->by };
	struct vm_def *def = wish->is_defined ? def_find(d, vm->name) : NULL;
	const enum vm_state before = vm->state;
	struct vm_def was = { 0 };
	int r = ledger_begin(d->ledger, e);

	vm->state = VM_RUNNING;
	if (def != NULL) {
		was = *def;
		started_note(def, wish);
	}
	if (r == 0 && def != NULL)
		r = def_save(d, def, e);
	if (r == 0)
		r = ledger_history_add(d->ledger, &row, e);
	if (r == 0)
		r = vm_save(d, vm, e);
	r = ledger_commit(d->ledger, r, e);
	vm->state = before;
	if (r == 0)
		vm_state_enter(d, vm, VM_RUNNING);
	else if (def != NULL)
		*def = was;
	return r;
}

void def_start_failed(struct daemon *d, struct vm_def *def, const struct def_failure *failure,
		      const struct err *why)
{
	const struct history_row row = { .vm = def->name,
					 .at = time(NULL),
					 .what = "start-failed",
					 .cause = failure->cause,
					 .text = why->text,
					 .who = failure->who };
	struct err e = { 0 };
	int r = ledger_begin(d->ledger, &e);

	if (failure->is_crash)
		crash_follow(def, why->text);
	else if (failure->is_held)
		hold(def, "vm-start-failed", why->text);
	def->ready_ns = 0;
	if (r == 0)
		r = def_save(d, def, &e);
	if (r == 0)
		r = ledger_history_add(d->ledger, &row, &e);
	if (ledger_commit(d->ledger, r, &e) < 0)
		log_err(&e, def->name);
	pthread_cond_broadcast(&d->changed);
}

int def_want(struct daemon *d, struct vm_def *def, bool is_wanted, struct err *e)
{
	const struct vm_def was = *def;
	int r;

	def->is_wanted = is_wanted;
	def->held[0] = def->held_text[0] = '\0';
	def->restart_at = 0;
	def->ready_ns = def->retry_ns = 0;
	if (is_wanted)
		def->is_cancelled = false;
	else
		def->crash_count = 0;
	r = def_save(d, def, e);
	if (r < 0)
		*def = was;
	pthread_cond_broadcast(&d->changed);
	return r;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmdefops.h"

#include "vf-manager/backend.h"
#include "vf-manager/disks.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/operations.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"
#include "vf-manager/vmaudit.h"
#include "vf-manager/vmend.h"
#include "vf-manager/vmfirmware.h"
#include "vf-manager/vmstart.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_NS 10000000000ULL /* until the user database is asked again */

static int def_make(const struct def_create_wish *wish, struct vm_def **out, struct err *e)
{
	struct vm_def *def = calloc(1, sizeof(*def));
	int r = 0;

	if (def == NULL)
		return err_set(e, ENOMEM, "no memory");
	snprintf(def->name, sizeof(def->name), "%s", wish->spec->name);
	snprintf(def->unsafe, sizeof(def->unsafe), "%s", wish->unsafe);
	def->yaml = strdup(wish->yaml);
	def->base_dir = strdup(wish->base_dir);
	def->who = *wish->who;
	def->who.pid = 0;
	def->owner = wish->owner;
	def->keep = wish->spec->keep;
	def->created_at = def->changed_at = time(NULL);
	if (def->yaml == NULL || def->base_dir == NULL)
		r = err_set(e, ENOMEM, "no memory");
	if (r == 0)
		r = caller_user(def->who.uid, def->user, sizeof(def->user), e);
	if (r < 0) {
		def_destroy(def);
		return r;
	}
	*out = def;
	return 0;
}

/* With these its files are opened. Root's do not depend on his groups. */
static bool has_rights_of(const struct vm_def *a, const struct vm_def *b)
{
	if (a->who.uid != b->who.uid || strcmp(a->user, b->user) != 0)
		return false;
	return a->who.uid == 0 ||
	       (a->who.gid == b->who.gid && a->who.group_count == b->who.group_count &&
		memcmp(a->who.groups, b->who.groups,
		       a->who.group_count * sizeof(a->who.groups[0])) == 0);
}

static bool is_same(const struct vm_def *a, const struct vm_def *b)
{
	return strcmp(a->yaml, b->yaml) == 0 && strcmp(a->base_dir, b->base_dir) == 0 &&
	       has_rights_of(a, b) && strcmp(a->unsafe, b->unsafe) == 0 &&
	       a->owner.is_set == b->owner.is_set && a->owner.uid == b->owner.uid;
}

/* State locked. What a new file leaves as it is. */
static int former_keep(struct daemon *d, struct vm_def *def, bool replace, struct err *e)
{
	const struct vm_def *old = def_find(d, def->name);
	const struct vm *vm = vm_find(d, def->name);

	if (old == NULL && vm != NULL && (vm_state_is_live(vm->state) || vm->pid != 0)) {
		err_set(e, EEXIST, "a transient VM %s exists and is %s", def->name,
			vm_state_text(vm->state));
		err_code(e, "vm-exists");
		return err_hint(e, "viaduct vm stop %s", def->name);
	}
	if (old == NULL)
		return 0;
	if (!replace) {
		err_set(e, EEXIST, "the VM %s is defined already, by another file or another user",
			def->name);
		err_code(e, "vm-defined");
		return err_hint(e, "viaduct vm create FILE --replace   puts this one in its place");
	}
	def->created_at = old->created_at;
	def->is_wanted = old->is_wanted;
	def->restart_at = old->restart_at;
	def->restarts = old->restarts;
	def->crash_count = old->crash_count;
	memcpy(def->crashes, old->crashes, sizeof(def->crashes));
	memcpy(def->held, old->held, sizeof(def->held));
	memcpy(def->held_text, old->held_text, sizeof(def->held_text));
	return 0;
}

/* State locked. The VM beside the definition: it has never run, or has ended. */
static int vm_beside(struct daemon *d, const char *name, struct err *e)
{
	struct vm *vm = vm_find(d, name);
	int r;

	if (vm != NULL)
		return 0;
	r = vm_create(name, &vm, e);
	if (r < 0)
		return r;
	vm->state = VM_STOPPED;
	memcpy(vm->boot_id, d->boot_id, sizeof(vm->boot_id));
	r = vm_add(d, vm, NULL, e);
	if (r < 0)
		vm_destroy(vm);
	return r;
}

static bool vm_is_live(struct daemon *d, const char *name)
{
	const struct vm *vm = vm_find(d, name);

	return vm != NULL && (vm_state_is_live(vm->state) || vm->pid != 0);
}

/* State locked. The definition and the VM beside it, in the ledger and in memory both or neither. */
static int create_write(struct daemon *d, struct vm_def *def, struct err *e)
{
	struct vm *vm = vm_find(d, def->name);
	json_t *was = vm->facts;
	int r;

	vm->facts = json_copy(was);
	r = vm->facts != NULL ? ledger_begin(d->ledger, e) : err_set(e, ENOMEM, "no memory");
	/* One that runs stays whose it is until it ends. */
	if (!vm_is_live(d, def->name))
		def_owner_put(def, vm->facts);
	if (r == 0)
		r = def_save(d, def, e);
	if (r == 0)
		r = vm_save(d, vm, e);
	r = ledger_commit(d->ledger, r, e);
	if (r < 0) {
		json_decref(vm->facts);
		vm->facts = was;
		return r;
	}
	json_decref(was);
	return def_put(d, def, e);
}

/* State locked. def is taken over if that works out. */
static int create(struct daemon *d, struct vm_def *def, bool replace, struct err *e)
{
	const struct vm_def *old = def_find(d, def->name);
	bool had_vm = vm_find(d, def->name) != NULL;
	int r;

	if (old != NULL && is_same(old, def)) {
		def_destroy(def);
		return 0;
	}
	r = former_keep(d, def, replace, e);
	if (r == 0)
		r = def_check(d, def, e);
	if (r == 0)
		r = vm_beside(d, def->name, e);
	if (r < 0)
		return r;
	r = create_write(d, def, e);
	if (r < 0 && !had_vm)
		vm_remove(d, def->name);
	return r;
}

int def_create(struct daemon *d, const struct def_create_wish *wish, struct err *e)
{
	struct vm_def *def = NULL;
	int r = def_make(wish, &def, e);

	if (r < 0)
		return r;
	op_lock(d);
	state_lock(d);
	r = create(d, def, wish->replace, e);
	if (r < 0)
		def_destroy(def);
	pthread_cond_broadcast(&d->changed);
	state_unlock(d);
	op_unlock(d);
	return r;
}

/* A number may have become somebody else's. */
static int creator_check(const struct vm_def *def, struct err *e)
{
	char user[sizeof(def->user)];
	int r;

	if (def->who.uid == 0 || def->user[0] == '\0')
		return 0;
	r = caller_user(def->who.uid, user, sizeof(user), e);
	if (r < 0 || strcmp(def->user, user) == 0)
		return r;
	err_set(e, EPERM,
		"the VM %s was defined by the user %s (uid %u), who is not there any more: its files are opened with his rights",
		def->name, def->user, def->who.uid);
	err_code(e, "creator-gone");
	return err_hint(e, "viaduct vm create FILE --replace   defines it anew, as yourself");
}

/* Copies, because the definition may be replaced meanwhile. */
struct start {
	struct vm_def def;
	struct vm_spec spec;
	struct vm_files files;
	struct vm_unsafe unsafe;
	char by[96];
};

static int start_run(struct daemon *d, struct start *s, const struct def_start_wish *w,
		     struct err *e)
{
	const struct vm_text text = { .yaml = s->def.yaml, .base_dir = s->def.base_dir };
	auto_json json_t *warnings = json_array();
	const struct vm_notes notes = { .warnings = warnings };
	const struct vm_start_wish wish = { .op = w->op,
					    .who = &s->def.who,
					    .spec = &s->spec,
					    .yaml = s->def.yaml,
					    .files = &s->files,
					    .owner = s->def.owner,
					    .unsafe = &s->unsafe,
					    .asked_ns = now_ns(),
					    .cause = w->cause,
					    .by = s->by,
					    .is_defined = true,
					    .is_manual = w->is_manual };
	int r = creator_check(&s->def, e);

	operation_step(w->op, "its file is read, the host is checked");
	if (r == 0)
		r = vm_spec_parse(&text, &s->spec, warnings, e);
	if (r == 0)
		r = vm_files_open(d, &s->def.who, &s->spec, &s->files, e);
	if (r == 0)
		r = vm_host_check(d, &s->spec, &notes, &s->unsafe, e);
	if (r == 0)
		r = vm_start(d, &wish, e);
	vm_files_close(&s->files);
	if (r == 0)
		vm_audit_after_start(d, s->def.name);
	return r;
}

/* State locked. */
static struct start *start_copy(const struct vm_def *def, const struct def_start_wish *w)
{
	struct start *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->def = *def;
	s->def.yaml = strdup(def->yaml);
	s->def.base_dir = strdup(def->base_dir);
	s->files = (struct vm_files)VM_FILES_NONE;
	memcpy(s->unsafe.reason, def->unsafe, sizeof(s->unsafe.reason));
	if (w->is_manual)
		vm_who_text(w->uid, s->by, sizeof(s->by));
	return s;
}

static void start_free(struct start *s)
{
	if (s == NULL)
		return;
	free(s->def.yaml);
	free(s->def.base_dir);
	free(s);
}

/* What says nothing of the VM or its file: nothing is remembered, and the wish stays as it is. */
static bool is_too_early(const struct err *e)
{
	static const char *const codes[] = { "host-stopping", "start-cancelled", "user-lookup" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strcmp(codes[i], e->code) == 0)
			return true;
	return false;
}

/* State locked. It is live, and will not be again. */
static int stuck_check(struct daemon *d, const char *name, struct err *e)
{
	const struct vm *vm = vm_find(d, name);

	if (vm == NULL || !vm_is_killed(vm))
		return 0;
	err_set(e, EBUSY, "the VM %s: its process %d of before was killed and does not end", name,
		(int)vm->pid);
	err_code(e, "vmm-stuck");
	return err_hint(e, "cat /proc/%d/stack   and dmesg   say what the kernel waits for",
			(int)vm->pid);
}

/* It is claimed. is_held: a failure is an alarm. */
static int start_claimed(struct daemon *d, struct vm_def *def, const struct def_start_wish *w,
			 bool is_held, struct err *e)
{
	struct start *s = NULL;
	bool is_crash;
	int r = 0;

	state_lock(d);
	is_crash = !w->is_manual && def->restart_at != 0;
	r = def_cancel_check(def, e);
	if (r == 0)
		r = stuck_check(d, def->name, e);
	if (r == 0 && vm_is_live(d, def->name))
		r = w->is_manual ? def_want(d, def, true, e) : 0;
	else if (r == 0)
		s = start_copy(def, w);
	state_unlock(d);
	if (s == NULL)
		return r;
	r = start_run(d, s, w, e);
	if (r < 0 && is_too_early(e)) {
		state_lock(d);
		if (strcmp(e->code, "user-lookup") == 0)
			def->retry_ns = now_ns() + RETRY_NS;
		state_unlock(d);
	} else if (r < 0 && !daemon_is_ending(d)) {
		const struct def_failure failure = {
			.cause = w->cause, .who = s->by, .is_held = is_held, .is_crash = is_crash
		};

		state_lock(d);
		def_start_failed(d, def, &failure, e);
		state_unlock(d);
	}
	start_free(s);
	return r;
}

int def_start(struct daemon *d, const struct def_start_wish *w, struct err *e)
{
	struct vm_def *def;
	bool is_wanted;
	int r;

	state_lock(d);
	r = def_claim(d, w->name, &def, e);
	/* What was decided a moment ago may not be wanted any more. */
	is_wanted = r == 0 && (w->is_manual || (def->is_wanted && def->held[0] == '\0'));
	state_unlock(d);
	if (r < 0)
		return r;
	if (is_wanted)
		r = start_claimed(d, def, w, !w->is_manual, e);
	state_lock(d);
	def_release(d, def);
	state_unlock(d);
	return r;
}

int def_restart(struct daemon *d, const char *name, const struct vm_stop_wish *wish, struct err *e)
{
	const struct def_start_wish start = { .op = wish->op,
					      .name = name,
					      .cause = "vm restart",
					      .uid = wish->uid,
					      .is_manual = true };
	struct vm_stop_wish stop = *wish;
	struct vm_def *def;
	bool is_live = false;
	int r;

	stop.what = "restart";
	state_lock(d);
	r = def_claim(d, name, &def, e);
	if (r == 0) {
		is_live = vm_is_live(d, name);
		/* In the ledger before it goes down: after a crash of ours it comes up again. */
		r = def_want(d, def, true, e);
		if (r < 0)
			def_release(d, def);
	}
	state_unlock(d);
	if (r < 0)
		return r;
	if (is_live)
		r = vm_stop(d, name, &stop, e);
	if (r == 0)
		r = start_claimed(d, def, &start, true, e);
	state_lock(d);
	def_release(d, def);
	state_unlock(d);
	return r;
}

/* 1: it does not run, and nothing is left to do; 0: go on. */
static int unwant(struct daemon *d, const char *name, struct err *e)
{
	struct vm_def *def;
	int r = 0;

	state_lock(d);
	def = def_find(d, name);
	if (def != NULL) {
		r = def->is_wanted || def->held[0] != '\0' ? def_want(d, def, false, e) : 0;
		if (r == 0) {
			/* A start that has not begun its process looks at this before it does. */
			def->is_cancelled = def->is_busy;
			r = !vm_is_live(d, name);
		}
	}
	state_unlock(d);
	return r;
}

int def_stop(struct daemon *d, const char *name, const struct vm_stop_wish *wish, struct err *e)
{
	struct err unseen = { 0 };
	struct vm_def *def;
	int r = unwant(d, name, e);

	if (r != 0)
		return r < 0 ? r : 0;
	r = vm_stop(d, name, wish, e);
	if (r == 0 || (wish->kill && r != -ECANCELED))
		return r;
	/* It goes on, so it shall; also if nobody is left to wait for its end. */
	state_lock(d);
	def = def_find(d, name);
	if (def != NULL && vm_is_live(d, name))
		(void)def_want(d, def, true, &unseen);
	state_unlock(d);
	return r;
}

int def_kill(struct daemon *d, const char *name, uid_t uid, struct err *e)
{
	int r = unwant(d, name, e);

	if (r != 0)
		return r < 0 ? r : 0;
	return vm_kill(d, name, uid, e);
}

/* State locked. */
static int delete_check(struct daemon *d, const char *name, bool force, struct err *e)
{
	const char *other = def_needed_by(d, name);
	struct vm *vm;
	int r = vm_get(d, name, &vm, e);

	if (r < 0 || force)
		return r;
	if (vm_is_live(d, name)) {
		err_set(e, EBUSY, "the VM %s is %s", name, vm_state_text(vm->state));
		err_code(e, "vm-state");
		return err_hint(e, "viaduct vm stop %s   or: viaduct vm delete %s --force", name,
				name);
	}
	if (other != NULL && def_find(d, name) != NULL) {
		err_set(e, EBUSY, "the VM %s waits for %s at its start", other, name);
		err_code(e, "vm-needed");
		return err_hint(e, "take it out of autostart.after of %s, or add --force", other);
	}
	return 0;
}

/* Op and state locked. In the ledger all of it or nothing. */
static int delete_rows(struct daemon *d, const char *name, struct err *e)
{
	int r = ledger_begin(d->ledger, e);

	if (r == 0)
		r = ledger_def_del(d->ledger, name, e);
	if (r == 0)
		r = ledger_history_del(d->ledger, name, e);
	if (r == 0)
		r = ledger_vm_del(d->ledger, name, e);
	r = ledger_commit(d->ledger, r, e);
	if (r < 0)
		return r;
	vm_remove(d, name);
	def_remove(d, name);
	return 0;
}

/* State locked. It is as it was when the delete was checked; def: what is claimed, NULL: it was not defined. */
static int delete_recheck(struct daemon *d, const char *name, const struct vm_def *def,
			  struct err *e)
{
	if (vm_is_live(d, name)) {
		err_set(e, EBUSY, "the VM %s has just been started", name);
		return err_code(e, "vm-state");
	}
	if (def_find(d, name) == def)
		return 0;
	err_set(e, EBUSY, "the VM %s has just been defined", name);
	err_code(e, "vm-busy");
	return err_hint(e, "viaduct vm show %s   says by whom", name);
}

/* Repeated after a crash it does what is left to do: the rows, which name the rest, go last. */
static int delete_all(struct daemon *d, const char *name, const struct vm_def *def, struct err *e)
{
	int r;

	/* With it nothing is defined, and no process begins. */
	op_lock(d);
	state_lock(d);
	r = delete_recheck(d, name, def, e);
	state_unlock(d);
	if (r == 0) {
		backend_ports_remove_vm(d, name);
		disks_remove_vm(d, name);
		pool_release_vm(d, name);
		fnpool_release_vm(d, name);
		priv_vm_cgroup_remove(d, name);
		priv_vm_files_remove(d, name, false);
		priv_vm_files_drop_kept(d, name);
		priv_vm_vars_remove(d, name);
		state_lock(d);
		r = delete_rows(d, name, e);
		state_unlock(d);
		if (r == 0)
			disks_forget_vm(d, name);
	}
	op_unlock(d);
	return r;
}

int def_delete(struct daemon *d, const char *name, const struct def_delete_wish *wish,
	       struct err *e)
{
	struct vm_def *def = NULL;
	bool is_live = false;
	int r;

	state_lock(d);
	r = delete_check(d, name, wish->force, e);
	if (r == 0 && def_find(d, name) != NULL)
		r = def_claim(d, name, &def, e);
	if (r == 0)
		is_live = vm_is_live(d, name);
	state_unlock(d);
	/* What its firmware has stored may be left of it. */
	if (r == -ENOENT)
		return vm_delete(d, name, e);
	/* It shall not run any more, whatever comes in between. */
	if (r == 0 && is_live)
		r = def_kill(d, name, wish->uid, e);
	if (r == 0)
		r = delete_all(d, name, def, e);
	if (r == 0 || def == NULL)
		return r;
	state_lock(d);
	def_release(d, def);
	state_unlock(d);
	return r;
}

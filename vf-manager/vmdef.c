// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmdef.h"

#include "vf-manager/vmend.h"
#include "vf-manager/vmstart.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void def_destroy(struct vm_def *def)
{
	if (def == NULL)
		return;
	free(def->yaml);
	free(def->base_dir);
	free(def);
}

static size_t def_place(const struct daemon *d, const char *name, bool *is_there)
{
	size_t lo = 0, hi = d->def_count;

	*is_there = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(d->defs[mid]->name, name);

		if (c == 0) {
			*is_there = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct vm_def *def_find(const struct daemon *d, const char *name)
{
	bool is_there;
	size_t i = def_place(d, name, &is_there);

	return is_there ? d->defs[i] : NULL;
}

int def_claim(struct daemon *d, const char *name, struct vm_def **out, struct err *e)
{
	struct vm_def *def = def_find(d, name);
	struct vm *vm;
	int r = vm_get(d, name, &vm, e);

	if (r < 0)
		return r;
	if (def == NULL) {
		err_set(e, EBUSY,
			"the VM %s is transient: it was made by `vm run`, and viaduct keeps no file of it",
			vm->name);
		err_code(e, "vm-transient");
		return err_hint(e, "viaduct vm run FILE   or, to keep it: viaduct vm create FILE");
	}
	if (def->is_busy) {
		err_set(e, EBUSY, "the VM %s is just being started, restarted or deleted",
			def->name);
		err_code(e, "vm-busy");
		return err_hint(e, "viaduct operation list   says by whom");
	}
	def->is_busy = true;
	def->is_cancelled = false;
	*out = def;
	return 0;
}

int def_cancel_check(const struct vm_def *def, struct err *e)
{
	if (!def->is_cancelled)
		return 0;
	err_set(e, ECANCELED,
		"the VM %s was stopped, killed or deleted while it was about to start", def->name);
	err_code(e, "start-cancelled");
	return err_hint(e, "viaduct vm start %s   starts it all the same", def->name);
}

void def_release(struct daemon *d, struct vm_def *def)
{
	def->is_busy = false;
	pthread_cond_broadcast(&d->changed);
}

static json_t *numbers_json(const json_int_t *list, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_integer(list[i]));
	return array;
}

static json_t *facts_json(const struct vm_def *def)
{
	json_int_t groups[CALLER_GROUPS], crashes[KEEP_CRASHES];

	for (unsigned int i = 0; i < def->who.group_count; i++)
		groups[i] = def->who.groups[i];
	for (unsigned int i = 0; i < def->crash_count; i++)
		crashes[i] = def->crashes[i];
	return json_pack("{s:s, s:I, s:I, s:o, s:s, s:o*, s:s, s:I, s:I, s:o, s:I, s:I, s:s, s:s}",
			 "base_dir", def->base_dir, "uid", (json_int_t)def->who.uid, "gid",
			 (json_int_t)def->who.gid, "groups",
			 numbers_json(groups, def->who.group_count), "user", def->user, "owner",
			 vm_owner_json(&def->owner), "unsafe", def->unsafe, "created_at",
			 (json_int_t)def->created_at, "changed_at", (json_int_t)def->changed_at,
			 "crashes", numbers_json(crashes, def->crash_count), "restarts",
			 (json_int_t)def->restarts, "restart_at", (json_int_t)def->restart_at,
			 "held", def->held, "held_text", def->held_text);
}

int def_save(struct daemon *d, const struct vm_def *def, struct err *e)
{
	auto_json json_t *facts = facts_json(def);
	struct def_row row = { .is_wanted = def->is_wanted, .yaml = def->yaml, .facts = facts };

	snprintf(row.name, sizeof(row.name), "%s", def->name);
	return ledger_def_put(d->ledger, &row, e);
}

static void owner_load(const json_t *owner, struct vm_owner *out)
{
	uint64_t uid;

	if (json_get_u64(owner, "uid", UINT32_MAX - 1, &uid, NULL) < 0)
		return;
	out->is_set = true;
	out->uid = (uid_t)uid;
	json_get_str_opt(owner, "name", out->name, sizeof(out->name), NULL);
}

static uint64_t number_load(const json_t *facts, const char *key, uint64_t max)
{
	uint64_t n = 0;

	json_get_u64_opt(facts, key, max, &n, NULL);
	return n;
}

static void facts_load(const json_t *facts, struct vm_def *def)
{
	const json_t *groups = json_object_get(facts, "groups"), *one;
	const json_t *crashes = json_object_get(facts, "crashes");
	uint64_t uid, gid;
	size_t i;

	/* Nobody's, rather than root's, where it does not say whose, or nonsense. */
	def->who.uid = (uid_t)-2;
	def->who.gid = (gid_t)-2;
	if (json_get_u64(facts, "uid", UINT32_MAX - 1, &uid, NULL) == 0 &&
	    json_get_u64(facts, "gid", UINT32_MAX - 1, &gid, NULL) == 0) {
		def->who.uid = (uid_t)uid;
		def->who.gid = (gid_t)gid;
	}
	json_array_foreach((json_t *)groups, i, one)
		if (def->who.group_count < CALLER_GROUPS)
			def->who.groups[def->who.group_count++] = (gid_t)json_integer_value(one);
	json_array_foreach((json_t *)crashes, i, one)
		if (def->crash_count < KEEP_CRASHES)
			def->crashes[def->crash_count++] = json_integer_value(one);
	json_get_str_opt(facts, "user", def->user, sizeof(def->user), NULL);
	json_get_str_opt(facts, "unsafe", def->unsafe, sizeof(def->unsafe), NULL);
	json_get_str_opt(facts, "held", def->held, sizeof(def->held), NULL);
	json_get_str_opt(facts, "held_text", def->held_text, sizeof(def->held_text), NULL);
	owner_load(json_object_get(facts, "owner"), &def->owner);
	def->created_at = (int64_t)number_load(facts, "created_at", INT64_MAX);
	def->changed_at = (int64_t)number_load(facts, "changed_at", INT64_MAX);
	def->restart_at = (int64_t)number_load(facts, "restart_at", INT64_MAX);
	def->restarts = (unsigned int)number_load(facts, "restarts", UINT32_MAX);
}

/* A file that this viaduct does not take any more is said when it starts. */
static void keep_load(struct vm_def *def)
{
	const struct vm_text text = { .yaml = def->yaml, .base_dir = def->base_dir };
	struct vm_spec *spec = malloc(sizeof(*spec));
	auto_json json_t *warnings = json_array();
	struct err e = { 0 };

	def->keep = (struct vm_keep){ .order = KEEP_ORDER, .stop_s = KEEP_STOP_S };
	if (spec != NULL && vm_spec_parse(&text, spec, warnings, &e) == 0)
		def->keep = spec->keep;
	else if (spec != NULL)
		log_err(&e, def->name);
	free(spec);
}

static int def_insert(struct daemon *d, struct vm_def *def)
{
	bool is_there;
	size_t i = def_place(d, def->name, &is_there);

	if (is_there || d->def_count == DAEMON_VMS)
		return -ENOSPC;
	memmove(&d->defs[i + 1], &d->defs[i], (d->def_count - i) * sizeof(d->defs[0]));
	d->defs[i] = def;
	d->def_count++;
	return 0;
}

static void def_load(void *arg, struct def_row *row)
{
	struct daemon *d = arg;
	struct vm_def *def = calloc(1, sizeof(*def));
	const char *base_dir = json_string_value(json_object_get(row->facts, "base_dir"));

	if (def == NULL)
		return;
	memcpy(def->name, row->name, sizeof(def->name));
	def->is_wanted = row->is_wanted;
	def->yaml = ptr_take(&row->yaml);
	def->base_dir = strdup(base_dir != NULL ? base_dir : "");
	facts_load(row->facts, def);
	if (def->yaml == NULL || def->base_dir == NULL || def_insert(d, def) < 0) {
		def_destroy(def);
		return;
	}
	keep_load(def);
}

int defs_load(struct daemon *d, struct err *e)
{
	char boot_id[BOOT_ID_TEXT];
	int r = ledger_def_each(d->ledger, def_load, d, e);

	return r < 0 ? r : ledger_keeper_get(d->ledger, boot_id, &d->vms_are_held, e);
}

void def_remove(struct daemon *d, const char *name)
{
	bool is_there;
	size_t i = def_place(d, name, &is_there);

	if (!is_there)
		return;
	def_destroy(d->defs[i]);
	d->def_count--;
	memmove(&d->defs[i], &d->defs[i + 1], (d->def_count - i) * sizeof(d->defs[0]));
	pthread_cond_broadcast(&d->changed);
}

/* As it would be with `def` among them. */
static int ranks_check(const struct daemon *d, const struct vm_def *def, struct err *e)
{
	auto_free struct keep_node *nodes = calloc(DAEMON_VMS + 1, sizeof(*nodes));
	auto_free unsigned int *ranks = calloc(DAEMON_VMS + 1, sizeof(*ranks));
	bool is_there;
	size_t at = def_place(d, def->name, &is_there), count = 0;

	if (nodes == NULL || ranks == NULL)
		return err_set(e, ENOMEM, "no memory");
	for (size_t i = 0; i <= d->def_count; i++) {
		if (i == at)
			nodes[count++] = (struct keep_node){ def->name, &def->keep };
		if (i < d->def_count && !(is_there && i == at))
			nodes[count++] = (struct keep_node){ d->defs[i]->name, &d->defs[i]->keep };
	}
	return keep_ranks(nodes, count, ranks, e);
}

int def_check(struct daemon *d, const struct vm_def *def, struct err *e)
{
	for (unsigned int i = 0; i < def->keep.after_count; i++)
		if (def_find(d, def->keep.after[i]) == NULL) {
			err_set(e, EINVAL, "autostart.after: no VM '%s' is defined",
				def->keep.after[i]);
			err_code(e, "autostart-unknown");
			return err_hint(e, "viaduct vm create FILE   defines that one first");
		}
	if (def_find(d, def->name) == NULL && d->def_count == DAEMON_VMS)
		return err_set(e, ENOSPC, "%d VMs are defined already", DAEMON_VMS);
	return ranks_check(d, def, e);
}

int def_put(struct daemon *d, struct vm_def *def, struct err *e)
{
	struct vm_def *old = def_find(d, def->name);

	if (old == NULL) {
		int r = def_insert(d, def);

		return r < 0 ? err_set(e, ENOSPC, "%d VMs are defined already", DAEMON_VMS) : 0;
	}
	/* In its place: whoever has claimed it goes on having it. */
	def->is_busy = old->is_busy;
	def->is_cancelled = old->is_cancelled;
	free(old->yaml);
	free(old->base_dir);
	*old = *def;
	free(def);
	return 0;
}

const char *def_needed_by(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->def_count; i++)
		for (unsigned int k = 0; k < d->defs[i]->keep.after_count; k++)
			if (strcmp(d->defs[i]->keep.after[k], name) == 0)
				return d->defs[i]->name;
	return NULL;
}

static void held_json(const struct vm_def *def, json_t *to)
{
	if (def->held[0] == '\0')
		json_object_set_new(to, "held", json_null());
	else
		json_object_set_new(to, "held",
				    json_pack("{s:s, s:s}", "code", def->held, "text",
					      def->held_text));
}

json_t *def_json(const struct daemon *d, const struct vm *vm)
{
	const struct vm_def *def = def_find(d, vm->name);
	bool is_live = vm_state_is_live(vm->state) || vm->pid != 0;
	json_t *j;

	if (def == NULL)
		return json_null();
	j = vm_keep_json(&def->keep);
	json_object_set_new(j, "wanted", json_boolean(def->is_wanted));
	json_object_set_new(j, "created_at", json_integer(def->created_at));
	json_object_set_new(j, "changed_at", json_integer(def->changed_at));
	json_object_set_new(j, "by",
			    json_pack("{s:I, s:s?}", "uid", (json_int_t)def->who.uid, "name",
				      def->user[0] != '\0' ? def->user : NULL));
	json_object_set_new(j, "differs",
			    json_boolean(is_live && vm->yaml != NULL &&
					 strcmp(vm->yaml, def->yaml) != 0));
	json_object_set_new(j, "crashes", json_integer(def->crash_count));
	json_object_set_new(j, "restarts", json_integer(def->restarts));
	json_object_set_new(j, "restart_at",
			    def->restart_at != 0 ? json_integer(def->restart_at) : json_null());
	held_json(def, j);
	return j;
}

static void end_append(void *arg, const struct history_row *row)
{
	json_array_append_new(arg,
			      json_pack("{s:I, s:s, s:s, s:s, s:s?}", "at", (json_int_t)row->at,
					"what", row->what, "cause", row->cause, "text", row->text,
					"who", row->who[0] != '\0' ? row->who : NULL));
}

json_t *def_ends_json(const struct daemon *d, const char *name, unsigned int limit)
{
	json_t *list = json_array();
	const struct history_walk walk = {
		.vm = name, .limit = limit, .fn = end_append, .arg = list
	};

	if (ledger_history_each(d->ledger, &walk, NULL) < 0)
		json_array_clear(list);
	return list;
}

// SPDX-License-Identifier: BSD-3-Clause
/* The daemon is killed at every step of what changes a VM that is defined: all of it happened, or nothing. */
#include "tests/fake/crash_sweep.h"

#include "vf-manager/vmdefops.h"
#include "vf-manager/vmstart.h"

#include "base/fd.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define YAML                                                                                   \
	"name: fw1\nmemory: {size: 64M}\nboot: {kernel: /k}\non_crash: {backoff: 1, max: 2}\n" \
	"autostart: {order: 5}\n"

/* It has none of these. */
void __wrap_pool_release_vm(struct daemon *d, const char *vm);
void __wrap_fnpool_release_vm(struct daemon *d, const char *vm);
void __wrap_backend_ports_remove_vm(struct daemon *d, const char *vm);

void __wrap_pool_release_vm(struct daemon *d, const char *vm)
{
}

void __wrap_fnpool_release_vm(struct daemon *d, const char *vm)
{
}

void __wrap_backend_ports_remove_vm(struct daemon *d, const char *vm)
{
}

static char dir[] = "/tmp/viaduct-def-XXXXXX";
static struct options opt = { .run_dir = dir, .state_dir = dir };

static void must(int r, const struct err *e)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", crash_where(), e->text);
		abort();
	}
}

static void vm_load(void *arg, struct vm_row *row)
{
	struct daemon *d = arg;
	struct vm *vm = NULL;
	struct err e = { 0 };

	must(vm_create(row->name, &vm, &e), &e);
	must(vm_state_parse(row->state, &vm->state), &e);
	vm->pid = row->pid;
	vm->yaml = ptr_take(&row->yaml);
	json_decref(vm->facts);
	vm->facts = ptr_take(&row->facts);
	must(vm_add(d, vm, NULL, &e), &e);
}

static struct daemon *up(void)
{
	struct daemon *d = calloc(1, sizeof(*d));
	struct err e = { 0 };

	assert_non_null(d);
	d->opt = &opt;
	pthread_mutex_init(&d->op, NULL);
	pthread_mutex_init(&d->state, NULL);
	pthread_cond_init(&d->changed, NULL);
	must(ledger_open(&d->ledger, dir, "boot", &e), &e);
	must(defs_load(d, &e), &e);
	must(ledger_vm_each(d->ledger, vm_load, d, &e), &e);
	return d;
}

static void down(struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++)
		vm_destroy(d->vms[i]);
	for (size_t i = 0; i < d->def_count; i++)
		def_destroy(d->defs[i]);
	ledger_close(d->ledger);
	free(d);
}

/* The operations. */

static void create(struct daemon *d)
{
	const struct vm_text text = { .yaml = YAML, .base_dir = "/" };
	struct vm_spec *spec = calloc(1, sizeof(*spec));
	const struct caller who = { .uid = 7, .gid = 8, .groups = { 9, 10 }, .group_count = 2 };
	const struct def_create_wish wish = {
		.who = &who, .spec = spec, .yaml = YAML, .base_dir = "/", .unsafe = ""
	};
	auto_json json_t *warnings = json_array();
	struct err e = { 0 };

	assert_non_null(spec);
	must(vm_spec_parse(&text, spec, warnings, &e), &e);
	must(def_create(d, &wish, &e), &e);
	free(spec);
}

static void start(struct daemon *d)
{
	const struct vm_start_wish wish = {
		.cause = "vm start", .by = "root", .is_defined = true, .is_manual = true
	};
	struct vm *vm = vm_find(d, "fw1");
	struct err e = { 0 };

	vm->pid = 77;
	must(def_vm_started(d, vm, &wish, &e), &e);
}

/* As the watcher does, and after a crash of the daemon whoever looks at what the ledger says. */
static void crash(struct daemon *d)
{
	struct vm *vm = vm_find(d, "fw1");

	json_object_set_new(vm->facts, "exit",
			    json_pack("{s:s, s:s, s:i}", "reason", "signal", "text", "killed",
				      "wall_time", 1000));
	vm->pid = 0;
	def_vm_ended(d, vm, VM_FAILED, NULL);
}

static void drop(struct daemon *d)
{
	const struct def_delete_wish wish = { 0 };
	struct err e = { 0 };

	must(def_delete(d, "fw1", &wish, &e), &e);
}

/* What must hold. */

static size_t rows(struct daemon *d)
{
	auto_json json_t *ends = def_ends_json(d, "fw1", HISTORY_KEPT);

	return json_array_size(ends);
}

static void both_or_neither(struct daemon *d)
{
	const struct vm_def *def = def_find(d, "fw1");

	assert_int_equal(d->def_count, d->vm_count);
	if (def == NULL)
		return;
	assert_string_equal(def->yaml, YAML);
	assert_int_equal(def->who.uid, 7);
	assert_int_equal(def->who.groups[1], 10);
	assert_int_equal(def->keep.max, 2);
	assert_true(def->keep.is_autostart);
	assert_false(def->is_wanted);
	assert_int_equal(vm_find(d, "fw1")->state, VM_STOPPED);
}

static void runs_and_is_wanted(struct daemon *d)
{
	const struct vm *vm = vm_find(d, "fw1");
	const struct vm_def *def = def_find(d, "fw1");

	assert_true(def->is_wanted == (vm->state == VM_RUNNING));
	assert_int_equal(rows(d), def->is_wanted);
}

static void the_crash_counts_once(struct daemon *d)
{
	const struct vm_def *def = def_find(d, "fw1");

	if (vm_find(d, "fw1")->pid != 0)
		crash(d);
	assert_int_equal(def->crash_count, 1);
	assert_true(def->is_wanted && def->restart_at != 0);
	assert_int_equal(rows(d), 2);
}

static void whole_or_gone(struct daemon *d)
{
	assert_int_equal(d->def_count, d->vm_count);
	if (d->def_count > 0)
		drop(d);
	assert_int_equal(d->def_count + d->vm_count, 0);
	assert_int_equal(rows(d), 0);
}

struct storm {
	const char *name;
	void (*before[3])(struct daemon *d);
	void (*op)(struct daemon *d);
	void (*check)(struct daemon *d);
};

static void files_remove(void)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm",
					     "state.lock" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
}

static void prepare(void *arg)
{
	const struct storm *s = arg;
	struct daemon *d;

	files_remove();
	d = up();
	for (size_t i = 0; i < ARRAY_SIZE(s->before) && s->before[i] != NULL; i++)
		s->before[i](d);
	down(d);
}

static void run(void *arg)
{
	const struct storm *s = arg;
	struct daemon *d = up();

	crash_arm();
	s->op(d);
	down(d);
}

static void check(void *arg)
{
	const struct storm *s = arg;
	struct daemon *d = up();

	s->check(d);
	down(d);
}

static const struct storm storms[] = {
	{ "create", { NULL }, create, both_or_neither },
	{ "start", { create }, start, runs_and_is_wanted },
	{ "crash", { create, start }, crash, the_crash_counts_once },
	{ "delete", { create, start, crash }, drop, whole_or_gone },
};

static void nothing_is_half_done(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(storms); i++) {
		struct storm storm = storms[i];
		const struct crash_sweep sweep = { .name = storm.name,
						   .prepare = prepare,
						   .run = run,
						   .check = check,
						   .arg = &storm };

		assert_true(crash_sweep(&sweep) > 5);
	}
	files_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_half_done) };
	int r;

	log_init("test", LOG_LEVEL_ERROR);
	if (mkdtemp(dir) == NULL)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return r;
}

// SPDX-License-Identifier: BSD-3-Clause
/* VMs that are defined, while others work on them, too: what one waits for is the moment in which another does all of its
 * own. And the user database, which may say nothing. */
#include "vf-manager/keeper.h"
#include "vf-manager/vmdefops.h"
#include "vf-manager/vmend.h"
#include "vf-manager/vmstart.h"

#include "base/fd.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define YAML \
	"name: fw1\nmemory: {size: 64M}\nboot: {kernel: %s/kernel}\non_crash: {backoff: 1, max: 2}\n"
#define ENDED 10000 /* when VMs end here */

static char dir[] = "/tmp/viaduct-defops-XXXXXX";
static char yaml[256];
static struct options opt = { .run_dir = dir, .state_dir = dir };
static struct daemon *d;
static struct caller me;

/* It has none of these, and whatever it is, it is fit. */
void __wrap_pool_release_vm(struct daemon *of, const char *vm);
void __wrap_fnpool_release_vm(struct daemon *of, const char *vm);
void __wrap_backend_ports_remove_vm(struct daemon *of, const char *vm);
int __wrap_vm_host_check(struct daemon *of, const struct vm_spec *spec,
			 const struct vm_notes *notes, struct vm_unsafe *unsafe, struct err *e);

void __wrap_pool_release_vm(struct daemon *of, const char *vm)
{
}

void __wrap_fnpool_release_vm(struct daemon *of, const char *vm)
{
}

void __wrap_backend_ports_remove_vm(struct daemon *of, const char *vm)
{
}

int __wrap_vm_host_check(struct daemon *of, const struct vm_spec *spec,
			 const struct vm_notes *notes, struct vm_unsafe *unsafe, struct err *e)
{
	return 0;
}

/* Done once by another, when somebody is about to wait for the lock of all changes. */
static void (*meanwhile)(void);

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	void (*other)(void) = meanwhile;

	if (mutex == &d->op && other != NULL) {
		meanwhile = NULL;
		other();
	}
	return __real_pthread_mutex_lock(mutex);
}

/* The user database. */
static const char *user; /* NULL: there is no such user */
static int user_error;
static size_t user_bytes; /* that an entry takes */

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t len, struct passwd **out);

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t len, struct passwd **out)
{
	*out = NULL;
	if (user_error != 0 || user == NULL)
		return user_error;
	if (len < user_bytes)
		return ERANGE;
	snprintf(buf, len, "%s", user);
	*entry = (struct passwd){ .pw_name = buf, .pw_uid = uid };
	*out = entry;
	return 0;
}

static int up(void **state)
{
	struct err e = { 0 };

	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->opt = &opt;
	pthread_mutex_init(&d->op, NULL);
	pthread_mutex_init(&d->state, NULL);
	pthread_cond_init(&d->changed, NULL);
	assert_int_equal(ledger_open(&d->ledger, dir, "boot", &e), 0);
	caller_self(&me);
	user = "ann";
	user_error = 0;
	user_bytes = 0;
	return 0;
}

static int down(void **state)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm",
					     "state.lock" };
	char path[128];

	assert_null(meanwhile);
	for (size_t i = 0; i < d->vm_count; i++)
		vm_destroy(d->vms[i]);
	for (size_t i = 0; i < d->def_count; i++)
		def_destroy(d->defs[i]);
	ledger_close(d->ledger);
	free(d);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	return 0;
}

static int create_as(const struct caller *who, const char *owner, bool replace, struct err *e)
{
	const struct vm_text text = { .yaml = yaml, .base_dir = "/" };
	struct vm_spec *spec = calloc(1, sizeof(*spec));
	struct def_create_wish wish = { .who = who,
					.spec = spec,
					.yaml = yaml,
					.base_dir = "/",
					.unsafe = "",
					.replace = replace };
	auto_json json_t *warnings = json_array();
	int r;

	assert_non_null(spec);
	if (owner != NULL) {
		wish.owner.is_set = true;
		wish.owner.uid = (uid_t)owner[0];
		snprintf(wish.owner.name, sizeof(wish.owner.name), "%s", owner);
	}
	*e = (struct err){ 0 };
	assert_int_equal(vm_spec_parse(&text, spec, warnings, e), 0);
	r = def_create(d, &wish, e);
	free(spec);
	return r;
}

static void create(void)
{
	struct err e;

	assert_int_equal(create_as(&me, NULL, false, &e), 0);
}

static struct vm_def *def(void)
{
	return def_find(d, "fw1");
}

static const char *owner_of(void)
{
	const json_t *owner = json_object_get(vm_find(d, "fw1")->facts, "owner");

	return json_string_value(json_object_get(owner, "name"));
}

static size_t rows(void)
{
	auto_json json_t *ends = def_ends_json(d, "fw1", HISTORY_KEPT);

	return json_array_size(ends);
}

static int start_as(bool is_manual, struct err *e)
{
	const struct def_start_wish wish = { .name = "fw1",
					     .cause = "test",
					     .is_manual = is_manual };

	*e = (struct err){ 0 };
	return def_start(d, &wish, e);
}

/* Its process runs. */
static void started(void)
{
	const struct vm_start_wish wish = {
		.cause = "vm start", .by = "root", .is_defined = true, .is_manual = true
	};

	vm_find(d, "fw1")->pid = 77;
	assert_int_equal(def_vm_started(d, vm_find(d, "fw1"), &wish, NULL), 0);
}

static void ended(const char *reason, const char *what, int64_t asked_at)
{
	struct vm *vm = vm_find(d, "fw1");
	auto_json json_t *asked = NULL;

	if (what != NULL)
		asked = json_pack("{s:s, s:s, s:I}", "what", what, "who", "root", "at",
				  (json_int_t)asked_at);
	json_object_set_new(vm->facts, "exit",
			    json_pack("{s:s, s:s, s:i}", "reason", reason, "text", "", "wall_time",
				      ENDED));
	vm->pid = 0;
	def_vm_ended(d, vm, VM_STOPPED, asked);
}

static void create_and_claim(void)
{
	struct err e = { 0 };
	struct vm_def *claimed;

	create();
	assert_int_equal(def_claim(d, "fw1", &claimed, &e), 0);
}

static void delete_is_too_late(void **state)
{
	const struct def_delete_wish wish = { 0 };

	/* A transient VM that has ended, then one of which nothing is known any more. */
	for (int has_vm = 1; has_vm >= 0; has_vm--) {
		struct err e = { 0 };
		struct vm *vm;

		if (has_vm) {
			assert_int_equal(vm_create("fw1", &vm, &e), 0);
			vm->state = VM_STOPPED;
			assert_int_equal(vm_add(d, vm, NULL, &e), 0);
		}
		meanwhile = create_and_claim;
		assert_int_equal(def_delete(d, "fw1", &wish, &e), -EBUSY);
		assert_string_equal(e.code, "vm-busy");
		assert_non_null(vm_find(d, "fw1"));
		assert_non_null(def());
		assert_true(def()->is_busy);
		def_release(d, def());
		assert_int_equal(def_delete(d, "fw1", &wish, &e), 0);
		assert_int_equal(d->def_count + d->vm_count, 0);
	}
}

static void stop(void)
{
	const struct vm_stop_wish wish = { .kill = true };
	struct err e = { 0 };

	assert_int_equal(def_stop(d, "fw1", &wish, &e), 0);
}

static void kill_it(void)
{
	struct err e = { 0 };

	assert_int_equal(def_kill(d, "fw1", 0, &e), 0);
}

static void stopped_before_it_has_a_process(void **state)
{
	const struct vm_stop_wish again = { .kill = true };
	void (*const others[])(void) = { stop, kill_it };
	struct vm_def *claimed;
	struct err e = { 0 };

	create();
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		meanwhile = others[i];
		assert_int_equal(start_as(true, &e), -ECANCELED);
		assert_string_equal(e.code, "start-cancelled");
		e = (struct err){ 0 };
		meanwhile = others[i];
		assert_int_equal(def_restart(d, "fw1", &again, &e), -ECANCELED);
		assert_string_equal(e.code, "start-cancelled");
		e = (struct err){ 0 };
		assert_int_equal(def_want(d, def(), true, &e), 0);
		meanwhile = others[i];
		assert_int_equal(start_as(false, &e), -ECANCELED);
		assert_false(def()->is_wanted || def()->is_busy);
		assert_string_equal(def()->held, "");
		assert_int_equal(vm_find(d, "fw1")->state, VM_STOPPED);
	}
	assert_int_equal(rows(), 0);
	/* That was then. */
	assert_int_equal(def_claim(d, "fw1", &claimed, &e), 0);
	assert_int_equal(def_cancel_check(claimed, &e), 0);
	def_release(d, claimed);
}

static void no_start_while_all_stop(void **state)
{
	struct err e;

	create();
	assert_int_equal(def_want(d, def(), true, &e), 0);
	d->host_stops = 1;
	assert_true(start_as(false, &e) < 0);
	assert_string_equal(e.code, "host-stopping");
	assert_true(def()->is_wanted);
	assert_string_equal(def()->held, "");
	assert_int_equal(rows(), 0);
}

static void users_that_nobody_knows_of(void **state)
{
	struct caller ann = { .uid = 7, .gid = 7 };
	unsigned int wait_s;
	struct err e;

	user_error = EIO;
	assert_int_equal(create_as(&ann, NULL, false, &e), -EIO);
	assert_string_equal(e.code, "user-lookup");
	assert_int_equal(d->def_count + d->vm_count, 0);
	user_error = 0;
	user_bytes = 60000;
	assert_int_equal(create_as(&ann, NULL, false, &e), 0);
	assert_string_equal(def()->user, "ann");
	assert_int_equal(def_want(d, def(), true, &e), 0);
	assert_ptr_equal(keeper_next(d, &wait_s), def());
	/* It says nothing: so it is tried again, but not at once. */
	user_error = EIO;
	assert_true(start_as(false, &e) < 0);
	assert_string_equal(e.code, "user-lookup");
	assert_true(def()->is_wanted && def()->held[0] == '\0');
	assert_int_equal(rows(), 0);
	assert_null(keeper_next(d, &wait_s));
	assert_in_range(wait_s, 1, 15);
	/* It says that there is none. */
	for (int error = 0; error <= ENOENT; error += ENOENT) {
		user_error = error;
		user = NULL;
		assert_int_equal(def_want(d, def(), true, &e), 0);
		assert_true(start_as(false, &e) < 0);
		assert_string_equal(e.code, "creator-gone");
		assert_string_equal(def()->held, "vm-start-failed");
	}
}

static void defined_anew_as_oneself(void **state)
{
	struct caller ann = { .uid = 7, .gid = 7, .groups = { 8 }, .group_count = 1 };
	struct err e;

	assert_int_equal(create_as(&ann, NULL, false, &e), 0);
	assert_int_equal(create_as(&ann, NULL, false, &e), 0);
	/* Her number is bob's now. */
	user = "bob";
	assert_int_equal(create_as(&ann, NULL, false, &e), -EEXIST);
	assert_string_equal(e.code, "vm-defined");
	assert_int_equal(create_as(&ann, NULL, true, &e), 0);
	assert_string_equal(def()->user, "bob");
	ann.groups[0] = 9;
	assert_int_equal(create_as(&ann, NULL, true, &e), 0);
	assert_int_equal(def()->who.groups[0], 9);
	ann.gid = 10;
	assert_int_equal(create_as(&ann, NULL, true, &e), 0);
	assert_int_equal(def()->who.gid, 10);
}

static void requests_have_their_time(void **state)
{
	static const struct {
		const char *reason, *what;
		int64_t age_s;
		bool is_wanted;
		unsigned int crashes;
	} rows_of[] = {
		{ "signal", "restart", 3660, true, 0 },
		{ "signal", "restart", 3661, true, 1 },
		{ "poweroff", "host-stop", 3660, true, 0 },
		{ "poweroff", "host-stop", 3661, false, 0 },
		{ "signal", "stop", 3660, false, 0 },
		{ "signal", "stop", 3661, true, 1 },
	};
	create();
	for (size_t i = 0; i < ARRAY_SIZE(rows_of); i++) {
		started();
		ended(rows_of[i].reason, rows_of[i].what, ENDED - rows_of[i].age_s);
		assert_int_equal(def()->is_wanted, rows_of[i].is_wanted);
		assert_int_equal(def()->crash_count, rows_of[i].crashes);
		assert_int_equal(def()->restart_at != 0, rows_of[i].crashes);
	}
}

static void one_that_runs_stays_whose_it_is(void **state)
{
	struct err e;

	assert_int_equal(create_as(&me, "ann", false, &e), 0);
	assert_string_equal(owner_of(), "ann");
	started();
	assert_int_equal(create_as(&me, "bob", true, &e), 0);
	assert_string_equal(owner_of(), "ann");
	ended("poweroff", NULL, 0);
	assert_string_equal(owner_of(), "bob");
	assert_int_equal(create_as(&me, NULL, true, &e), 0);
	assert_null(owner_of());
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)
	const struct CMUnitTest tests[] = {
		CASE(delete_is_too_late),
		CASE(stopped_before_it_has_a_process),
		CASE(no_start_while_all_stop),
		CASE(users_that_nobody_knows_of),
		CASE(defined_anew_as_oneself),
		CASE(requests_have_their_time),
		CASE(one_that_runs_stays_whose_it_is),
	};
	char path[64], kernel[0x300] = "";
	int fd, r;

	log_init("test", LOG_LEVEL_ERROR);
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(yaml, sizeof(yaml), YAML, dir);
	snprintf(path, sizeof(path), "%s/kernel", dir);
	memcpy(kernel + 0x202, "HdrS", 4);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || write(fd, kernel, sizeof(kernel)) != sizeof(kernel))
		return 1;
	close(fd);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return r;
}

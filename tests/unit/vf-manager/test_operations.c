// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/operations.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct daemon d;
static bool may_end; /* d.state */
static unsigned int begun, freed;

static int wait_run(void *arg, struct operation *op, struct operation_done *done, struct err *e)
{
	const char *what = arg;

	operation_target(op, what);
	for (int i = 0; i < OPERATION_STEPS + 5; i++)
		operation_step(op, "step %d", i);
	state_lock(&d);
	while (!may_end)
		pthread_cond_wait(&d.changed, &d.state);
	state_unlock(&d);
	done->status = 200;
	done->reply = json_pack("{s:s}", "what", what);
	return 0;
}

/* A result of 1 MiB. */
static int large_run(void *arg, struct operation *op, struct operation_done *done, struct err *e)
{
	char *text = malloc((1U << 20) + 1);

	memset(text, 'x', 1U << 20);
	text[1U << 20] = '\0';
	done->status = 200;
	done->reply = json_pack("{s:s}", "what", text);
	free(text);
	return 0;
}

static int fail_run(void *arg, struct operation *op, struct operation_done *done, struct err *e)
{
	done->status = 409;
	return err_set(e, EBUSY, "no: %s", (const char *)arg);
}

static void count_free(void *arg)
{
	__atomic_add_fetch(&freed, 1, __ATOMIC_RELAXED);
}

typedef int run_fn(void *, struct operation *, struct operation_done *, struct err *);

static int begin(run_fn *run, uid_t uid, char id[64], struct err *e)
{
	const struct operation_plan plan = { .kind = "vm-run",
					     .target = "",
					     .uid = uid,
					     .run = run,
					     .free = count_free,
					     .arg = "it" };
	json_t *j = NULL;
	int r = operation_begin(&d, &plan, &j, e);

	if (r == 0 && id != NULL)
		snprintf(id, 64, "%s", json_string_value(json_object_get(j, "id")));
	begun += r == 0;
	json_decref(j);
	return r;
}

static void end_set(bool may)
{
	state_lock(&d);
	may_end = may;
	pthread_cond_broadcast(&d.changed);
	state_unlock(&d);
}

static json_t *shown(const char *id, unsigned int wait_s)
{
	const struct operation_look look = { .wait_s = wait_s, .steps = SIZE_MAX };
	json_t *j = NULL;

	assert_int_equal(operation_show(&d, id, &look, &j, NULL), 0);
	return j;
}

static void assert_text(const json_t *j, const char *key, const char *text)
{
	assert_string_equal(json_string_value(json_object_get(j, key)), text);
}

static void one_has_steps_and_an_end(void **state)
{
	struct err e = { 0 };
	char id[64];
	json_t *j;

	end_set(false);
	assert_int_equal(begin(wait_run, 7, id, &e), 0);
	j = shown(id, 0);
	assert_text(j, "state", "running");
	assert_true(json_is_null(json_object_get(j, "result")));
	json_decref(j);
	end_set(true);
	j = shown(id, 60);
	assert_text(j, "state", "done");
	assert_text(j, "target", "it");
	assert_text(json_object_get(j, "result"), "what", "it");
	assert_int_equal(json_array_size(json_object_get(j, "steps")), OPERATION_STEPS);
	json_decref(j);
	assert_int_equal(begin(fail_run, 7, id, &e), 0);
	j = shown(id, 60);
	assert_text(j, "state", "failed");
	assert_text(json_object_get(j, "error"), "text", "no: it");
	assert_int_equal(json_integer_value(json_object_get(j, "status")), 409);
	json_decref(j);
	assert_int_equal(operation_show(&d, "no-such", &(struct operation_look){ 0 }, &j, &e),
			 -ENOENT);
	assert_string_equal(e.code, "no-such-operation");
}

static void so_many_run_at_once(void **state)
{
	struct err e = { 0 };
	char id[64];

	end_set(false);
	for (int i = 0; i < OPERATIONS_OF_ONE; i++)
		assert_int_equal(begin(wait_run, 7, id, &e), 0);
	assert_int_equal(begin(wait_run, 7, NULL, &e), -EAGAIN);
	assert_string_equal(e.code, "too-many-operations");
	/* The last ones are root's. */
	for (int i = OPERATIONS_OF_ONE; i < OPERATIONS_RUNNING - OPERATIONS_OF_ROOT; i++)
		assert_int_equal(begin(wait_run, 8, id, &e), 0);
	assert_int_equal(begin(wait_run, 9, NULL, &e), -EAGAIN);
	for (int i = 0; i < OPERATIONS_OF_ROOT; i++)
		assert_int_equal(begin(wait_run, 0, id, &e), 0);
	assert_int_equal(begin(wait_run, 0, NULL, &e), -EAGAIN);
	end_set(true);
	json_decref(shown(id, 60));
}

static size_t count_kept(void)
{
	json_t *list = operations_json(&d);
	size_t n = json_array_size(list);

	json_decref(list);
	return n;
}

static size_t count_kept_of_root(void)
{
	json_t *list = operations_json(&d);
	size_t i, n = 0;
	json_t *op;

	json_array_foreach(list, i, op)
		n += json_integer_value(json_object_get(op, "uid")) == 0;
	json_decref(list);
	return n;
}

static void so_many_are_kept(void **state)
{
	struct err e = { 0 };
	char first[64], id[64];
	json_t *j = NULL;

	end_set(true);
	assert_int_equal(begin(fail_run, 0, first, &e), 0);
	json_decref(shown(first, 60));
	for (int i = 0; i < OPERATIONS_KEPT; i++) {
		assert_int_equal(begin(fail_run, 0, id, &e), 0);
		json_decref(shown(id, 60));
	}
	assert_int_equal(count_kept(), OPERATIONS_KEPT);
	assert_int_equal(operation_show(&d, first, &(struct operation_look){ 0 }, &j, &e), -ENOENT);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(begin(large_run, 0, id, &e), 0);
		json_decref(shown(id, 60));
	}
	/* The results of 12 do not fit; the newest is there. */
	assert_in_range(count_kept_of_root(), 1, OPERATIONS_KEPT_BYTES >> 20);
	json_decref(shown(id, 0));
}

/* One user who fails as often as he can leaves another's result where it is. */
static void nobody_pushes_out_anothers(void **state)
{
	struct err e = { 0 };
	char mine[64], id[64];

	end_set(true);
	assert_int_equal(begin(fail_run, 11, mine, &e), 0);
	json_decref(shown(mine, 60));
	for (int i = 0; i < OPERATIONS_KEPT + 10; i++) {
		assert_int_equal(begin(fail_run, 12, id, &e), 0);
		json_decref(shown(id, 60));
	}
	assert_int_equal(count_kept(), OPERATIONS_KEPT);
	json_decref(shown(mine, 0));
	for (int i = 0; i < 12; i++) {
		assert_int_equal(begin(large_run, 12, id, &e), 0);
		json_decref(shown(id, 60));
	}
	json_decref(shown(mine, 0));
	json_decref(shown(id, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_has_steps_and_an_end),
		cmocka_unit_test(so_many_run_at_once),
		cmocka_unit_test(so_many_are_kept),
		cmocka_unit_test(nobody_pushes_out_anothers),
	};
	pthread_condattr_t attr;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&d.state, NULL);
	pthread_cond_init(&d.changed, &attr);
	if (operations_create(&d, NULL) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	may_end = true;
	operations_destroy(&d);
	return r != 0 || freed != begun;
}

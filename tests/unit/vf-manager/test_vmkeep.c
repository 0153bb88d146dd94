// SPDX-License-Identifier: BSD-3-Clause
/* In what order VMs start, what follows a crash, what the file says of both. */
#include "vf-manager/vmkeep.h"

#include "vf-manager/vmspec.h"

#include "base/fd.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MANY 1024

static int parse(const char *more, struct vm_keep *out, struct err *e)
{
	struct vm_spec *spec = calloc(1, sizeof(*spec));
	auto_json json_t *warnings = json_array();
	char yaml[512];
	const struct vm_text text = { .yaml = yaml, .base_dir = "/" };
	int r;

	assert_non_null(spec);
	snprintf(yaml, sizeof(yaml), "name: a\nmemory: {size: 64M}\nboot: {kernel: k}\n%s", more);
	r = vm_spec_parse(&text, spec, warnings, e);
	*out = spec->keep;
	free(spec);
	return r;
}

static void what_a_file_says(void **state)
{
	struct vm_keep keep;
	struct err e = { 0 };

	assert_int_equal(parse("", &keep, &e), 0);
	assert_false(keep.is_autostart || keep.restarts);
	assert_int_equal(keep.order, KEEP_ORDER);
	assert_int_equal(keep.stop_s, KEEP_STOP_S);
	assert_int_equal(parse("autostart: {order: 7, after: [db, x], delay: 9}\n"
			       "on_crash: {backoff: 2, max: 3, within: 60}\nstop: {timeout: 0}\n",
			       &keep, &e),
			 0);
	assert_true(keep.is_autostart && keep.restarts);
	assert_int_equal(keep.order, 7);
	assert_int_equal(keep.delay_s, 9);
	assert_int_equal(keep.after_count, 2);
	assert_string_equal(keep.after[1], "x");
	assert_int_equal(keep.backoff_s, 2);
	assert_int_equal(keep.max, 3);
	assert_int_equal(keep.within_s, 60);
	assert_int_equal(keep.stop_s, 0);
	assert_int_equal(parse("on_crash: {action: stop, max: 3}\n", &keep, &e), 0);
	assert_false(keep.restarts);
	assert_int_equal(parse("autostart: {after: ['../x']}\n", &keep, &e), -EINVAL);
	assert_int_equal(parse("on_crash: {max: 32}\n", &keep, &e), -ERANGE);
}

/* "c:5:a,b": the VM c of order 5 after a and b. Nodes in the order of their names. */
static void nodes_make(const char *const *texts, size_t count, struct keep_node *nodes,
		       struct vm_keep *keeps)
{
	static char names[8][KEEP_NAME];

	for (size_t i = 0; i < count; i++) {
		char after[64] = "", *save = NULL;

		assert_true(sscanf(texts[i], "%63[^:]:%u:%63s", names[i], &keeps[i].order, after) >=
			    2);
		for (char *w = strtok_r(after, ",", &save); w; w = strtok_r(NULL, ",", &save))
			snprintf(keeps[i].after[keeps[i].after_count++], KEEP_NAME, "%s", w);
		nodes[i] = (struct keep_node){ names[i], &keeps[i] };
	}
}

static void by_order_and_after_others(void **state)
{
	static const char *const texts[] = { "a:50:",	    "b:1:a", "c:50:b",	"d:50:",
					     "e:0:no-such", "f:60:", "g:50:d,a" };
	struct vm_keep keeps[ARRAY_SIZE(texts)] = { 0 };
	struct keep_node nodes[ARRAY_SIZE(texts)];
	unsigned int ranks[ARRAY_SIZE(texts)];
	struct err e = { 0 };

	nodes_make(texts, ARRAY_SIZE(texts), nodes, keeps);
	assert_int_equal(keep_ranks(nodes, ARRAY_SIZE(texts), ranks, &e), 0);
	assert_int_equal(ranks[4], 0); /* e: a name that is not there counts for nothing */
	assert_int_equal(ranks[0], ranks[3]); /* a and d together */
	assert_true(ranks[0] > ranks[4]);
	assert_true(ranks[1] > ranks[0]); /* b after a, whatever its order */
	assert_int_equal(ranks[1], ranks[6]);
	assert_true(ranks[2] > ranks[1]);
	assert_true(ranks[5] > ranks[2]); /* f last */
}

static void a_circle_is_found(void **state)
{
	static const char *const texts[] = { "a:1:c", "b:2:a", "c:3:b", "d:4:" };
	static const char *const self[] = { "a:1:a" };
	struct vm_keep keeps[ARRAY_SIZE(texts)] = { 0 };
	struct keep_node nodes[ARRAY_SIZE(texts)];
	unsigned int ranks[ARRAY_SIZE(texts)];
	struct err e = { 0 };

	nodes_make(texts, ARRAY_SIZE(texts), nodes, keeps);
	assert_int_equal(keep_ranks(nodes, ARRAY_SIZE(texts), ranks, &e), -ELOOP);
	assert_string_equal(e.code, "autostart-cycle");
	memset(keeps, 0, sizeof(keeps));
	nodes_make(self, 1, nodes, keeps);
	assert_int_equal(keep_ranks(nodes, 1, ranks, &e), -ELOOP);
	assert_int_equal(keep_ranks(NULL, 0, NULL, &e), 0);
}

/* A chain of all that there can be, against the order in which they are looked at. */
static void a_long_chain_is_no_circle(void **state)
{
	struct vm_keep *keeps = calloc(MANY, sizeof(*keeps));
	struct keep_node *nodes = calloc(MANY, sizeof(*nodes));
	char(*names)[KEEP_NAME] = calloc(MANY, sizeof(*names));
	unsigned int *ranks = calloc(MANY, sizeof(*ranks));
	struct err e = { 0 };

	assert_true(keeps != NULL && nodes != NULL && names != NULL && ranks != NULL);
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(names[i], KEEP_NAME, "v%04u", i);
		nodes[i] = (struct keep_node){ names[i], &keeps[i] };
		keeps[i].after_count = i + 1 < MANY;
		snprintf(keeps[i].after[0], KEEP_NAME, "v%04u", i + 1);
	}
	assert_int_equal(keep_ranks(nodes, MANY, ranks, &e), 0);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(ranks[i], MANY - 1 - i);
	keeps[MANY - 1].after_count = 1;
	snprintf(keeps[MANY - 1].after[0], KEEP_NAME, "v0000");
	assert_int_equal(keep_ranks(nodes, MANY, ranks, &e), -ELOOP);
	free(keeps);
	free(nodes);
	free(names);
	free(ranks);
}

static void each_crash_waits_longer_until_there_are_too_many(void **state)
{
	const struct vm_keep keep = { .restarts = true, .backoff_s = 5, .max = 3, .within_s = 100 };
	const struct vm_keep patient = {
		.restarts = true, .backoff_s = 300, .max = 31, .within_s = 86400
	};
	static const int64_t times[] = { 1000, 1010, 1030, 1070 }, far[] = { 1000, 1010, 1111 };
	static const int64_t ahead[] = { 9000, 9010, 1000 };
	int64_t many[KEEP_CRASHES];
	struct crash_plan plan;

	for (unsigned int n = 1; n <= 3; n++) {
		crash_plan(&keep, times, n, &plan);
		assert_int_equal(plan.next, CRASH_RESTARTS);
		assert_int_equal(plan.delay_s, 5 << (n - 1));
		assert_int_equal(plan.count, n);
	}
	crash_plan(&keep, times, 4, &plan);
	assert_int_equal(plan.next, CRASH_GIVES_UP);
	assert_int_equal(plan.count, 4);
	/* Those that were long ago do not count. */
	crash_plan(&keep, far, 3, &plan);
	assert_int_equal(plan.next, CRASH_RESTARTS);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.delay_s, 5);
	/* Nor those of a clock that was ahead. */
	crash_plan(&keep, ahead, 3, &plan);
	assert_int_equal(plan.count, 1);
	for (int i = 0; i < KEEP_CRASHES; i++)
		many[i] = 1000 + i;
	crash_plan(&patient, many, KEEP_CRASHES - 1, &plan);
	assert_int_equal(plan.next, CRASH_RESTARTS);
	assert_int_equal(plan.delay_s, KEEP_BACKOFF_MAX_S);
	crash_plan(&patient, many, KEEP_CRASHES, &plan);
	assert_int_equal(plan.next, CRASH_GIVES_UP);
	crash_plan(&(struct vm_keep){ .max = 3 }, times, 1, &plan);
	assert_int_equal(plan.next, CRASH_STAYS);
}

static void what_is_a_crash(void **state)
{
	static const char *const none[] = { "poweroff", "killed", "device-requested",
					    "host-restarted", "" };
	static const char *const some[] = { "guest-panicked", "watchdog", "signal",
					    "oom-killed",     "unknown",  "device-error" };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_false(crash_is(none[i]));
	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		assert_true(crash_is(some[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_file_says),
		cmocka_unit_test(by_order_and_after_others),
		cmocka_unit_test(a_circle_is_found),
		cmocka_unit_test(a_long_chain_is_no_circle),
		cmocka_unit_test(each_crash_waits_longer_until_there_are_too_many),
		cmocka_unit_test(what_is_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

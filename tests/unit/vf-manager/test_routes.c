// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/routes.h"

#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

static int dispatch(struct daemon *d, uid_t uid, const struct route_call *call, struct err *e)
{
	struct request req = { .d = d, .who = { .uid = uid, .gid = 54321 } };
	int r = route_dispatch(&req, call, e);

	json_decref(req.reply);
	json_decref(req.body);
	return r;
}

static void who_may_not_is_told(void **state)
{
	struct daemon d = { .gid = (gid_t)-1, .config = { .group = "viaduct" } };
	uid_t stranger = geteuid() + 1;

	for (size_t i = 0; i < route_count; i++) {
		struct route_call call = { .method = routes[i].method };
		char path[64];
		const char *star = strchr(routes[i].path, '*');
		struct err e = { 0 };

		if (!routes[i].needs_manage)
			continue;
		if (star == NULL)
			snprintf(path, sizeof(path), "%s", routes[i].path);
		else
			snprintf(path, sizeof(path), "%.*sx%s", (int)(star - routes[i].path),
				 routes[i].path, star + 1);
		call.path = path;
		assert_int_equal(dispatch(&d, stranger, &call, &e), -EPERM);
		assert_string_equal(e.code, "not-allowed");
	}
}

static void all_that_changes_something_needs_the_right(void **state)
{
	for (size_t i = 0; i < route_count; i++) {
		bool is_post = strcmp(routes[i].method, "POST") == 0;
		const char *last = strrchr(routes[i].path, '/');
		bool is_check = strcmp(last, "/check") == 0;

		if (is_post && !is_check)
			assert_true(routes[i].needs_manage && !routes[i].is_oneshot);
		if (is_post)
			assert_non_null(routes[i].members);
	}
}

static void paths_match_whole(void **state)
{
	static const char *const wrong[] = {
		"",	    "/",      "/v1",	       "/v1/pfs/",	  "/v1/pfs/a/b",
		"/v1/pfsx", "v1/pfs", "/v1/vms//stop", "/v1/vms/a/stop/", "/v1/vms/a/stopx"
	};
	struct daemon d = { .gid = (gid_t)-1 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct route_call call = { .method = "GET", .path = wrong[i] };
		struct err e = { 0 };

		assert_int_equal(dispatch(&d, 0, &call, &e), -ENOENT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_not_is_told),
		cmocka_unit_test(all_that_changes_something_needs_the_right),
		cmocka_unit_test(paths_match_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/requests.h"

#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Refused before the machine is looked at. */
static void expect(const char *request, size_t fd_count, const char *text)
{
	struct seqmsg m = { .body = json_loads(request, 0, NULL), .fd_count = fd_count };
	auto_json json_t *reply = NULL;
	struct err e = { 0 };

	assert_non_null(m.body);
	reply = requests_answer(NULL, &m);
	assert_true(json_is_false(json_object_get(reply, "ok")));
	assert_int_equal(json_integer_value(json_object_get(reply, "v")), 1);
	assert_true(json_to_err(json_object_get(reply, "error"), &e) < 0);
	if (strstr(e.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, e.text);
	json_decref(m.body);
}

static void bad_requests_are_answered_with_an_error(void **state)
{
	expect("{}", 0, "v is missing");
	expect("{\"v\":1}", 0, "op is missing");
	expect("{\"v\":2,\"op\":\"status\"}", 0, "message version 2, this program speaks 1");
	expect("{\"v\":\"1\",\"op\":\"status\"}", 0, "v is not a number");
	expect("{\"v\":1,\"op\":\"reboot\"}", 0, "unknown request \"reboot\"");
	expect("{\"v\":1,\"op\":\"launch\"}", 0, "unknown request \"launch\"");
	expect("{\"v\":1,\"op\":\"status\"}", 1, "\"status\" takes 0 fds, 1 came");
	expect("{\"v\":1,\"op\":\"kill\",\"force\":true}", 0, "force");
	expect("{\"v\":1,\"op\":\"0123456789012345678901234567890123456789\"}", 0, "op is longer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_requests_are_answered_with_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

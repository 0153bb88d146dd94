// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"

#include "vmm/exit_record.h"

#include "base/json.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct exit_record rec;

static int setup(void **state)
{
	exit_record_init(&rec, memfd_create("record", MFD_CLOEXEC), "fw1");
	return rec.fd < 0;
}

static int teardown(void **state)
{
	close(rec.fd);
	return 0;
}

static json_t *record_read(void)
{
	char buf[1024] = "";
	ssize_t n = pread(rec.fd, buf, sizeof(buf) - 1, 0);
	json_t *obj = json_loadb(buf, n > 0 ? (size_t)n : 0, 0, NULL);

	assert_true(json_is_object(obj));
	assert_int_equal(json_integer_value(json_object_get(obj, "v")), 1);
	assert_string_equal(json_string_value(json_object_get(obj, "name")), "fw1");
	assert_true(json_integer_value(json_object_get(obj, "wall_time")) > 1000000000);
	return obj;
}

static void record_replaces_what_was_there(void **state)
{
	json_t *obj;

	assert_int_equal(exit_record_write(&rec, "internal-error", "a long \"text\" before", NULL),
			 0);
	assert_int_equal(exit_record_write(&rec, "poweroff", "off", NULL), 0);
	obj = record_read();
	assert_string_equal(json_string_value(json_object_get(obj, "reason")), "poweroff");
	assert_string_equal(json_string_value(json_object_get(obj, "text")), "off");
	json_decref(obj);
}

static void crash(int sig)
{
	const struct crash_facts facts = {
		.sig = sig, .code = SEGV_MAPERR, .at = 0xbad0, .ip = (uintptr_t)exit_record_crash
	};

	exit_record_crash(&rec, &facts);
	_exit(1);
}

static void record_of_a_crash_is_whole(void **state)
{
	json_t *obj;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, crash);
		raise(SIGSEGV);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 1);
	obj = record_read();
	assert_string_equal(json_string_value(json_object_get(obj, "reason")), "signal");
	assert_non_null(strstr(json_string_value(json_object_get(obj, "text")),
			       "signal 11 (code 1) at 0xbad0, instruction at viaduct-vmm+0x"));
	json_decref(obj);
}

static void no_file_is_no_error(void **state)
{
	struct exit_record none;

	exit_record_init(&none, -1, "fw1");
	assert_int_equal(exit_record_write(&none, "poweroff", "", NULL), 0);
	exit_record_crash(&none, &(struct crash_facts){ .sig = 11 });
}

static int record_write(void *arg, struct err *e)
{
	int r = exit_record_write(&rec, "poweroff", "off", NULL);

	return r < 0 ? err_set(e, r, "exit record: %s", strerror(-r)) : 0;
}

static void nothing(void *arg)
{
}

static void each_call_may_fail(void **state)
{
	const struct fault_sweep sweep = { "exit record", NULL, record_write, nothing, NULL };

	assert_int_equal(fault_sweep(&sweep), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(record_replaces_what_was_there, setup, teardown),
		cmocka_unit_test_setup_teardown(record_of_a_crash_is_whole, setup, teardown),
		cmocka_unit_test(no_file_is_no_error),
		cmocka_unit_test_setup_teardown(each_call_may_fail, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

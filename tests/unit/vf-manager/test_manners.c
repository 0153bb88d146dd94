// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/manners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int setup(void **state)
{
	static struct daemon d;

	pthread_mutex_init(&d.op, NULL);
	pthread_mutex_init(&d.state, NULL);
	*state = &d;
	return 0;
}

static void a_quiet_daemon_gets_on(void **state)
{
	assert_true(daemon_gets_on(*state));
}

static void a_change_may_not_take_for_ever(void **state)
{
	struct daemon *d = *state;

	op_lock(d);
	assert_true(daemon_gets_on(d));
	atomic_store(&d->op_until_ns, now_ns() - 1);
	assert_false(daemon_gets_on(d));
	op_unlock(d);
	assert_true(daemon_gets_on(d));
}

static void *look(void *d)
{
	return daemon_gets_on(d) ? d : NULL;
}

static void memory_that_cannot_be_looked_at(void **state)
{
	struct daemon *d = *state;
	pthread_t thread;
	void *said = d;

	state_lock(d);
	assert_int_equal(pthread_create(&thread, NULL, look, d), 0);
	pthread_join(thread, &said);
	state_unlock(d);
	assert_null(said);
	assert_true(daemon_gets_on(d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_daemon_gets_on),
		cmocka_unit_test(a_change_may_not_take_for_ever),
		cmocka_unit_test(memory_that_cannot_be_looked_at),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/crash_stack.h"

#include "vmm/exit_record.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL_STACK 65536

static struct exit_record rec;

static void crash(int sig)
{
	exit_record_crash(&rec, &(struct crash_facts){ .sig = sig });
	raise(sig);
}

static volatile int endless = 1;

static int overflow(volatile char *outer)
{
	volatile char frame[512];

	frame[0] = outer == NULL ? 1 : outer[0];
	/* The addition keeps the compiler from making a loop of it. */
	return endless != 0 ? overflow(frame) + frame[0] : 0;
}

static void *thread_overflow(void *arg)
{
	struct crash_stack stack;

	if (crash_stack_init(&stack) < 0)
		_exit(100);
	return (void *)(long)overflow(arg);
}

static void child(bool in_thread)
{
	const struct rlimit limit = { SMALL_STACK * 4, SMALL_STACK * 4 }, none = { 0, 0 };
	struct sigaction sa = { .sa_handler = crash, .sa_flags = SA_RESETHAND | SA_ONSTACK };
	pthread_attr_t attr;
	pthread_t thread;

	setrlimit(RLIMIT_STACK, &limit);
	setrlimit(RLIMIT_CORE, &none);
	sigaction(SIGSEGV, &sa, NULL);
	if (!in_thread)
		thread_overflow(NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SMALL_STACK);
	if (pthread_create(&thread, &attr, thread_overflow, NULL) == 0)
		pthread_join(thread, NULL);
	_exit(101);
}

static void overflow_is_recorded(bool in_thread)
{
	char text[1024] = "";
	int status = 0;
	pid_t pid;

	exit_record_init(&rec, memfd_create("record", MFD_CLOEXEC), "fw1");
	pid = fork();
	if (pid == 0)
		child(in_thread);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_true(pread(rec.fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "ended by signal 11"));
	close(rec.fd);
}

static void main_thread_that_overflows_is_recorded(void **state)
{
	overflow_is_recorded(false);
}

static void other_thread_that_overflows_is_recorded(void **state)
{
	overflow_is_recorded(true);
}

static void stack_of_before_comes_back(void **state)
{
	struct crash_stack stack;
	stack_t before, during, after;

	assert_int_equal(sigaltstack(NULL, &before), 0);
	assert_int_equal(crash_stack_init(&stack), 0);
	assert_int_equal(sigaltstack(NULL, &during), 0);
	assert_ptr_equal(during.ss_sp, stack.base);
	crash_stack_fini(&stack);
	crash_stack_fini(&stack);
	assert_int_equal(sigaltstack(NULL, &after), 0);
	assert_ptr_equal(after.ss_sp, before.ss_sp);
	assert_int_equal(after.ss_flags, before.ss_flags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(main_thread_that_overflows_is_recorded),
		cmocka_unit_test(other_thread_that_overflows_is_recorded),
		cmocka_unit_test(stack_of_before_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

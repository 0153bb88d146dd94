// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/sandbox.h"

#include "base/fd.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void *nothing(void *arg)
{
	return arg;
}

static int thread_try(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0 ? 0 : 1;
}

static int open_try(void)
{
	return open("/dev/null", O_RDONLY) >= 0 ? 0 : 1;
}

static int socket_try(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 1;
}

static int exec_try(void)
{
	return execl("/bin/true", "true", NULL);
}

static int fork_try(void)
{
	return fork() >= 0 ? 0 : 1;
}

static int executable_memory_try(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int memory_try(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int terminal_ioctl_try(void)
{
	return ioctl(0, TIOCSTI, "x") == 12345;
}

static int limit_get_try(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_MEMLOCK, &limit);
}

/* The new limits at an address whose low half is 0, as a pointer filter of 32 bits would not see. */
static int limit_set_try(void)
{
	void *at = mmap((void *)0x200000000000, 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (at == MAP_FAILED)
		return 101;
	return (int)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, at, NULL);
}

static int kvm_create_try(void)
{
	return ioctl(-1, KVM_CREATE_VM, 0) == 12345;
}

static int kvm_run_try(void)
{
	return ioctl(-1, KVM_RUN, 0) == 12345;
}

static int own_file_status_try(void)
{
	struct stat st;

	return fd_stat(0, &st);
}

static int other_file_status_try(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, "/etc/passwd", &st, AT_EMPTY_PATH) == 12345;
}

static int own_thread_signal_try(void)
{
	return (int)syscall(SYS_tgkill, getpid(), gettid(), 0);
}

static int other_process_signal_try(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) == 12345;
}

static int ptrace_try(void)
{
	return syscall(SYS_ptrace, 0, 0, 0, 0) == 12345;
}

enum outcome { WORKS, KILLED };

static void outcome_check(enum sandbox_phase phase, int (*fn)(void), enum outcome want,
			  const char *name)
{
	struct err e = { 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    sandbox_filter(SANDBOX_SETUP, &e) < 0 ||
		    (phase == SANDBOX_RUN && sandbox_filter(SANDBOX_RUN, &e) < 0))
			_exit(100);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (want == KILLED && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS))
		fail_msg("%s in phase %d: not killed (status 0x%x)", name, phase, status);
	if (want == WORKS && status != 0)
		fail_msg("%s in phase %d: status 0x%x", name, phase, status);
}

static void system_calls_are_those_of_the_phase(void **state)
{
	static const struct {
		const char *name;
		int (*fn)(void);
		enum outcome setup, run;
	} rows[] = {
		{ "thread", thread_try, WORKS, KILLED },
		{ "memory", memory_try, WORKS, WORKS },
		{ "open", open_try, KILLED, KILLED },
		{ "socket", socket_try, KILLED, KILLED },
		{ "exec", exec_try, KILLED, KILLED },
		{ "fork", fork_try, KILLED, KILLED },
		{ "executable memory", executable_memory_try, KILLED, KILLED },
		{ "TIOCSTI", terminal_ioctl_try, KILLED, KILLED },
		{ "KVM_CREATE_VM", kvm_create_try, WORKS, KILLED },
		{ "KVM_RUN", kvm_run_try, WORKS, WORKS },
		{ "ptrace", ptrace_try, KILLED, KILLED },
		{ "fstat", own_file_status_try, WORKS, WORKS },
		{ "fstatat with a path", other_file_status_try, KILLED, KILLED },
		{ "signal to itself", own_thread_signal_try, WORKS, WORKS },
		{ "signal to its parent", other_process_signal_try, KILLED, KILLED },
		{ "getrlimit", limit_get_try, WORKS, WORKS },
		{ "setrlimit", limit_set_try, KILLED, KILLED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		outcome_check(SANDBOX_SETUP, rows[i].fn, rows[i].setup, rows[i].name);
		outcome_check(SANDBOX_RUN, rows[i].fn, rows[i].run, rows[i].name);
	}
}

static int process_try(void)
{
	struct err e = { 0 };
	int keep = open("/dev/null", O_RDONLY), other = open("/dev/null", O_RDONLY);

	if (sandbox_process(keep, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	if (fcntl(keep, F_GETFD) < 0 || fcntl(other, F_GETFD) >= 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 3;
	/* Without landlock the system call filter is what stops this. */
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1 &&
	    open("/dev/null", O_RDONLY) >= 0)
		return 4;
	return 0;
}

static void process_gives_up_its_rights(void **state)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(process_try());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define THREADS 16 /* more than there are arenas before the C library counts the CPUs */

/* The C library's own: that of a sanitizer has no arenas, and its mallopt() does nothing. */
void *__libc_malloc(size_t size);
int __libc_mallopt(int param, int value);
int __wrap_mallopt(int param, int value);

int __wrap_mallopt(int param, int value)
{
	return __libc_mallopt(param, value);
}

static pthread_barrier_t all_have;

static void *memory_take(void *arg)
{
	void *p = __libc_malloc(1000);

	/* Who has ended leaves its arena to the next. */
	pthread_barrier_wait(&all_have);
	return p;
}

static int threads_with_memory_try(void)
{
	pthread_t threads[THREADS];
	struct err e = { 0 };
	void *p;

	if (sandbox_process(open("/dev/null", O_RDONLY), &e) < 0 ||
	    sandbox_filter(SANDBOX_SETUP, &e) < 0)
		return 1;
	pthread_barrier_init(&all_have, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, memory_take, NULL) != 0)
			return 2;
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_join(threads[i], &p) != 0 || p == NULL)
			return 3;
	return 0;
}

/* vCPUs whose guests set up interrupts of their functions, and what opens these functions. */
static void as_many_threads_as_like_take_memory(void **state)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(threads_with_memory_try());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_calls_are_those_of_the_phase),
		cmocka_unit_test(process_gives_up_its_rights),
		cmocka_unit_test(as_many_threads_as_like_take_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

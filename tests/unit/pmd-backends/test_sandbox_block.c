// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NEVER 12345 /* what no call returns */

static int own_signal_try(void)
{
	return (int)syscall(SYS_tgkill, getpid(), gettid(), 0);
}

/* A process of the same uid, as that of another VM's disks is. */
static int other_signal_try(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) == NEVER;
}

/* A signal by way of a descriptor that is ready. */
static int owner_try(void)
{
	return fcntl(0, F_SETOWN, getppid()) == NEVER;
}

static int owner_ex_try(void)
{
	const struct f_owner_ex owner = { .type = F_OWNER_PID, .pid = getppid() };

	return fcntl(0, F_SETOWN_EX, &owner) == NEVER;
}

static int owner_signal_try(void)
{
	return fcntl(0, F_SETSIG, SIGKILL) == NEVER;
}

static int flags_try(void)
{
	const int flags = fcntl(0, F_GETFL);

	return flags < 0 || fcntl(0, F_SETFL, flags) < 0;
}

static int seals_try(void)
{
	const int fd = memfd_create("seals", MFD_ALLOW_SEALING);

	return fd < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
	       fcntl(fd, F_GET_SEALS) != F_SEAL_SHRINK;
}

static int lock_try(void)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	const int fd = memfd_create("lock", 0);

	return fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0;
}

static int status_of(int (*fn)(void))
{
	struct err e = { 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || sandbox_block_filter(&e) < 0)
			_exit(100);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void it_reaches_no_other_process(void **state)
{
	static const struct {
		const char *name;
		int (*fn)(void);
		bool is_killed;
	} rows[] = {
		{ "signal to itself", own_signal_try, false },
		{ "signal to another", other_signal_try, true },
		{ "F_SETOWN", owner_try, true },
		{ "F_SETOWN_EX", owner_ex_try, true },
		{ "F_SETSIG", owner_signal_try, true },
		{ "flags of a descriptor", flags_try, false },
		{ "seals", seals_try, false },
		{ "lock", lock_try, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const int status = status_of(rows[i].fn);
		const bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

		if (is_killed != rows[i].is_killed || (!is_killed && status != 0))
			fail_msg("%s: status 0x%x", rows[i].name, (unsigned int)status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_reaches_no_other_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

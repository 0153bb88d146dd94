// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/crash_sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <sqlite3.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define POINTS_MAX 500

/* `seen` and `where` are told to the parent through shared memory. */
static struct shared {
	unsigned int nth, seen;
	char where[128];
} * shared;

static bool is_armed;
static int watched_fd = -1;

void crash_arm(void)
{
	is_armed = true;
}

void crash_watch(int netlink_fd)
{
	watched_fd = netlink_fd;
}

const char *crash_where(void)
{
	return shared != NULL ? shared->where : "no crash";
}

void crash_point(const char *what, bool is_done)
{
	if (!is_armed || ++shared->seen != shared->nth)
		return;
	snprintf(shared->where, sizeof(shared->where), "point %u, %s %.90s", shared->nth,
		 is_done ? "after" : "before", what);
	kill(getpid(), SIGKILL);
}

int __real_sqlite3_step(sqlite3_stmt *st);
int __wrap_sqlite3_step(sqlite3_stmt *st);

int __wrap_sqlite3_step(sqlite3_stmt *st)
{
	const bool is_point = sqlite3_stmt_readonly(st) == 0;
	int rc;

	if (is_point)
		crash_point(sqlite3_sql(st), false);
	rc = __real_sqlite3_step(st);
	if (is_point)
		crash_point(sqlite3_sql(st), true);
	return rc;
}

typedef int exec_row_fn(void *arg, int columns, char **values, char **names);
int __real_sqlite3_exec(sqlite3 *db, const char *sql, exec_row_fn *fn, void *arg, char **text);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, exec_row_fn *fn, void *arg, char **text);

int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, exec_row_fn *fn, void *arg, char **text)
{
	int rc;

	crash_point(sql, false);
	rc = __real_sqlite3_exec(db, sql, fn, arg, text);
	crash_point(sql, true);
	return rc;
}

ssize_t __real_send(int fd, const void *msg, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *msg, size_t len, int flags);

/* The kernel has done it when its answer is there. */
ssize_t __wrap_send(int fd, const void *msg, size_t len, int flags)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (fd != watched_fd)
		return __real_send(fd, msg, len, flags);
	crash_point("a netlink message", false);
	n = __real_send(fd, msg, len, flags);
	if (n > 0)
		poll(&p, 1, 10000);
	crash_point("a netlink message", true);
	return n;
}

ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t off);

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	ssize_t n;

	crash_point("configuration space", false);
	n = __real_pwrite64(fd, buf, len, off);
	crash_point("configuration space", true);
	return n;
}

/* True: it was killed at its point. */
static bool round_do(const struct crash_sweep *s)
{
	pid_t pid;
	int status;

	s->prepare(s->arg);
	shared->seen = 0;
	snprintf(shared->where, sizeof(shared->where), "no crash");
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		s->run(s->arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && shared->nth != 0)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: it failed by itself before point %u: status 0x%x", s->name,
			 shared->nth, status);
	return false;
}

unsigned int crash_sweep(const struct crash_sweep *s)
{
	unsigned int points = 0;
	bool was_killed = true;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	while (was_killed) {
		shared->nth = ++points;
		assert_true(points < POINTS_MAX);
		was_killed = round_do(s);
		s->check(s->arg);
	}
	munmap(shared, sizeof(*shared));
	shared = NULL;
	print_message("%s: %u points\n", s->name, points - 1);
	/* A sweep without a point proves nothing. */
	assert_true(points > 1);
	return points - 1;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "cli/oneshot.h"

#include "base/fd.h"
#include "base/program.h"
#include "vf-manager/api.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_STEP_NS   10000000L /* 10 ms */
#define REAP_STEPS     200
#define ACCEPT_NS      10000000000ULL
#define ACCEPT_STEP_MS 100

void oneshot_init(struct oneshot *o)
{
	o->pid = -1;
	o->stderr_fd = -1;
}

static bool daemon_find_on_path(char buf[PATH_MAX])
{
	const char *p = getenv("PATH");

	while (p != NULL && *p != '\0') {
		size_t len = strcspn(p, ":");

		/* An empty or relative entry would mean the current folder: not for a binary we run. */
		if (p[0] == '/' &&
		    snprintf(buf, PATH_MAX, "%.*s/viaductd", (int)len, p) < PATH_MAX &&
		    access(buf, X_OK) == 0)
			return true;
		p += len;
		p += *p == ':';
	}
	return false;
}

int daemon_find(char buf[PATH_MAX], struct err *e)
{
	/* As installed, or as meson builds it (cli/viaduct). */
	static const char *const places[] = { "viaductd", "../vf-manager/viaductd", NULL };
	const char *named = getenv("VIADUCT_DAEMON");

	if (named != NULL && named[0] != '\0') {
		if (snprintf(buf, PATH_MAX, "%s", named) < PATH_MAX && access(buf, X_OK) == 0)
			return 0;
		return err_set(e, ENOENT, "VIADUCT_DAEMON is %s, which cannot be run: %s", named,
			       strerror(errno));
	}
	if (program_find(places, buf) == 0 || daemon_find_on_path(buf))
		return 0;
	return err_set(e, ENOENT, "viaductd is neither beside this program nor on PATH");
}

/* The connection of our parent; strangers on the same host may know the name, too. */
static int oneshot_accept(int listener, pid_t parent)
{
	uint64_t end = now_ns() + ACCEPT_NS;
	struct pollfd p = { .fd = listener, .events = POLLIN };

	while (now_ns() < end && getppid() == parent) {
		struct ucred peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd;

		if (poll(&p, 1, ACCEPT_STEP_MS) <= 0)
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == parent)
			return fd;
		close(fd);
	}
	return -1;
}

struct oneshot_child {
	const char *path;
	const char *run_dir;
	int listener;
	int log_fd;
	pid_t parent;
};

/* In the child; does not return. */
static void __attribute__((noreturn)) oneshot_exec(const struct oneshot_child *child)
{
	char nr[16];
	const char *argv[] = { "viaductd", "--oneshot", "--fd", nr, NULL, NULL, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), sock, log_fd;
	sigset_t none;

	snprintf(nr, sizeof(nr), "%d", API_ONESHOT_FD);
	if (child->run_dir != NULL) {
		argv[4] = "--run-dir";
		argv[5] = child->run_dir;
	}
	sock = oneshot_accept(child->listener, child->parent);
	/* Away from the low numbers first: a caller may have started us with some of them closed. */
	sock = fcntl(sock, F_DUPFD_CLOEXEC, API_ONESHOT_FD + 1);
	log_fd = fcntl(child->log_fd, F_DUPFD_CLOEXEC, API_ONESHOT_FD + 1);
	if (null < 0 || sock < 0 || log_fd < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 ||
	    dup2(log_fd, 2) < 0 || dup2(sock, API_ONESHOT_FD) < 0)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(child->path, (char *const *)argv);
	dprintf(2, "run %s: %s", child->path, strerror(errno));
	_exit(127);
}

/* A listening socket whose abstract name the kernel chose. */
static int oneshot_listen(int *fd_out, char name[ONESHOT_NAME], struct err *e)
{
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)) < 0 ||
	    listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_set(e, errno, "socket for viaductd --oneshot: %s", strerror(errno));
	len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	if (len < 2 || len > ONESHOT_NAME || sa.sun_path[0] != '\0')
		return err_set(e, EIO, "socket for viaductd --oneshot: it has no name");
	memcpy(name, sa.sun_path + 1, len - 1);
	name[len - 1] = '\0';
	*fd_out = fd_take(&fd);
	return 0;
}

int oneshot_start(struct oneshot *o, const char *run_dir, char name[ONESHOT_NAME], struct err *e)
{
	auto_fd int log_fd = memfd_create("viaductd-oneshot", MFD_CLOEXEC);
	auto_fd int listener = -1;
	char path[PATH_MAX];
	struct oneshot_child child = { .path = path, .run_dir = run_dir, .parent = getpid() };
	int r = daemon_find(path, e);

	if (r == 0)
		r = oneshot_listen(&listener, name, e);
	if (r < 0)
		return r;
	if (log_fd < 0)
		return err_set(e, errno, "memfd_create: %s", strerror(errno));
	child.listener = listener;
	child.log_fd = log_fd;
	fflush(NULL);
	o->pid = fork();
	if (o->pid < 0)
		return err_set(e, errno, "fork: %s", strerror(errno));
	if (o->pid == 0)
		oneshot_exec(&child);
	o->stderr_fd = fd_take(&log_fd);
	return 0;
}

char *oneshot_words(const struct oneshot *o, char *buf, size_t cap)
{
	off_t end = o->stderr_fd < 0 ? 0 : lseek(o->stderr_fd, 0, SEEK_END);
	ssize_t n = 0;

	if (end > 0)
		n = pread(o->stderr_fd, buf, cap - 1,
			  end > (off_t)cap - 1 ? end - (off_t)cap + 1 : 0);
	if (n < 0)
		n = 0;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	for (char *p = buf; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	return buf;
}

void oneshot_fini(struct oneshot *o)
{
	const struct timespec step = { .tv_nsec = REAP_STEP_NS };
	pid_t done = 0;

	for (int i = 0; o->pid > 0 && i < REAP_STEPS && done == 0; i++) {
		done = waitpid(o->pid, NULL, WNOHANG);
		if (done == 0)
			nanosleep(&step, NULL);
	}
	if (o->pid > 0 && done == 0) {
		kill(o->pid, SIGKILL);
		waitpid(o->pid, NULL, 0);
	}
	o->pid = -1;
	fd_close(&o->stderr_fd);
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-audit: a process for one audit. It gets the request on its standard input, has one pipe to answer on and no
 * other file, and is killed when it takes too long; what it says is a peer's word.
 */
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "base/json.h"
#include "iommu/audit_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_S 5 /* it ends itself at its own limit */

struct helper {
	pid_t pid;
	int in, out; /* our ends; -1 when closed */
};

static int pipe_make(int fds[2], struct err *e)
{
	return pipe2(fds, O_CLOEXEC) < 0 ? err_set(e, errno, "pipe: %s", strerror(errno)) : 0;
}

/* stderr stays the daemon's: what a crash says belongs into its log. */
static int spawn(const char *path, int in, int out, pid_t *pid)
{
	static char *const env[] = { NULL };
	char *const argv[] = { "viaduct-audit", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, pipe;
	int r = posix_spawn_file_actions_init(&files);

	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attr, &pipe);
	if (r == 0)
		r = posix_spawn(pid, path, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static int helper_start(const struct daemon *d, struct helper *h, struct err *e)
{
	auto_fd int request_read = -1, reply_write = -1;
	int fds[2], r = pipe_make(fds, e);

	if (r < 0)
		return r;
	request_read = fds[0];
	h->in = fds[1];
	r = pipe_make(fds, e);
	if (r < 0)
		return r;
	h->out = fds[0];
	reply_write = fds[1];
	r = spawn(d->opt->audit_path, request_read, reply_write, &h->pid);
	return r < 0 ? err_set(e, r, "start %s: %s", d->opt->audit_path, strerror(-r)) : 0;
}

/* All that it says, until it closes its end. */
static int reply_read(const struct helper *h, char *buf, size_t cap, size_t *len, struct err *e)
{
	uint64_t deadline = now_ns() + (AUDIT_LIMIT_S + GRACE_S) * 1000000000ULL;

	for (*len = 0; *len < cap;) {
		struct pollfd pfd = { .fd = h->out, .events = POLLIN };
		uint64_t now = now_ns();
		ssize_t n;

		if (now >= deadline || poll(&pfd, 1, (int)((deadline - now) / 1000000) + 1) == 0)
			return err_set(e, ETIMEDOUT, "viaduct-audit did not answer within %d s",
				       AUDIT_LIMIT_S + GRACE_S);
		n = read(h->out, buf + *len, cap - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "viaduct-audit: %s", strerror(errno));
		if (n == 0)
			return 0;
		*len += (size_t)n;
	}
	return err_set(e, EMSGSIZE, "viaduct-audit says too much");
}

static int helper_talk(struct helper *h, const json_t *request, json_t **reply, struct err *e)
{
	auto_free char *text = json_dumps(request, JSON_COMPACT), *buf = malloc(AUDIT_MSG_MAX);
	size_t len = 0;
	int r;

	if (text == NULL || buf == NULL)
		return err_set(e, ENOMEM, "no memory");
	/* If it died at once, its reply, which is none, says so. */
	(void)fd_write_all(h->in, text, strlen(text));
	fd_close(&h->in);
	r = reply_read(h, buf, AUDIT_MSG_MAX, &len, e);
	if (r < 0)
		return r;
	*reply = len > 0 ? json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	return 0;
}

static int helper_end(struct helper *h)
{
	fd_close(&h->in);
	fd_close(&h->out);
	return h->pid > 0 ? priv_child_end(h->pid, "viaduct-audit") : 0;
}

int priv_audit_run(struct daemon *d, const json_t *request, json_t **reply, struct err *e)
{
	struct helper h = { .in = -1, .out = -1 };
	int status, r = helper_start(d, &h, e);

	*reply = NULL;
	if (r == 0)
		r = helper_talk(&h, request, reply, e);
	if (r < 0 && h.pid > 0)
		kill(h.pid, SIGKILL);
	status = helper_end(&h);
	if (r == 0 && *reply == NULL)
		r = WIFSIGNALED(status)
			    ? err_set(e, EIO, "viaduct-audit was ended by signal %d (%s)",
				      WTERMSIG(status), strsignal(WTERMSIG(status)))
			    : err_set(e, EIO, "viaduct-audit ended without a reply");
	if (r < 0) {
		json_decref(ptr_take(reply));
		/* Whatever it was, it is not the caller's fault. */
		e->errnum = EIO;
		r = err_code(e, "audit-failed");
		err_hint(e, "journalctl -u viaductd   may have its last words");
	}
	return r;
}

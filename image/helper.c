// SPDX-License-Identifier: BSD-3-Clause
#include "image/helper.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAMESPACES \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define LOOK_MS	 200 /* between two looks at whether it is cancelled */
#define OVER_MS	 10 /* and at whether it has ended, once it has nothing more to say */
#define END_MS	 5000 /* for one that was killed: what waits for a disk that hangs cannot die */
#define FDS_FROM 10 /* ours, above what the program gets */

enum { PIPE_OUT, PIPE_ERR, PIPE_FAILED, PIPE_GO, PIPES };

/* What the child could not do, before it became the program. */
struct failure {
	char what[32];
	int error;
};

/* When it last showed a sign of life, and which. */
struct pulse {
	uint64_t begun_ns, sign_ns;
	uint64_t cpu_s, blocks;
};

struct helper {
	const struct helper_wish *wish;
	struct pulse pulse;
	pid_t pid;
	int read[PIPES], write[PIPES]; /* -1 when closed */
};

static int pipes_make(struct helper *h)
{
	for (int i = 0; i < PIPES; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0)
			return -errno;
		h->read[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, FDS_FROM);
		h->write[i] = fcntl(fds[1], F_DUPFD_CLOEXEC, FDS_FROM);
		close(fds[0]);
		close(fds[1]);
		if (h->read[i] < 0 || h->write[i] < 0)
			return -errno;
	}
	return 0;
}

/* Never returns. The copy has this one thread, and nobody else's locks are held. */
static void child_main(struct helper *h)
{
	const int fds[2] = { h->write[PIPE_OUT], h->write[PIPE_ERR] };
	struct failure failure = { .error = -ECANCELED };
	const char *what = "start";
	sigset_t none;
	char go;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fd_close(&h->write[PIPE_GO]);
	/* Its end: the parent has gone. */
	if (read(h->read[PIPE_GO], &go, 1) == 1)
		failure.error = helper_jail(h->wish, fds, &what);
	snprintf(failure.what, sizeof(failure.what), "%s", what);
	(void)!write(h->write[PIPE_FAILED], &failure, sizeof(failure));
	_exit(127);
}

static int map_write(pid_t pid, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return file_write_at(AT_FDCWD, path, text);
}

/* The one uid and gid that exist in there. */
static int ids_map(const struct helper *h)
{
	char uid[64], gid[64];
	int r = 0;

	snprintf(uid, sizeof(uid), "%u %u 1", h->wish->uid, h->wish->uid);
	snprintf(gid, sizeof(gid), "%u %u 1", h->wish->gid, h->wish->gid);
	if (geteuid() != 0)
		r = map_write(h->pid, "setgroups", "deny");
	if (r == 0)
		r = map_write(h->pid, "gid_map", gid);
	return r == 0 ? map_write(h->pid, "uid_map", uid) : r;
}

static int no_jail(struct err *e, int r, const char *what)
{
	err_set(e, r, "qemu-img cannot be locked in, so it is not run: %s: %s", what, strerror(-r));
	err_code(e, "image-sandbox");
	return err_hint(e,
			"sysctl user.max_user_namespaces kernel.unprivileged_userns_clone   must "
			"not be 0; or try as root");
}

static int child_start(struct helper *h, struct err *e)
{
	int r = pipes_make(h);

	if (r < 0)
		return err_set(e, r, "pipe: %s", strerror(-r));
	/* As fork(2) in new namespaces; there is no stack, so both go on here. */
	h->pid = (pid_t)syscall(SYS_clone, (unsigned long)(NAMESPACES | SIGCHLD), NULL, NULL, NULL,
				NULL);
	if (h->pid == 0)
		child_main(h);
	if (h->pid < 0)
		return no_jail(e, -errno, "namespaces");
	for (int i = 0; i < PIPES; i++)
		fd_close(i == PIPE_GO ? &h->read[i] : &h->write[i]);
	r = ids_map(h);
	if (r < 0)
		return no_jail(e, r, "uid of the namespace");
	r = fd_write_all(h->write[PIPE_GO], "g", 1);
	return r < 0 ? no_jail(e, r, "start") : 0;
}

/* Keeps the last words: what went wrong is said at the end. */
static void words_add(char words[HELPER_WORDS], const char *text, size_t len)
{
	size_t has = strlen(words), drop;

	if (len > HELPER_WORDS - 1) {
		text += len - (HELPER_WORDS - 1);
		len = HELPER_WORDS - 1;
	}
	drop = has + len > HELPER_WORDS - 1 ? has + len - (HELPER_WORDS - 1) : 0;
	memmove(words, words + drop, has - drop);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		words[has - drop + i] = c < ' ' || c >= 0x7f ? ' ' : (char)c;
	}
	words[has - drop + len] = '\0';
}

static int says_add(const struct helper *h, struct helper_end *end, const char *text, size_t len)
{
	if (h->wish->heard != NULL) {
		h->wish->heard(h->wish->arg, text, len);
		return 0;
	}
	if (len > HELPER_SAYS - end->says_len)
		return -EMSGSIZE;
	memcpy(end->says + end->says_len, text, len);
	end->says_len += len;
	end->says[end->says_len] = '\0';
	return 0;
}

static int piece_read(struct helper *h, int which, struct helper_end *end)
{
	char text[4096];
	ssize_t n = read(h->read[which], text, sizeof(text));

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		fd_close(&h->read[which]);
	else if (which == PIPE_ERR)
		words_add(end->words, text, (size_t)n);
	else
		return says_add(h, end, text, (size_t)n);
	return 0;
}

/* Whole seconds of CPU time, so that what only wakes up now and then is none; clock_getcpuclockid(3). */
static void pulse_take(struct helper *h, bool is_heard)
{
	struct pulse *p = &h->pulse;
	struct timespec cpu = { 0 };
	struct stat st = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(h->pid, &clock) == 0)
		(void)clock_gettime(clock, &cpu);
	if (h->wish->out >= 0)
		(void)fstat(h->wish->out, &st);
	if (!is_heard && (uint64_t)cpu.tv_sec <= p->cpu_s && (uint64_t)st.st_blocks <= p->blocks)
		return;
	p->cpu_s = u64_max(p->cpu_s, (uint64_t)cpu.tv_sec);
	p->blocks = u64_max(p->blocks, (uint64_t)st.st_blocks);
	p->sign_ns = now_ns();
}

static bool is_past(uint64_t from_ns, unsigned int seconds)
{
	return seconds != 0 && now_ns() - from_ns > seconds * 1000000000ULL;
}

static int late(const struct helper *h)
{
	return is_past(h->pulse.sign_ns, h->wish->quiet_s) ||
			       is_past(h->pulse.begun_ns, h->wish->wall_s)
		       ? -ETIMEDOUT
		       : 0;
}

/* Its status is taken, once. */
static bool child_is_over(struct helper *h, struct helper_end *end)
{
	if (waitpid(h->pid, &end->status, WNOHANG) == 0)
		return false;
	h->pid = -1;
	return true;
}

/* Until it has ended: that it has closed both is not yet that. */
static int child_hear(struct helper *h, struct helper_end *end)
{
	bool is_open = true;
	int r = 0;

	h->pulse.begun_ns = h->pulse.sign_ns = now_ns();
	while (r == 0 && (is_open || !child_is_over(h, end))) {
		struct pollfd fds[] = { { .fd = h->read[PIPE_OUT], .events = POLLIN },
					{ .fd = h->read[PIPE_ERR], .events = POLLIN } };

		if (h->wish->is_cancelled != NULL && h->wish->is_cancelled(h->wish->arg))
			return -ECANCELED;
		if (poll(fds, ARRAY_SIZE(fds), is_open ? LOOK_MS : OVER_MS) < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; r == 0 && i <= PIPE_ERR; i++)
			if (fds[i].revents != 0)
				r = piece_read(h, i, end);
		is_open = h->read[PIPE_OUT] >= 0 || h->read[PIPE_ERR] >= 0;
		pulse_take(h, fds[PIPE_OUT].revents != 0);
		r = r < 0 ? r : late(h);
	}
	return r;
}

/* Nothing if it has become the program. */
static int failure_read(const struct helper *h, struct err *e)
{
	struct failure failure;

	if (read(h->read[PIPE_FAILED], &failure, sizeof(failure)) != (ssize_t)sizeof(failure))
		return 0;
	failure.what[sizeof(failure.what) - 1] = '\0';
	if (failure.error == -ENOENT && strcmp(failure.what, "exec") == 0)
		return err_set(e, ENOENT, "there is no %s", h->wish->program);
	return no_jail(e, failure.error < 0 ? failure.error : -EIO, failure.what);
}

static int stuck(const struct helper *h, struct err *e)
{
	if (is_past(h->pulse.begun_ns, h->wish->wall_s))
		err_set(e, ETIMEDOUT, "%s was not done after %u s, and was ended", h->wish->argv[0],
			h->wish->wall_s);
	else
		err_set(e, ETIMEDOUT, "%s did nothing for %u s, and was ended", h->wish->argv[0],
			h->wish->quiet_s);
	err_code(e, "image-stuck");
	return err_hint(e, "dmesg   names a disk, or a network file system, that hangs");
}

static int heard_failed(const struct helper *h, int r, struct err *e)
{
	if (r == -ETIMEDOUT)
		return stuck(h, e);
	return err_set(e, r, r == -ECANCELED ? "interrupted" : "%s: %s", h->wish->argv[0],
		       strerror(-r));
}

/* Kills it, and waits for no more than its death takes. */
static void child_kill(struct helper *h)
{
	kill(h->pid, SIGKILL);
	for (unsigned int ms = 0; ms < END_MS; ms += 10) {
		if (waitpid(h->pid, NULL, WNOHANG) != 0) {
			h->pid = -1;
			return;
		}
		(void)poll(NULL, 0, 10);
	}
	h->pid = -1;
}

static void pipes_close(struct helper *h)
{
	for (int i = 0; i < PIPES; i++) {
		fd_close(&h->read[i]);
		fd_close(&h->write[i]);
	}
}

int helper_run(const struct helper_wish *wish, struct helper_end *end, struct err *e)
{
	struct helper h = { .wish = wish };
	int r;

	memset(end, 0, sizeof(*end));
	memset(h.read, 0xff, sizeof(h.read));
	memset(h.write, 0xff, sizeof(h.write));
	end->says = calloc(1, HELPER_SAYS + 1);
	if (end->says == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = child_start(&h, e);
	if (r == 0) {
		r = child_hear(&h, end);
		if (r < 0)
			heard_failed(&h, r, e);
	}
	for (size_t n = strlen(end->words); n > 0 && end->words[n - 1] == ' '; n--)
		end->words[n - 1] = '\0';
	if (r == 0)
		r = failure_read(&h, e);
	if (r < 0 && h.pid > 0)
		child_kill(&h);
	pipes_close(&h);
	if (r < 0)
		helper_end_free(end);
	return r;
}

void helper_end_free(struct helper_end *end)
{
	free(ptr_take(&end->says));
}

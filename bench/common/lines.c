// SPDX-License-Identifier: BSD-3-Clause
#include "bench/common/lines.h"

#include "base/fd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PIECE 4096

static void signals_ours(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

void lines_signals_deadly(bool deadly)
{
	sigset_t set;

	signals_ours(&set);
	pthread_sigmask(deadly ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

int lines_init(struct lines *l, const struct line_op *ops, size_t op_count, void *ctx)
{
	sigset_t set;

	*l = (struct lines){
		.ops = ops, .op_count = op_count, .ctx = ctx, .out = -1, .signals = -1
	};
	signals_ours(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	/* Who asked may have gone: that is an error of the write. */
	signal(SIGPIPE, SIG_IGN);
	l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	l->out = dup(STDOUT_FILENO);
	if (l->signals < 0 || l->out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
		int r = -errno;

		lines_fini(l);
		return r;
	}
	return 0;
}

void lines_fini(struct lines *l)
{
	if (l->signals >= 0)
		close(l->signals);
	if (l->out >= 0)
		close(l->out);
	l->signals = l->out = -1;
}

/* Whoever asked is gone, and with it everybody who could say that it is enough. */
static bool is_unheard(const struct lines *l)
{
	struct pollfd out = { .fd = l->out };

	return l->out >= 0 && poll(&out, 1, 0) > 0 && out.revents != 0;
}

bool lines_interrupted(struct lines *l)
{
	struct signalfd_siginfo info;

	if (is_unheard(l))
		return true;
	return l->signals >= 0 && read(l->signals, &info, sizeof(info)) == sizeof(info);
}

static const struct line_op *op_find(const struct lines *l, const char *name)
{
	for (size_t i = 0; i < l->op_count; i++)
		if (strcmp(l->ops[i].op, name) == 0)
			return &l->ops[i];
	return NULL;
}

static int request(struct lines *l, const char *text, size_t len, json_t *reply, struct err *e)
{
	json_error_t why;
	auto_json json_t *q = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	const struct line_op *op;
	char name[32];
	int r;

	if (q == NULL)
		return err_set(e, EINVAL, "not JSON: %s", why.text);
	if (!json_is_object(q))
		return err_set(e, EINVAL, "not an object");
	r = json_get_str(q, "op", name, sizeof(name), e);
	if (r < 0)
		return r;
	if (strcmp(name, "quit") == 0) {
		l->quits = true;
		return 0;
	}
	op = op_find(l, name);
	if (op == NULL)
		return err_set(e, ENOSYS, "there is no op '%s'", name);
	r = op->fn(l->ctx, q, reply, e);
	return r < 0 ? err_wrap(e, "%s", name) : 0;
}

static json_t *refusal(const struct err *e)
{
	auto_json json_t *error = json_from_err(e);

	return json_pack("{s:b, s:O?}", "ok", 0, "text", json_object_get(error, "text"));
}

json_t *lines_answer(struct lines *l, const char *text, size_t len)
{
	json_t *reply = json_pack("{s:b}", "ok", 1);
	struct err e = { 0 };

	if (reply == NULL || request(l, text, len, reply, &e) == 0)
		return reply;
	json_decref(reply);
	return refusal(&e);
}

/* 0: PIPE_BUF bytes can be written without waiting. -EINTR: a signal came while nobody reads. */
static int output_wait(struct lines *l)
{
	struct pollfd fds[] = { { .fd = l->out, .events = POLLOUT },
				{ .fd = l->signals, .events = POLLIN } };

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		if (errno != EINTR)
			return -errno;
	return fds[0].revents != 0 ? 0 : -EINTR;
}

static int reply_write(struct lines *l, json_t *reply)
{
	char *text = json_dumps(reply, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t len = text == NULL ? 0 : strlen(text);
	int r = text == NULL ? -ENOMEM : 0;

	json_decref(reply);
	if (text != NULL)
		text[len++] = '\n'; /* in the place of the NUL */
	for (size_t at = 0; at < len && r == 0;) {
		ssize_t n = 0;

		r = output_wait(l);
		if (r == 0)
			n = write(l->out, text + at, len - at < PIPE_BUF ? len - at : PIPE_BUF);
		if (n < 0 && errno != EINTR)
			r = -errno;
		at += n < 0 ? 0 : (size_t)n;
	}
	free(text);
	return r;
}

static int line_take(struct lines *l, const char *text, size_t len)
{
	struct err e = { 0 };

	if (l->cut) {
		l->cut = false;
		err_set(&e, E2BIG, "a line of more than %d bytes", LINE_BYTES_MAX);
		return reply_write(l, refusal(&e));
	}
	return len == 0 ? 0 : reply_write(l, lines_answer(l, text, len));
}

/* Whole lines of what has been read; the rest moves to the front. */
static int lines_take(struct lines *l)
{
	char *begin = l->buf, *end = l->buf + l->len, *nl;
	int r = 0;

	while (r == 0 && !l->quits && (nl = memchr(begin, '\n', (size_t)(end - begin))) != NULL) {
		r = line_take(l, begin, (size_t)(nl - begin));
		begin = nl + 1;
	}
	l->len = (size_t)(end - begin);
	if (l->len == sizeof(l->buf)) {
		l->cut = true;
		l->len = 0;
	}
	memmove(l->buf, begin, l->len);
	return r;
}

/* 1: there is something to read. 0: a signal. */
static int input_wait(struct lines *l)
{
	struct pollfd fds[] = { { .fd = l->in, .events = POLLIN },
				{ .fd = l->signals, .events = POLLIN } };

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		if (errno != EINTR)
			return -errno;
	return fds[1].revents != 0 ? 0 : 1;
}

int lines_heard(struct lines *l, const char *text, size_t len)
{
	int r = 0;

	while (r == 0 && !l->quits && len > 0) {
		size_t n = sizeof(l->buf) - l->len;

		n = len < n ? len : n;
		memcpy(l->buf + l->len, text, n);
		l->len += n;
		text += n;
		len -= n;
		r = lines_take(l);
	}
	return r;
}

int lines_ended(struct lines *l)
{
	return l->quits ? 0 : line_take(l, l->buf, l->len);
}

int lines_serve(struct lines *l)
{
	char piece[PIECE];
	int r = 0;

	while (r == 0 && !l->quits) {
		ssize_t n;

		r = input_wait(l);
		if (r <= 0)
			return r;
		n = read(l->in, piece, sizeof(piece));
		if (n == 0)
			return lines_ended(l);
		if (n < 0)
			return -errno;
		r = lines_heard(l, piece, (size_t)n);
	}
	return r;
}

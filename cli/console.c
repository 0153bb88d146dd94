// SPDX-License-Identifier: BSD-3-Clause
#include "cli/console.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK 4096

enum { FD_SOCK, FD_IN, FD_SIGNAL, FD_OUT, FD_COUNT };

struct relay {
	const struct console_io *io;
	int signal_fd;
	bool is_terminal; /* io->in */
	bool in_open;
	uint64_t deadline_ns; /* 0: none */
	char typed[CHUNK]; /* on its way to the VM */
	size_t typed_len;
	char said[CHUNK]; /* by the VM, on its way out */
	size_t said_len;
};

/* What the VM said goes out as far as there is room, so that output that nobody takes (a pager, a
 * full pipe) keeps neither a signal nor the deadline from ending us. */
static int write_out(struct relay *r)
{
	ssize_t n = write(r->io->out, r->said, r->said_len);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	r->said_len -= (size_t)n;
	memmove(r->said, r->said + n, r->said_len);
	return 0;
}

/* 1: the relay has ended, *end says how. */
static int take_output(struct relay *r, enum console_end *end)
{
	ssize_t n = recv(r->io->sock, r->said, sizeof(r->said), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		*end = CONSOLE_CLOSED;
		return 1;
	}
	r->said_len = (size_t)n;
	return 0;
}

static int send_typed(struct relay *r)
{
	ssize_t n = send(r->io->sock, r->typed, r->typed_len, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* EPIPE: what the VM said before it went is still to be read. */
	if (n < 0) {
		r->in_open = false;
		r->typed_len = 0;
		return 0;
	}
	r->typed_len -= (size_t)n;
	memmove(r->typed, r->typed + n, r->typed_len);
	return 0;
}

static int take_input(struct relay *r, enum console_end *end)
{
	char buf[CHUNK];
	size_t room = sizeof(r->typed) - r->typed_len, len;
	/* A person may type more than a VM takes: the rest is lost, the detach key is not. */
	ssize_t n = read(r->io->in, buf, r->is_terminal ? sizeof(buf) : room);
	const char *key;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		r->in_open = false;
		return 0;
	}
	len = (size_t)n;
	key = r->is_terminal ? memchr(buf, CONSOLE_DETACH_KEY, len) : NULL;
	if (key != NULL)
		len = (size_t)(key - buf);
	if (len > room)
		len = room;
	memcpy(r->typed + r->typed_len, buf, len);
	r->typed_len += len;
	if (key == NULL)
		return 0;
	send_typed(r);
	*end = CONSOLE_DETACHED;
	return 1;
}

/* Milliseconds to the deadline, rounded up; -1: none. */
static int relay_wait_ms(const struct relay *r)
{
	uint64_t now = now_ns();

	if (r->deadline_ns == 0)
		return -1;
	return now >= r->deadline_ns ? 0 : (int)((r->deadline_ns - now + 999999) / 1000000);
}

static int relay_step(struct relay *r, enum console_end *end, struct err *e)
{
	bool wants_input = r->in_open && (r->is_terminal || r->typed_len < sizeof(r->typed));
	const int sock_in = r->said_len == 0 ? POLLIN : 0;
	struct pollfd p[FD_COUNT] = {
		[FD_SOCK] = { .fd = sock_in || r->typed_len > 0 ? r->io->sock : -1,
			      .events = (short)(sock_in | (r->typed_len > 0 ? POLLOUT : 0)) },
		[FD_IN] = { .fd = wants_input ? r->io->in : -1, .events = POLLIN },
		[FD_SIGNAL] = { .fd = r->signal_fd, .events = POLLIN },
		[FD_OUT] = { .fd = r->said_len > 0 ? r->io->out : -1, .events = POLLOUT },
	};
	int n = poll(p, FD_COUNT, relay_wait_ms(r)), done = 0;

	if (n < 0 && errno != EINTR)
		return err_set(e, errno, "poll: %s", strerror(errno));
	if (n <= 0) {
		*end = CONSOLE_TIMEOUT;
		return n == 0;
	}
	if (p[FD_SIGNAL].revents != 0) {
		*end = CONSOLE_SIGNALLED;
		return 1;
	}
	if (p[FD_IN].revents != 0)
		done = take_input(r, end);
	if (done == 0 && (p[FD_SOCK].revents & POLLOUT) != 0)
		done = send_typed(r);
	if (done == 0 && r->said_len == 0 && (p[FD_SOCK].revents & ~POLLOUT) != 0)
		done = take_output(r, end);
	if (done == 0 && p[FD_OUT].revents != 0) {
		int ret = write_out(r);

		if (ret < 0)
			return err_set(e, ret, "write: %s", strerror(-ret));
	}
	/* A guest that never stops writing does not outlast the deadline. */
	if (done == 0 && relay_wait_ms(r) == 0) {
		*end = CONSOLE_TIMEOUT;
		done = 1;
	}
	return done;
}

static int terminal_set_raw(int fd, struct termios *saved, struct err *e)
{
	struct termios raw;

	if (tcgetattr(fd, saved) < 0)
		return err_set(e, errno, "read the terminal's mode: %s", strerror(errno));
	raw = *saved;
	cfmakeraw(&raw);
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return err_set(e, errno, "set the terminal's mode: %s", strerror(errno));
	return 0;
}

int console_relay(const struct console_io *io, enum console_end *end, struct err *e)
{
	struct relay r = { .io = io, .in_open = true, .is_terminal = isatty(io->in) };
	int flags = fcntl(io->sock, F_GETFL);
	sigset_t ours, before;
	struct termios saved;
	int ret;

	if (flags < 0 || fcntl(io->sock, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(e, errno, "console socket: %s", strerror(errno));
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGQUIT);
	r.signal_fd = signalfd(-1, &ours, SFD_CLOEXEC);
	if (r.signal_fd < 0)
		return err_set(e, errno, "signalfd: %s", strerror(errno));
	/* SIGPIPE too, so that output that nobody reads is an error and not the end. */
	sigaddset(&ours, SIGPIPE);
	sigprocmask(SIG_BLOCK, &ours, &before);
	if (io->timeout_ms >= 0)
		r.deadline_ns = now_ns() + (uint64_t)io->timeout_ms * 1000000;
	ret = r.is_terminal ? terminal_set_raw(io->in, &saved, e) : 0;
	if (ret == 0) {
		while (ret == 0)
			ret = relay_step(&r, end, e);
		if (r.is_terminal)
			tcsetattr(io->in, TCSANOW, &saved);
	}
	fd_close(&r.signal_fd);
	/* The signals stay blocked on purpose: one that came late must not kill us half-way. */
	return ret < 0 ? ret : 0;
}

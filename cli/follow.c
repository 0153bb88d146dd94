// SPDX-License-Identifier: BSD-3-Clause
#include "cli/follow.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio_ext.h>
#include <sys/signalfd.h>

/* Signals come as a file to wait for beside the output. */
int follow_begin(struct follow *f, struct err *e)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	f->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC);
	if (f->signal_fd < 0)
		return err_set(e, errno, "signalfd: %s", strerror(errno));
	sigaddset(&ours, SIGPIPE);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	return 0;
}

void follow_end(struct follow *f)
{
	fd_close(&f->signal_fd);
}

/* The end is a signal, or that nobody is left to read (POLLERR, POLLHUP). */
void follow_wait(struct follow *f, uint64_t ns)
{
	struct pollfd p[] = { { .fd = f->signal_fd, .events = POLLIN },
			      { .fd = f->signal_fd >= 0 ? fileno(f->out) : -1 } };
	uint64_t end = now_ns() + ns;

	for (uint64_t now = now_ns(); now < end; now = now_ns()) {
		int n = poll(p, ARRAY_SIZE(p), (int)((end - now + 999999) / 1000000));

		if (n > 0) {
			f->has_ended = true;
			return;
		}
	}
}

int follow_flush(struct follow *f, struct err *e)
{
	if (fflush(f->out) != 0 && errno == EPIPE) {
		__fpurge(f->out);
		clearerr(f->out);
		f->has_ended = true;
		return 0;
	}
	return ferror(f->out) ? err_set(e, errno, "write: %s", strerror(errno)) : 0;
}

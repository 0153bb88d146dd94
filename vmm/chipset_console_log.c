// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_console_log.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536

void console_log_init(struct console_log *log, int fd, int old_fd)
{
	struct stat st;

	*log = (struct console_log){ .fd = fd, .old_fd = old_fd };
	if (fd >= 0 && fd_stat(fd, &st) == 0 && st.st_size > 0)
		log->size = (uint64_t)st.st_size;
}

/* By position, so that it does not matter whether the files are in append mode. */
static int log_copy(int from, int to)
{
	uint8_t buf[CHUNK];
	off_t at = 0;

	if (ftruncate(to, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = pread(from, buf, sizeof(buf), at);
		int r;

		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = fd_pwrite_all(to, buf, (size_t)n, (uint64_t)at);
		if (r < 0)
			return r;
		at += n;
	}
}

static int log_rotate(struct console_log *log)
{
	/* Where the old half cannot be kept, the new one is what matters. */
	if (log->old_fd >= 0)
		(void)log_copy(log->fd, log->old_fd);
	if (ftruncate(log->fd, 0) < 0)
		return -errno;
	log->size = 0;
	return 0;
}

ssize_t console_log_put(struct console_log *log, const void *buf, size_t len)
{
	ssize_t n;
	int r = log->size >= CONSOLE_LOG_MAX ? log_rotate(log) : 0;

	if (r < 0)
		return r;
	n = pwrite(log->fd, buf, u64_min(len, CONSOLE_LOG_MAX - log->size), (off_t)log->size);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	log->size += (uint64_t)n;
	return n;
}

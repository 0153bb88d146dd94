/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the guest writes to its console, in two files that the daemon made: the newest output is always at
 * the end of `fd`; when that holds CONSOLE_LOG_MAX bytes they move to `old_fd` in place of what was there.
 * So `cat console.log.1 console.log` is in order, and there is never more than twice that.
 */
#ifndef VIADUCT_VMM_CHIPSET_CONSOLE_LOG_H
#define VIADUCT_VMM_CHIPSET_CONSOLE_LOG_H

#include "base/util.h"

#include <sys/types.h>

#define CONSOLE_LOG_MAX (2U << 20)

struct console_log {
	int fd; /* borrowed; -1: no log. Readable, or the old half is lost */
	int old_fd; /* borrowed; -1: what does not fit any more is dropped */
	uint64_t size;
};

void console_log_init(struct console_log *log, int fd, int old_fd);

/* Takes as much as fits before the next move, at least one byte; -errno: nothing was taken. */
ssize_t console_log_put(struct console_log *log, const void *buf, size_t len);

#endif

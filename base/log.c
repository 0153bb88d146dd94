// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include "base/fd.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *log_name = "viaduct";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_to_journal;
static size_t log_max_bytes;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

void log_init(const char *name, enum log_level max)
{
	log_name = name;
	log_max = max;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_bound(size_t max)
{
	log_max_bytes = max;
}

bool log_admit(struct log_limit *limit, uint64_t now, uint64_t *held)
{
	uint64_t back = (now - limit->last_ns) / limit->every_ns;

	limit->used -= (unsigned int)u64_min(back, limit->used);
	if (limit->used >= limit->burst) {
		limit->held++;
		return false;
	}
	/* What is left over of an interval still counts towards the next line. */
	limit->last_ns = limit->used == 0 ? now : limit->last_ns + back * limit->every_ns;
	limit->used++;
	*held = limit->held;
	limit->held = 0;
	return true;
}

/* Whole lines of the newer half stay. With the lock. */
static void room_make(size_t len)
{
	size_t keep = log_max_bytes / 2;
	auto_free char *half = NULL;
	const char *line = NULL;
	struct stat st;
	ssize_t n = 0;

	if (fd_stat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (size_t)st.st_size + len <= log_max_bytes)
		return;
	half = malloc(keep);
	if (half != NULL)
		n = pread(STDERR_FILENO, half, keep, st.st_size - (off_t)keep);
	if (n > 0)
		line = memchr(half, '\n', (size_t)n);
	if (ftruncate(STDERR_FILENO, 0) == 0 && line != NULL)
		(void)fd_write_all(STDERR_FILENO, line + 1, (size_t)(half + n - line - 1));
}

/* One write, so that lines of several threads and processes never mix. */
static void line_put(const char *line, size_t len)
{
	if (log_max_bytes != 0) {
		pthread_mutex_lock(&log_lock);
		room_make(len);
	}
	(void)!write(STDERR_FILENO, line, len);
	if (log_max_bytes != 0)
		pthread_mutex_unlock(&log_lock);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const int syslog_priority[] = {
		[LOG_LEVEL_ERROR] = 3, [LOG_LEVEL_WARN] = 4, [LOG_LEVEL_INFO] = 6, [LOG_LEVEL_DEBUG] = 7
	};
	char line[1200];
	size_t len;
	va_list ap;
	int n;

	if (level > log_max)
		return;
	if (log_to_journal)
		n = snprintf(line, sizeof(line), "<%d>", syslog_priority[level]);
	else
		n = snprintf(line, sizeof(line), "%s: %s", log_name,
			     level == LOG_LEVEL_ERROR  ? "error: "
			     : level == LOG_LEVEL_WARN ? "warning: "
						       : "");
	if (n < 0)
		return;
	len = (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len = u64_min(len + (size_t)n, sizeof(line) - 2);
	/* Text that came from outside must not forge further lines. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[len++] = '\n';
	line_put(line, len);
}

void log_err(const struct err *e, const char *what)
{
	log_error("%s: %s%s%s%s", what, e->text, e->hint[0] ? " (" : "", e->hint,
		  e->hint[0] ? ")" : "");
}

// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *log_name = "viaduct";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_to_journal;

void log_init(const char *name, enum log_level max)
{
	log_name = name;
	log_max = max;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
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
	/* One write, so that lines of several threads and processes never mix. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void log_err(const struct err *e, const char *what)
{
	log_error("%s: %s%s%s%s", what, e->text, e->hint[0] ? " (" : "", e->hint,
		  e->hint[0] ? ")" : "");
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One line per event on stderr. Under systemd (JOURNAL_STREAM set) lines carry the "<N>" priority
 * prefix that journald understands; else "name: text". Only main loops log; libraries return errors.
 */
#ifndef VIADUCT_BASE_LOG_H
#define VIADUCT_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `name` must outlive the process's logging. Call once, before threads start. */
void log_init(const char *name, enum log_level max);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Logs a whole struct err: text and, if there is one, the hint. */
void log_err(const struct err *e, const char *what);

/* Where stderr is a regular file (open for reading, too), it never grows beyond max bytes: its older half
 * goes. 0: no limit. Call once, before threads start. */
void log_bound(size_t max);

/* For lines that someone else can cause at will: `burst` of them at once, then one every `every_ns`. */
struct log_limit {
	unsigned int burst;
	uint64_t every_ns;
	unsigned int used;
	uint64_t held; /* lines left out since the last */
	uint64_t last_ns;
};

/* True: log the line, and say that *held were left out before it if that is not 0. */
bool log_admit(struct log_limit *limit, uint64_t now, uint64_t *held);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif

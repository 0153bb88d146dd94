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

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif

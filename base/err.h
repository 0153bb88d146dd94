/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * struct err: what went wrong, for the operator. A function that can fail on the control plane
 * returns 0 or a negative errno and also fills a struct err: the lowest function says what failed,
 * each caller may put one clause in front, and whoever knows the remedy adds it as the hint.
 *
 *	r = err_set(e, EBUSY, "group %u is already open", nr);
 *	err_hint(e, "viaduct vm list   shows which VM holds it");
 *	...
 *	return err_wrap(e, "VF %s", name);     -> "VF 0000:01:10.0: group 7 is already open"
 *
 * Every function accepts e == NULL and then only passes the errno on.
 */
#ifndef VIADUCT_BASE_ERR_H
#define VIADUCT_BASE_ERR_H

#include "base/util.h"

struct err {
	int errnum; /* positive errno; 0: no error was set */
	char code[32]; /* stable word for programs and `explain`, such as "vf-in-use"; may be "" */
	char text[512]; /* one line, no full stop, no newline */
	char hint[384]; /* what to type or change next; may be "" */
};

/* Starts a new error (older contents are dropped). `errnum` of either sign. Returns -|errnum|. */
int err_set(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "clause: " in front of the text. Returns -errnum of the error (-EIO if none was set). */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Sets the stable code or the remedy; each returns -errnum so that it can be the last word. */
int err_code(struct err *e, const char *code);
int err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif

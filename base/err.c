// SPDX-License-Identifier: BSD-3-Clause
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What the last err_set of this thread said, for chains that end in err_hint(NULL, ...). */
static _Thread_local int last_errnum = EIO;

static int err_ret(const struct err *e)
{
	if (e == NULL)
		return -last_errnum;
	return e->errnum != 0 ? -e->errnum : -EIO;
}

int err_set(struct err *e, int errnum, const char *fmt, ...)
{
	va_list ap;

	errnum = abs(errnum);
	if (errnum == 0)
		errnum = EIO;
	last_errnum = errnum;
	if (e != NULL) {
		memset(e, 0, sizeof(*e));
		e->errnum = errnum;
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
	}
	return -errnum;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char clause[128], old[sizeof(e->text)];
	va_list ap;

	if (e == NULL)
		return err_ret(e);
	va_start(ap, fmt);
	vsnprintf(clause, sizeof(clause), fmt, ap);
	va_end(ap);
	memcpy(old, e->text, sizeof(old));
	/* The tail is cut rather than the clause: the outermost context must survive. */
	snprintf(e->text, sizeof(e->text), "%s: %.*s", clause,
		 (int)(sizeof(e->text) - sizeof(clause) - 3), old);
	return err_ret(e);
}

int err_code(struct err *e, const char *code)
{
	if (e != NULL)
		snprintf(e->code, sizeof(e->code), "%s", code);
	return err_ret(e);
}

int err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (e != NULL) {
		va_start(ap, fmt);
		vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
		va_end(ap);
	}
	return err_ret(e);
}

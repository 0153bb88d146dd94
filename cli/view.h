/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables and key/value blocks for people, described by const rows: title, member, format. On a
 * terminal a table fits its width, into a file or a pipe nothing is ever cut.
 */
#ifndef VIADUCT_CLI_VIEW_H
#define VIADUCT_CLI_VIEW_H

#include "cli/text.h"

#include "base/err.h"

#include <stdio.h>

struct field {
	const char *title;
	const char *path; /* dotted; "" is the object itself */
	text_fn *format;
	bool may_shrink; /* a table's column that gives way on a narrow terminal */
};

/* One line an item of the list `rows` (not NULL); an item that is no object shows as "-". */
int view_table(FILE *out, const struct field *fields, size_t count, const json_t *rows,
	       struct err *e);

/* "title:   value" lines, each after `indent` spaces. */
void view_block(FILE *out, const struct field *fields, size_t count, const json_t *obj);

#endif

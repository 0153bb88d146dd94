/* SPDX-License-Identifier: BSD-3-Clause */
/* Every stable code of an error, and every alarm: what it means and what to do. A test compares it with the tree. */
#ifndef VIADUCT_CLI_EXPLAIN_TABLE_H
#define VIADUCT_CLI_EXPLAIN_TABLE_H

#include "base/util.h"

struct explanation {
	const char *code;
	const char *cause;
	const char *next; /* what to type or change */
	const char *evidence; /* what on this host shows it; NULL: the error itself */
};

/* Sorted by code. */
extern const struct explanation explanations[];
extern const size_t explanation_count;

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of all commands, and how words become a row of it.
 */
#ifndef VIADUCT_CLI_COMMAND_H
#define VIADUCT_CLI_COMMAND_H

#include "cli/commands.h"
#include "cli/options.h"

struct command {
	const char *noun; /* "version" and "help" are nouns without a verb */
	const char *verb; /* or NULL */
	struct grammar grammar;
	command_fn *run;
};

extern const struct command commands[];
extern const size_t command_count;

/* The row of words[0] and words[1]; *used words of them are the command's name. -EINVAL with code
 * "usage" and the nearest word as the hint. */
int command_find(char **words, size_t count, const struct command **out, size_t *used,
		 struct err *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may stand at the cursor: `viaduct __complete WORD...`, called by the shells' completions
 * (cli/completion/) with the words after "viaduct", the last of which is being typed and may be "".
 * Everything comes from the tables of commands and options; names of PFs, VFs, leases, networks,
 * functions and VMs from the daemon, if it answers soon. Nothing here ever fails or speaks of errors.
 *
 * One candidate a line: WORD, a tab, what it is. ":file" and ":user" stand for what the shell knows
 * itself. A candidate that ends in '=' or ',' wants no blank after it.
 */
#ifndef VIADUCT_CLI_COMPLETE_H
#define VIADUCT_CLI_COMPLETE_H

#include "cli/cli.h"

#define COMPLETE_WORD "__complete"

void complete(struct cli *cli, char **words, size_t count);

/* The placeholder of the command's n-th word in its synopsis; false if it has none. */
bool complete_placeholder(const struct grammar *g, size_t n, char *buf, size_t cap);

/* Is it known what stands for this placeholder of a synopsis or an option? */
bool complete_is_known(const char *placeholder);

/* Candidates for a word of this kind that begin with typed, each with the prefix in front of it. */
void complete_value(struct cli *cli, const char *placeholder, const char *prefix,
		    const char *typed);

/* Prints it if it begins with what is typed and nothing in it means something to a shell. */
void complete_offer(struct cli *cli, const char *prefix, const char *typed, const char *word,
		    const char *what);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm console NAME --log: what a guest has written to its console, from the files that the VMM keeps
 * (CONSOLE_LOG_MAX each): the older one, then the newer, as plain text.
 */
#ifndef VIADUCT_CLI_CONSOLE_LOG_H
#define VIADUCT_CLI_CONSOLE_LOG_H

#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

struct cli;

int console_log_show(struct cli *cli, const char *name, struct err *e);

/* Lines end with a line feed alone; escape sequences and other control characters are left out, and what
 * could fool a terminal otherwise is '?' (text_clean). */
void console_log_print(FILE *out, const char *text, size_t len);

#endif

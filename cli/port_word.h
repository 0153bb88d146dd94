/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KEY=VALUE words of `port set`: those of a VM file, as members of the API's body.
 */
#ifndef VIADUCT_CLI_PORT_WORD_H
#define VIADUCT_CLI_PORT_WORD_H

#include "base/err.h"

#include <jansson.h>

/* "rate=5G" into body. -EINVAL code "usage". */
int port_word_add(json_t *body, const char *text, struct err *e);

/* The n-th key and the form of its value; NULL: there are no more. */
const char *port_word_key(size_t n, const char **form);

/* "VM/PORT" into its two names; what: "PORT", or what else a VM has, for the error. -EINVAL code "usage". */
#define PORT_NAME_TEXT 64
int port_name_split(const char *text, char vm[PORT_NAME_TEXT], char port[PORT_NAME_TEXT],
		    const char *what, struct err *e);

#endif

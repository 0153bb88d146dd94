/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One run of the command: where the daemon is, how to print, and what became of it. Every command
 * is a function of the table in command.c: it asks the daemon (cli_call), shows the reply
 * (cli_show) and returns 0 or a negative errno with the error filled; main.c prints that error once.
 */
#ifndef VIADUCT_CLI_CLI_H
#define VIADUCT_CLI_CLI_H

#include "cli/client.h"
#include "cli/options.h"
#include "cli/render.h"

#include "base/err.h"

#include <jansson.h>

#include <stdio.h>

/* Exit codes, the whole of them (docs/viaduct.1.scd). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1, /* the operation failed, or a check did */
	CLI_USAGE = 2, /* wrong usage or bad input, the daemon's HTTP 400 included */
};

/* The error code of a mistake on the command line. */
#define CLI_CODE_USAGE "usage"

struct cli {
	struct settings settings;
	struct client *client; /* made on first use */
	json_t *error_reply; /* the daemon's own error object, for --json; may be NULL */
	int exit_status; /* of a command that did not fail: CLI_OK, or CLI_FAILED for a failed check */
	FILE *out;
	FILE *err;
};

void cli_init(struct cli *cli);
void cli_fini(struct cli *cli);

/* Sends one request; *reply is the caller's. The daemon's refusal comes back as its errno and text. */
int cli_call(struct cli *cli, const struct request *rq, json_t **reply, struct err *e);

/* Prints the reply: unchanged with --json, else as `render` does. */
int cli_show(struct cli *cli, const json_t *reply, render_fn *render, struct err *e);

/* cli_call and cli_show in one; what most commands are. */
int cli_call_show(struct cli *cli, const struct request *rq, render_fn *render, struct err *e);

/* The same of a request that asked for an explanation: who is refused gets the table, too. */
int cli_call_explained(struct cli *cli, const struct request *rq, render_fn *render, struct err *e);

/* Prints the error on cli->err and returns the exit status that it means. */
int cli_fail(struct cli *cli, const struct err *e);

/* A mistake of the caller: code "usage", so exit status 2. Returns -EINVAL. */
int cli_usage(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts a word of the command line into a request's body. One that is no UTF-8 cannot be told: a mistake of the caller, since
 * without it the request would be another one. NULL: there is none to put. */
int cli_body_add(json_t *body, const char *key, const char *word, struct err *e);

#endif

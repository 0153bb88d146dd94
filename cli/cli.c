// SPDX-License-Identifier: BSD-3-Clause
#include "cli/cli.h"

#include "cli/text.h"

#include "base/json.h"

#include <errno.h>
#include <stdarg.h>

/* ASCII only, so that nothing in the daemon's texts can steer a terminal; 15 digits give back every
 * decimal fraction as it was written. */
#define DUMP_FLAGS (JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

void cli_init(struct cli *cli)
{
	memset(cli, 0, sizeof(*cli));
	cli->out = stdout;
	cli->err = stderr;
	settings_init(&cli->settings);
}

void cli_fini(struct cli *cli)
{
	client_destroy(cli->client);
	json_decref(cli->error_reply);
}

int cli_call(struct cli *cli, const struct request *rq, json_t **reply, struct err *e)
{
	json_t *body = NULL;
	int r;

	if (cli->client == NULL) {
		r = client_create(&cli->client, &cli->settings, e);
		if (r < 0)
			return r;
	}
	r = client_call(cli->client, rq, &body, e);
	if (r < 0) {
		json_decref(cli->error_reply);
		cli->error_reply = body;
		return r;
	}
	*reply = body;
	return 0;
}

int cli_show(struct cli *cli, const json_t *reply, render_fn *render, struct err *e)
{
	if (!cli->settings.json)
		return render(cli->out, reply, e);
	if (json_dumpf(reply, cli->out, DUMP_FLAGS) < 0)
		return err_set(e, EIO, "cannot write the reply");
	fputc('\n', cli->out);
	return 0;
}

int cli_call_show(struct cli *cli, const struct request *rq, render_fn *render, struct err *e)
{
	auto_json json_t *reply = NULL;
	int r = cli_call(cli, rq, &reply, e);

	return r < 0 ? r : cli_show(cli, reply, render, e);
}

int cli_call_explained(struct cli *cli, const struct request *rq, render_fn *render, struct err *e)
{
	auto_json json_t *reply = NULL;
	struct err unseen = { 0 };
	int r = cli_call(cli, rq, &reply, e);

	if (r == 0)
		return cli_show(cli, reply, render, e);
	/* With --json it is part of the error's object. */
	if (!cli->settings.json && cli->error_reply != NULL)
		render_placement(cli->out, cli->error_reply, &unseen);
	return r;
}

static void fail_print_json(struct cli *cli, const struct err *e)
{
	auto_json json_t *own = NULL;
	const json_t *reply = cli->error_reply;

	if (reply == NULL) {
		own = json_pack("{s:o}", "error", json_from_err(e));
		reply = own;
	}
	if (reply == NULL || json_dumpf(reply, cli->err, DUMP_FLAGS) < 0)
		fprintf(cli->err, "{\"error\":{\"errno\":%d}}", e->errnum);
	fputc('\n', cli->err);
}

static void fail_print_text(struct cli *cli, const struct err *e)
{
	char text[sizeof(e->text)], hint[sizeof(e->hint)];

	text_clean(text, sizeof(text), e->text);
	text_clean(hint, sizeof(hint), e->hint);
	fprintf(cli->err, "viaduct: %s\n", text);
	if (hint[0] != '\0')
		fprintf(cli->err, "  try: %s\n", hint);
}

int cli_fail(struct cli *cli, const struct err *e)
{
	bool bad_input = strcmp(e->code, CLI_CODE_USAGE) == 0 ||
			 (cli->client != NULL && client_http_status(cli->client) == 400);

	fflush(cli->out);
	if (cli->settings.json)
		fail_print_json(cli, e);
	else
		fail_print_text(cli, e);
	return bad_input ? CLI_USAGE : CLI_FAILED;
}

int cli_usage(struct err *e, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, EINVAL, "%s", text);
	err_code(e, CLI_CODE_USAGE);
	return -EINVAL;
}

int cli_body_add(json_t *body, const char *key, const char *word, struct err *e)
{
	if (word == NULL || json_object_set_new(body, key, json_string(word)) == 0)
		return 0;
	return cli_usage(e, "%s: what is said is not UTF-8 text", key);
}

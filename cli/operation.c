// SPDX-License-Identifier: BSD-3-Clause
/* operation list and show, and the requests that are operations. */
#include "cli/operation.h"

#include "cli/commands.h"
#include "cli/text.h"
#include "cli/view.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <unistd.h>

#define OPERATIONS   "/v1/operations"
#define POLL_S	     30
#define POLL_LIMIT_S 60
#define ID_TEXT	     64
#define STEPS_MAX    64

static void text_last_step(const json_t *steps, char *buf, size_t cap)
{
	size_t n = json_array_size(steps);

	text_value(n > 0 ? json_object_get(json_array_get(steps, n - 1), "step") : NULL, buf, cap);
}

static void text_ms(const json_t *ms, char *buf, size_t cap)
{
	if (json_is_integer(ms))
		snprintf(buf, cap, "%.1f s", (double)json_integer_value(ms) / 1000);
	else
		text_value(ms, buf, cap);
}

static const struct field list_columns[] = {
	{ "OPERATION", "id", text_value },    { "KIND", "kind", text_value },
	{ "OF", "target", text_value, true }, { "UID", "uid", text_value },
	{ "STATE", "state", text_value },     { "STARTED", "started_at", text_time },
	{ "TOOK", "took_ms", text_ms },	      { "STEP", "steps", text_last_step, true },
};

static const struct field show_fields[] = {
	{ "operation", "id", text_value }, { "kind", "kind", text_value },
	{ "of", "target", text_value },	   { "uid", "uid", text_value },
	{ "state", "state", text_value },  { "started at", "started_at", text_time },
	{ "took", "took_ms", text_ms },
};

static const struct field error_fields[] = {
	{ "failed", "text", text_value },
	{ "code", "code", text_value },
	{ "try", "hint", text_value },
};

static const struct field step_columns[] = {
	{ "AFTER", "ms", text_ms },
	{ "STEP", "step", text_value, true },
};

int render_operation_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "operations", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0) {
		fprintf(out, "No operations within the last hour.\n");
		return 0;
	}
	return view_table(out, list_columns, ARRAY_SIZE(list_columns), rows, e);
}

int render_operation(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *operation = json_object_get(reply, "operation");
	const json_t *error = json_object_get(operation, "error");
	const json_t *steps = json_object_get(operation, "steps");

	view_block(out, show_fields, ARRAY_SIZE(show_fields), operation);
	if (json_is_object(error))
		view_block(out, error_fields, ARRAY_SIZE(error_fields), error);
	if (!json_is_array(steps) || json_array_size(steps) == 0)
		return 0;
	fputc('\n', out);
	return view_table(out, step_columns, ARRAY_SIZE(step_columns), steps, e);
}

/* Its id, if the reply is that of an operation that has begun. A peer's word: it becomes part of a path. */
static bool id_take(const json_t *reply, char id[ID_TEXT])
{
	return json_get_str(json_object_get(reply, "operation"), "id", id, ID_TEXT, NULL) == 0 &&
	       id[0] != '\0' && id[strspn(id, "0123456789abcdef-")] == '\0';
}

static bool is_running(const json_t *reply)
{
	const char *state = json_string_value(text_member(reply, "operation.state"));

	return state != NULL && strcmp(state, "running") == 0;
}

/* Something follows it: each look comes back when there is another step. */
struct follow {
	const char *id;
	const char *what; /* before it has a step */
	uint64_t since_ns;
	bool is_printed; /* step by step on cli->out; else on a terminal, in one line */
	size_t seen;
};

static void steps_print(struct cli *cli, const json_t *steps, struct follow *f)
{
	for (; f->seen < json_array_size(steps) && f->seen < STEPS_MAX; f->seen++) {
		const json_t *step = json_array_get(steps, f->seen);
		char text[TEXT_CELL], after[TEXT_CELL];

		text_value(json_object_get(step, "step"), text, sizeof(text));
		text_ms(json_object_get(step, "ms"), after, sizeof(after));
		if (f->is_printed)
			fprintf(cli->out, "%8s  %s\n", after, text);
	}
	fflush(cli->out);
}

/* Until it has ended; *reply: the operation. A lost connection is not the end of the operation. */
static int follow(struct cli *cli, struct follow *f, json_t **reply, struct err *e)
{
	char query[64], progress[TEXT_CELL];
	struct request rq = { .method = "GET",
			      .collection = OPERATIONS,
			      .item = f->id,
			      .query = query,
			      .timeout_s = POLL_LIMIT_S,
			      .progress = progress,
			      .progress_since_ns = f->since_ns };
	auto_json json_t *now = NULL;

	snprintf(progress, sizeof(progress), "%s", f->what);
	for (;;) {
		const json_t *steps;
		int r;

		snprintf(query, sizeof(query), "wait=%d&steps=%zu", POLL_S, f->seen);
		json_decref(ptr_take(&now));
		r = cli_call(cli, &rq, &now, e);
		if (r < 0)
			return err_wrap(e, "operation %s", f->id);
		steps = text_member(now, "operation.steps");
		steps_print(cli, steps, f);
		if (f->seen > 0)
			text_last_step(steps, progress, sizeof(progress));
		if (!is_running(now))
			break;
	}
	*reply = ptr_take(&now);
	return 0;
}

/* What the request itself would have come to. */
static int outcome(struct cli *cli, const json_t *reply, json_t **result, struct err *e)
{
	const json_t *operation = json_object_get(reply, "operation");
	json_t *error = json_object_get(operation, "error");
	uint64_t status = 500;

	if (!json_is_object(error)) {
		*result = json_incref(json_object_get(operation, "result"));
		if (json_is_object(*result))
			return 0;
		json_decref(ptr_take(result));
		return err_set(e, EBADMSG, "viaductd's reply says nothing of what was done");
	}
	json_get_u64_opt(operation, "status", 599, &status, NULL);
	json_decref(cli->error_reply);
	cli->error_reply = json_pack("{s:O}", "error", error);
	return client_refusal(cli->client, (long)status, cli->error_reply, e);
}

static int begun(struct cli *cli, const json_t *reply, const char *id)
{
	if (cli->settings.json)
		return cli_show(cli, reply, NULL, NULL);
	fprintf(cli->out, "%s\n", id);
	return 0;
}

int operation_call(struct cli *cli, const struct args *a, const struct request *rq, json_t **reply,
		   struct err *e)
{
	bool no_wait = a->value[OPT_NO_WAIT] != NULL;
	struct request async = *rq;
	auto_json json_t *first = NULL, *last = NULL;
	struct follow f = { .what = rq->progress, .since_ns = now_ns() };
	char id[ID_TEXT];
	int r;

	*reply = NULL;
	if (!no_wait && (cli->settings.json || !isatty(STDERR_FILENO)))
		return cli_call(cli, rq, reply, e);
	async.is_async = true;
	r = cli_call(cli, &async, &first, e);
	if (r < 0 && !no_wait && strcmp(e->code, "too-many-operations") == 0) {
		*e = (struct err){ 0 };
		return cli_call(cli, rq, reply, e);
	}
	if (r < 0)
		return r;
	if (client_http_status(cli->client) != CLIENT_ACCEPTED) {
		*reply = ptr_take(&first);
		return 0;
	}
	if (!id_take(first, id))
		return err_set(e, EBADMSG, "viaductd's reply names no operation");
	if (no_wait)
		return begun(cli, first, id);
	f.id = id;
	r = follow(cli, &f, &last, e);
	return r < 0 ? r : outcome(cli, last, reply, e);
}

int operation_call_show(struct cli *cli, const struct args *a, const struct request *rq,
			render_fn *render, struct err *e)
{
	auto_json json_t *reply = NULL;
	int r = operation_call(cli, a, rq, &reply, e);

	return r < 0 || reply == NULL ? r : cli_show(cli, reply, render, e);
}

int operation_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = OPERATIONS };

	return cli_call_show(cli, &rq, render_operation_list, e);
}

/* Of what was done, and yet is not what its command was asked for: that command's exit status. */
static int verdict(struct cli *cli, const json_t *kind, const json_t *result, struct err *e)
{
	const char *name = json_is_string(kind) ? json_string_value(kind) : "";

	if (strcmp(name, "host-stop-vms") == 0)
		return vms_stopped_check(result, e);
	if (strcmp(name, "vf-release") == 0 || strcmp(name, "vf-scrub") == 0)
		vf_wiped_check(cli, result);
	else if (strcmp(name, "host-selftest") == 0)
		selftest_check(cli, result);
	return 0;
}

/* With --follow the exit status is that of what was done. */
int operation_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = OPERATIONS,
				    .item = a->words[0] };
	struct follow f = { .id = a->words[0],
			    .what = "waiting",
			    .since_ns = now_ns(),
			    .is_printed = !cli->settings.json };
	auto_json json_t *reply = NULL, *result = NULL;
	int r;

	if (a->value[OPT_FOLLOW] == NULL)
		return cli_call_show(cli, &rq, render_operation, e);
	r = follow(cli, &f, &reply, e);
	if (r == 0 && cli->settings.json)
		r = cli_show(cli, reply, render_operation, e);
	if (r < 0)
		return r;
	r = outcome(cli, reply, &result, e);
	if (r == 0)
		r = verdict(cli, text_member(reply, "operation.kind"), result, e);
	if (r == 0 && !cli->settings.json)
		fprintf(cli->out, cli->exit_status == CLI_OK
					  ? "done\n"
					  : "done, and not what was asked for\n");
	return r;
}

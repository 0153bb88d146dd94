// SPDX-License-Identifier: BSD-3-Clause
/*
 * host check: every prerequisite with its verdict, and for what is not right what it means and what
 * to do. A verdict that is no known word counts as a failure.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

#include "base/json.h"

#include <errno.h>

#define CHECKS_MAX 1000

enum verdict { VERDICT_PASS, VERDICT_WARN, VERDICT_FAIL, VERDICT_COUNT };

static const struct {
	const char *word; /* in the API */
	const char *shown;
} verdicts[VERDICT_COUNT] = {
	[VERDICT_PASS] = { "pass", "pass" },
	[VERDICT_WARN] = { "warn", "warn" },
	[VERDICT_FAIL] = { "fail", "FAIL" },
};

static enum verdict check_verdict(const json_t *check)
{
	const char *word = json_string_value(json_object_get(check, "status"));

	for (size_t i = 0; word != NULL && i < VERDICT_COUNT; i++)
		if (strcmp(word, verdicts[i].word) == 0)
			return (enum verdict)i;
	return VERDICT_FAIL;
}

static int title_width(const json_t *checks)
{
	char title[TEXT_CELL];
	const json_t *check;
	size_t i, width = 0;

	json_array_foreach((json_t *)checks, i, check) {
		text_value(text_member(check, "title"), title, sizeof(title));
		if (strlen(title) > width && strlen(title) <= 40)
			width = strlen(title);
	}
	return (int)width;
}

int render_host_check(FILE *out, const json_t *reply, struct err *e)
{
	char title[TEXT_CELL], detail[TEXT_CELL], remedy[TEXT_CELL];
	size_t i, count[VERDICT_COUNT] = { 0 };
	const json_t *check, *not_exercised;
	json_t *checks;
	int r = render_rows(reply, "checks", &checks, e), width;

	if (r < 0)
		return r;
	width = title_width(checks);
	json_array_foreach(checks, i, check) {
		enum verdict v = check_verdict(check);

		text_value(text_member(check, "title"), title, sizeof(title));
		text_value(text_member(check, "detail"), detail, sizeof(detail));
		text_value(text_member(check, "remedy"), remedy, sizeof(remedy));
		fprintf(out, "%s  %-*s  %s\n", verdicts[v].shown, width, title, detail);
		if (v != VERDICT_PASS && strcmp(remedy, "-") != 0)
			fprintf(out, "      fix: %s\n", remedy);
		count[v]++;
	}
	fprintf(out, "\n%zu passed, %zu warned, %zu failed\n", count[VERDICT_PASS],
		count[VERDICT_WARN], count[VERDICT_FAIL]);
	not_exercised = text_member(reply, "not_exercised");
	if (json_array_size(not_exercised) > 0) {
		text_value(text_member(reply, "cpu_family"), title, sizeof(title));
		text_value(not_exercised, detail, sizeof(detail));
		fprintf(out, "Not yet exercised on this CPU family (%s): %s\n", title, detail);
	}
	return 0;
}

int host_check(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/host/check",
				    .read_only = true,
				    .progress = "checking the host" };
	auto_json json_t *reply = NULL;
	const json_t *check;
	json_t *checks;
	size_t i;
	int r = cli_call(cli, &rq, &reply, e);

	if (r == 0)
		r = json_get_array(reply, "checks", CHECKS_MAX, &checks, e);
	if (r < 0)
		return r;
	json_array_foreach(checks, i, check)
		if (check_verdict(check) == VERDICT_FAIL)
			cli->exit_status = CLI_FAILED;
	/* A host of which nothing is known has not passed. */
	if (json_array_size(checks) == 0)
		return err_set(e, EBADMSG, "viaductd's reply holds no check");
	return cli_show(cli, reply, render_host_check, e);
}

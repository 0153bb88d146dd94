// SPDX-License-Identifier: BSD-3-Clause
/* version and help. */
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/text.h"

#include "base/json.h"
#include "vf-manager/api.h"

#include <errno.h>

static int render_version(FILE *out, const json_t *reply, struct err *e)
{
	char version[TEXT_CELL], pid[TEXT_CELL], uptime[TEXT_CELL];
	uint64_t api = 0;

	text_value(text_member(reply, "version"), version, sizeof(version));
	text_value(text_member(reply, "pid"), pid, sizeof(pid));
	text_seconds(text_member(reply, "uptime_s"), uptime, sizeof(uptime));
	fprintf(out, "viaductd %s (pid %s, up %s)\n", version, pid, uptime);
	json_get_u64_opt(reply, "api", UINT32_MAX, &api, NULL);
	if (api != API_VERSION)
		fprintf(out, "warning: it speaks version %llu of the API, this program %d\n",
			(unsigned long long)api, API_VERSION);
	return 0;
}

/* With --json the daemon's own object, so without a daemon an error; people are told either way. */
int version_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/version", .timeout_s = 10 };
	auto_json json_t *reply = NULL;
	char why[sizeof(e->text)];
	int r;

	if (!cli->settings.json)
		fprintf(cli->out, "viaduct %s\n", VIADUCT_VERSION);
	r = cli_call(cli, &rq, &reply, e);
	if (r == 0)
		return cli_show(cli, reply, render_version, e);
	if (cli->settings.json)
		return r;
	text_clean(why, sizeof(why), e->text);
	fprintf(cli->out, "%s\n", why);
	return 0;
}

static void help_all(FILE *out)
{
	const char *noun = "";

	fputs("usage: viaduct NOUN VERB [ARGUMENTS] [--json]\n", out);
	for (size_t i = 0; i < command_count; i++) {
		const struct grammar *g = &commands[i].grammar;
		char line[128];

		if (strcmp(noun, commands[i].noun) != 0 && commands[i].verb != NULL)
			fputc('\n', out);
		noun = commands[i].noun;
		snprintf(line, sizeof(line), "%s %s", g->name, g->synopsis);
		if (strlen(line) < 42)
			fprintf(out, "  %-42s%s\n", line, g->summary);
		else
			fprintf(out, "  %s\n  %-42s%s\n", line, "", g->summary);
	}
	fputs("\n"
	      "PF: PCI address or interface. VF: PCI address, PF#INDEX or name of its lease.\n"
	      "Settings, before or after the command: --json, --run-dir DIR (VIADUCT_RUN_DIR), --socket PATH.\n"
	      "Exit status: 0 done, 1 failed or a check failed, 2 wrong usage or bad input. See viaduct(1).\n",
	      out);
}

int help_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct command *c = NULL;
	char *words[2] = { (char *)a->words[0], (char *)a->words[1] };
	size_t used, shown = 0;
	int r;

	if (a->count == 0) {
		help_all(cli->out);
		return 0;
	}
	/* One noun: all its verbs. */
	for (size_t i = 0; a->count == 1 && i < command_count; i++) {
		if (strcmp(commands[i].noun, words[0]) != 0)
			continue;
		if (shown++ > 0)
			fputc('\n', cli->out);
		options_help(&commands[i].grammar, cli->out);
	}
	if (shown > 0)
		return 0;
	r = command_find(words, a->count, &c, &used, e);
	if (r == 0)
		options_help(&c->grammar, cli->out);
	return r;
}

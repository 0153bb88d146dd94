// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct NOUN VERB: settings, the row of the command table, its options, its function; then the
 * one place that prints an error and chooses the exit status.
 */
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/complete.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>

/* `viaduct`, `viaduct --help`, `viaduct --version`: the row that these mean. */
static const struct command *command_of_settings(const struct settings *s)
{
	const char *noun = s->version ? "version" : "help";

	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].noun, noun) == 0)
			return &commands[i];
	return NULL;
}

static int run(struct cli *cli, int argc, char **argv, struct err *e)
{
	const struct command *c = NULL;
	struct args args = { 0 };
	size_t used = 0;
	int first, r;

	/* Before anything can fail: the form of the errors. */
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			cli->settings.json = true;
	r = options_parse_global(argc, argv, &cli->settings, &first, e);
	if (r < 0)
		return r;
	if (cli->settings.help || cli->settings.version) {
		c = command_of_settings(&cli->settings);
		return c->run(cli, &args, e);
	}
	if (first == argc) {
		cli_usage(e, "no command");
		return err_hint(e, "viaduct help");
	}
	/* `viaduct pf --help` */
	if (argc - first == 2 && strcmp(argv[first + 1], "--help") == 0)
		return help_show(cli, &(struct args){ .words = { argv[first] }, .count = 1 }, e);
	r = command_find(argv + first, (size_t)(argc - first), &c, &used, e);
	if (r == 0)
		r = options_parse(argv + first + used - 1, &c->grammar, &cli->settings, &args, e);
	if (r < 0)
		return r;
	if (cli->settings.help) {
		options_help(&c->grammar, cli->out);
		return 0;
	}
	return c->run(cli, &args, e);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	struct cli cli;
	int status;

	/* Widths of characters; numbers stay as programs expect them. */
	setlocale(LC_CTYPE, "");
	cli_init(&cli);
	/* What the shells' completions call; no command, so in no help. */
	if (argc > 2 && strcmp(argv[1], COMPLETE_WORD) == 0) {
		complete(&cli, argv + 2, (size_t)argc - 2);
		cli_fini(&cli);
		return CLI_OK;
	}
	if (run(&cli, argc, argv, &e) < 0)
		status = cli_fail(&cli, &e);
	else
		status = cli.exit_status;
	cli_fini(&cli);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "viaduct: write: %s\n", strerror(errno));
		status = status == CLI_OK ? CLI_FAILED : status;
	}
	return status;
}

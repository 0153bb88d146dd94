// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct bench: the words go on to the benchmark's own program, bench/main, which takes this
 * process's place. It asks viaduct as an operator does, by this very program (VIADUCT_BENCH_CLI).
 */
#include "cli/bench.h"

#include "cli/cli.h"
#include "cli/commands.h"

#include "base/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* program, verb, two for each option, "--", words, NULL */
#define BENCH_ARGV_MAX (2 + 2 * (OPTION_COUNT + 1) + 1 + ARGS_MAX + 1)

const char *const bench_scenarios[] = { "host-vf",     "guest-vf",  "guest-polled",
					"guest-chain", "interrupt", "tcp",
					"start",       "scale",	    NULL };
const char *const bench_profiles[] = { "rfc", "lab", "counted", "smoke", NULL };
const char *const bench_monitors[] = { "qemu", NULL };

static const struct {
	enum option_id id;
	const char *word;
} forwarded[] = {
	{ OPT_PROFILE, "--profile" },
	{ OPT_ROUNDS, "--rounds" },
	{ OPT_JSON_FILE, "--json" },
	{ OPT_HTML, "--html" },
	{ OPT_PNG, "--png" },
	{ OPT_AGAINST, "--against" },
	{ OPT_PF, "--pf" },
	{ OPT_WIRE, "--wire" },
	{ OPT_GUEST_KERNEL, "--guest-kernel" },
	{ OPT_GUEST_IMAGE, "--guest-image" },
	{ OPT_PLOT, "--plot" },
	{ OPT_DARK, "--dark" },
	{ OPT_EVERY, "--every" },
	{ OPT_AGAIN, "--again" },
};

/* As installed (BENCH_FOLDER, from the folder of this program or absolute), or as meson builds it (cli/viaduct, bench/main). */
static const char *const places[] = { BENCH_FOLDER "/main", "../bench/main", NULL };

static int bench_exec(struct cli *cli, const char *verb, const struct args *a, struct err *e)
{
	char self[PATH_MAX], path[PATH_MAX];
	const char *argv[BENCH_ARGV_MAX] = { path, verb };
	size_t n = 2;

	if (program_self(self) < 0 || program_find(places, path) < 0) {
		err_set(e, ENOENT, "the programs of the benchmark are not installed");
		err_code(e, "bench-missing");
		return err_hint(e, "meson install -C build/release");
	}
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++) {
		if (a->value[forwarded[i].id] == NULL)
			continue;
		argv[n++] = forwarded[i].word;
		if (a->value[forwarded[i].id][0] != '\0') /* not of those without value */
			argv[n++] = a->value[forwarded[i].id];
	}
	if (cli->settings.json && a->value[OPT_JSON_FILE] == NULL) {
		argv[n++] = "--json";
		argv[n++] = "-";
	}
	/* What follows is no option, whatever it looks like. */
	if (a->count > 0)
		argv[n++] = "--";
	for (size_t i = 0; i < a->count; i++)
		argv[n++] = a->words[i];
	setenv("VIADUCT_BENCH_CLI", self, 1);
	setenv("VIADUCT_RUN_DIR", cli->settings.run_dir, 1);
	if (cli->settings.socket[0] != '\0')
		setenv("VIADUCT_BENCH_SOCKET", cli->settings.socket, 1);
	fflush(cli->out);
	execv(path, (char *const *)argv);
	return err_set(e, errno, "run %s: %s", path, strerror(errno));
}

int bench_list(struct cli *cli, const struct args *a, struct err *e)
{
	return bench_exec(cli, "list", a, e);
}

int bench_run(struct cli *cli, const struct args *a, struct err *e)
{
	return bench_exec(cli, "run", a, e);
}

int bench_report(struct cli *cli, const struct args *a, struct err *e)
{
	return bench_exec(cli, "report", a, e);
}

int bench_compare(struct cli *cli, const struct args *a, struct err *e)
{
	return bench_exec(cli, "compare", a, e);
}

int bench_selftest(struct cli *cli, const struct args *a, struct err *e)
{
	return bench_exec(cli, "selftest", a, e);
}

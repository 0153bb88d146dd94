// SPDX-License-Identifier: BSD-3-Clause
/*
 * config check and config diff: viaductd.yaml, what of it this machine cannot do, and
 * where the daemon, the file and the machine disagree.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"
#include "cli/yaml_file.h"

#include "base/fd.h"
#include "base/json.h"
#include "vf-manager/api.h"

#include <errno.h>
#include <stdlib.h>

static const char *config_path(const struct args *a)
{
	const char *path = a->count > 0 ? a->words[0] : getenv("VIADUCT_CONFIG");

	return path != NULL && path[0] != '\0' ? path : API_DEFAULT_CONFIG;
}

int render_config_checked(FILE *out, const json_t *reply, struct err *e)
{
	char cell[TEXT_CELL];
	const json_t *line;
	json_t *warnings;
	size_t i;
	int r = render_rows(reply, "warnings", &warnings, e);

	if (r < 0)
		return r;
	fprintf(out, "the configuration is right: %zu networks, %zu PFs\n",
		json_array_size(text_member(reply, "config.networks")),
		json_array_size(text_member(reply, "config.pfs")));
	json_array_foreach(warnings, i, line) {
		text_value(line, cell, sizeof(cell));
		fprintf(out, "warning: %s\n", cell);
	}
	return 0;
}

int config_check(struct cli *cli, const struct args *a, struct err *e)
{
	const char *path = config_path(a);
	auto_json json_t *body = NULL;
	auto_free char *text = NULL;
	struct request rq = { .method = "POST",
			      .collection = "/v1/config/check",
			      .read_only = true };
	int r = yaml_file_read(path, &text, e);

	if (r < 0)
		return r;
	body = json_pack("{s:s, s:s}", "yaml", text, "file", path);
	if (body == NULL)
		return cli_usage(e, "%.200s is not UTF-8 text", path);
	rq.body = body;
	return cli_call_show(cli, &rq, render_config_checked, e);
}

/* The wanted value of a whole section would fill the screen. */
static void text_short(const json_t *v, char *buf, size_t cap)
{
	if (json_is_array(v))
		snprintf(buf, cap, "%zu entries", json_array_size(v));
	else
		text_value(v, buf, cap);
}

static const struct field difference_columns[] = {
	{ "OF", "of", text_value },	    { "KEY", "key", text_value },
	{ "WANTED", "wanted", text_short }, { "IS", "is", text_short },
	{ "WHAT NOW", "hint", text_value },
};

int render_config_diff(FILE *out, const json_t *reply, struct err *e)
{
	char path[TEXT_CELL];
	json_t *rows;
	int r = render_rows(reply, "differences", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) > 0)
		return view_table(out, difference_columns, ARRAY_SIZE(difference_columns), rows, e);
	text_value(text_member(reply, "path"), path, sizeof(path));
	fprintf(out, "no differences: the daemon runs what %s says, and the PFs are as wanted\n",
		path);
	return 0;
}

int config_diff(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/config" };
	auto_json json_t *reply = NULL;
	int r = cli_call(cli, &rq, &reply, e);

	if (r < 0)
		return r;
	if (json_array_size(json_object_get(reply, "differences")) > 0)
		cli->exit_status = CLI_FAILED;
	return cli_show(cli, reply, render_config_diff, e);
}

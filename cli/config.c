// SPDX-License-Identifier: BSD-3-Clause
/*
 * config check and config diff, network list and show: viaductd.yaml, what of it this machine cannot do, and
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

static void text_uplinks(const json_t *net, char *buf, size_t cap)
{
	const json_t *uplink, *uplinks = text_member(net, "uplinks");
	char cell[TEXT_CELL];
	size_t i, len = 0;

	buf[0] = '\0';
	json_array_foreach((json_t *)uplinks, i, uplink) {
		text_value(text_member(uplink, "name"), cell, sizeof(cell));
		len += (size_t)snprintf(buf + len, cap - len, "%s%s%s", i > 0 ? ", " : "", cell,
					json_is_string(text_member(uplink, "problem")) ? " (!)"
										       : "");
		if (len >= cap)
			return;
	}
}

static const struct field network_columns[] = {
	{ "NETWORK", "name", text_value },
	{ "UPLINKS", "", text_uplinks, true },
	{ "VFS FREE", "vfs_free", text_value },
};

static const struct field uplink_columns[] = {
	{ "UPLINK", "name", text_value },     { "PF", "pf", text_value },
	{ "CARRIER", "carrier", text_value }, { "VFS", "num_vfs", text_value },
	{ "FREE", "vfs_free", text_value },   { "PROBLEM", "problem", text_value, true },
};

int render_network_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "networks", &rows, e);

	return r < 0 ? r : view_table(out, network_columns, ARRAY_SIZE(network_columns), rows, e);
}

int render_network(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "uplinks", &rows, e);

	if (r < 0)
		return r;
	view_block(out, network_columns, ARRAY_SIZE(network_columns), reply);
	fputc('\n', out);
	return view_table(out, uplink_columns, ARRAY_SIZE(uplink_columns), rows, e);
}

int network_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/networks",
				    .read_only = true };

	return cli_call_show(cli, &rq, render_network_list, e);
}

int network_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/networks",
				    .item = a->words[0],
				    .read_only = true };

	return cli_call_show(cli, &rq, render_network, e);
}

// SPDX-License-Identifier: BSD-3-Clause
/* disk list, show, stats, set, resize. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/port_word.h"
#include "cli/text.h"
#include "cli/view.h"

#include "base/json.h"
#include "base/parse.h"

#include <errno.h>

#define LIMIT_MOST INT64_MAX

static void text_limit(const json_t *v, char *buf, size_t cap)
{
	if (json_is_integer(v) && json_integer_value(v) == 0)
		snprintf(buf, cap, "none");
	else
		text_value(v, buf, cap);
}

static void text_rate_limit(const json_t *v, char *buf, size_t cap)
{
	char bytes[TEXT_CELL];

	text_bytes(v, bytes, sizeof(bytes));
	if (json_is_integer(v) && json_integer_value(v) == 0)
		snprintf(buf, cap, "none");
	else
		snprintf(buf, cap, "%s/s", bytes);
}

static void text_name(const json_t *disk, char *buf, size_t cap)
{
	char vm[TEXT_CELL], name[TEXT_CELL];

	text_value(text_member(disk, "vm"), vm, sizeof(vm));
	text_value(text_member(disk, "name"), name, sizeof(name));
	snprintf(buf, cap, "%s/%s", vm, name);
}

static void text_access(const json_t *disk, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s, %s",
		 json_is_true(text_member(disk, "readonly")) ? "read only" : "read and write",
		 json_is_true(text_member(disk, "direct")) ? "direct" : "buffered");
}

static const struct field columns[] = {
	{ "DISK", "", text_name },
	{ "SIZE", "size", text_bytes },
	{ "STATE", "state", text_value },
	{ "READS", "stats.reads", text_value },
	{ "WRITES", "stats.writes", text_value },
	{ "ERRORS", "stats.errors", text_value },
	{ "IMAGE", "path", text_value, true },
	{ "PROBLEM", "error", text_value, true },
};

static const struct field fields[] = {
	{ "disk", "", text_name },
	{ "image", "path", text_value },
	{ "size", "size", text_bytes },
	{ "access", "", text_access },
	{ "serial", "serial", text_value },
	{ "boot order", "boot", text_value },
	{ "queues", "queues", text_value },
	{ "queue size", "queue_size", text_value },
	{ "limit of iops", "iops", text_limit },
	{ "limit of bandwidth", "bandwidth", text_rate_limit },
	{ "state", "state", text_value },
	{ "process", "backend.name", text_value },
	{ "its pid", "backend.pid", text_value },
	{ "problem", "error", text_value },
	{ "last I/O error", "io_error", text_value },
	{ "warning", "warning", text_value },
};

static const struct field counts[] = {
	{ "DISK", "", text_name },
	{ "READS", "stats.reads", text_value },
	{ "READ", "stats.read_bytes", text_bytes },
	{ "WRITES", "stats.writes", text_value },
	{ "WRITTEN", "stats.written_bytes", text_bytes },
	{ "FLUSHES", "stats.flushes", text_value },
	{ "DISCARDS", "stats.discards", text_value },
	{ "IN FLIGHT", "stats.in_flight", text_value },
	{ "ERRORS", "stats.errors", text_value },
	{ "NO SPACE", "stats.no_space", text_value },
	{ "KICKS", "stats.kicks", text_value },
	{ "CALLS", "stats.calls", text_value },
};

int render_disk_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "disks", &rows, e);

	return r < 0 ? r : view_table(out, columns, ARRAY_SIZE(columns), rows, e);
}

int render_disk_stats(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "disks", &rows, e);

	return r < 0 ? r : view_table(out, counts, ARRAY_SIZE(counts), rows, e);
}

int render_disk(FILE *out, const json_t *reply, struct err *e)
{
	auto_json json_t *rows = json_pack("[O]", reply);

	view_block(out, fields, ARRAY_SIZE(fields), reply);
	if (!json_is_object(text_member(reply, "stats")))
		return 0;
	fputc('\n', out);
	return view_table(out, counts + 1, ARRAY_SIZE(counts) - 1, rows, e);
}

void vm_disks_print(FILE *out, const json_t *vm)
{
	json_t *list = json_object_get(vm, "disks"), *disk;
	size_t i;

	json_array_foreach(list, i, disk) {
		char name[TEXT_CELL], size[TEXT_CELL], state[TEXT_CELL], path[TEXT_CELL];
		static const char *const notes[] = { "warning", "error", "io_error" };

		text_value(text_member(disk, "name"), name, sizeof(name));
		text_bytes(text_member(disk, "size"), size, sizeof(size));
		text_value(text_member(disk, "state"), state, sizeof(state));
		text_value(text_member(disk, "path"), path, sizeof(path));
		fprintf(out, "disk %s: %s, %s, %s%s\n", name, size, path, state,
			json_is_true(text_member(disk, "readonly")) ? ", read only" : "");
		for (size_t k = 0; k < ARRAY_SIZE(notes); k++)
			if (json_is_string(text_member(disk, notes[k]))) {
				text_value(text_member(disk, notes[k]), path, sizeof(path));
				fprintf(out, "  %s\n", path);
			}
	}
}

/* A request about one disk. */
struct ask {
	char vm[PORT_NAME_TEXT], disk[PORT_NAME_TEXT], query[PORT_NAME_TEXT + 8];
	struct request rq;
};

static int ask_init(struct ask *ask, const char *text, const char *action, struct err *e)
{
	int r;

	memset(ask, 0, sizeof(*ask));
	r = port_name_split(text, ask->vm, ask->disk, "DISK", e);
	if (r < 0)
		return err_hint(e, "viaduct disk list");
	snprintf(ask->query, sizeof(ask->query), "disk=%s", ask->disk);
	ask->rq = (struct request){
		.method = "GET", .collection = "/v1/vms", .item = ask->vm, .action = action
	};
	return 0;
}

static const struct request all = { .method = "GET", .collection = "/v1/disks" };

int disk_list(struct cli *cli, const struct args *a, struct err *e)
{
	return cli_call_show(cli, &all, render_disk_list, e);
}

int disk_stats(struct cli *cli, const struct args *a, struct err *e)
{
	struct ask ask;
	int r;

	if (a->count == 0)
		return cli_call_show(cli, &all, render_disk_stats, e);
	r = ask_init(&ask, a->words[0], "disks", e);
	ask.rq.query = ask.query;
	return r < 0 ? r : cli_call_show(cli, &ask.rq, render_disk_stats, e);
}

int disk_show(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *reply = NULL;
	struct ask ask;
	const json_t *disk;
	int r = ask_init(&ask, a->words[0], "disks", e);

	ask.rq.query = ask.query;
	if (r == 0)
		r = cli_call(cli, &ask.rq, &reply, e);
	if (r < 0)
		return r;
	disk = json_array_get(json_object_get(reply, "disks"), 0);
	if (!json_is_object(disk))
		return err_set(e, EBADMSG, "the daemon's reply holds no disk");
	return cli_show(cli, disk, render_disk, e);
}

static int limit_add(json_t *body, const char *text, struct err *e)
{
	static const char *const keys[] = { "iops", "bandwidth" };
	const char *eq = strchr(text, '=');
	uint64_t n = 0;

	for (size_t i = 0; eq != NULL && i < ARRAY_SIZE(keys); i++) {
		if (strlen(keys[i]) != (size_t)(eq - text) ||
		    strncmp(keys[i], text, (size_t)(eq - text)) != 0)
			continue;
		if (strcmp(eq + 1, "off") != 0 && (parse_size(eq + 1, &n) < 0 || n > LIMIT_MOST))
			return cli_usage(e, "%s is '%.64s', not %s", keys[i], eq + 1,
					 i == 0 ? "a number or off"
						: "bytes a second such as 200M, or off");
		json_object_set_new(body, keys[i], json_integer((json_int_t)n));
		return 0;
	}
	cli_usage(e, "'%.64s' is no limit of a disk", text);
	return err_hint(e, "iops=5000 bandwidth=200M   (off: no limit)");
}

int disk_set(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object();
	struct ask ask;
	int r = ask_init(&ask, a->words[0], "disks/set", e);

	for (size_t i = 1; r == 0 && i < a->count; i++)
		r = limit_add(body, a->words[i], e);
	if (r < 0)
		return r;
	json_object_set_new(body, "disk", json_string(ask.disk));
	ask.rq.method = "POST";
	ask.rq.body = body;
	return cli_call_show(cli, &ask.rq, render_disk, e);
}

int disk_resize(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object();
	uint64_t size = 0;
	struct ask ask;
	int r = ask_init(&ask, a->words[0], "disks/resize", e);

	if (r == 0 && a->count > 1 && (parse_size(a->words[1], &size) < 0 || size > LIMIT_MOST))
		r = cli_usage(e, "'%.64s' is no size (such as 20G)", a->words[1]);
	if (r < 0)
		return r;
	json_object_set_new(body, "disk", json_string(ask.disk));
	if (a->count > 1)
		json_object_set_new(body, "size", json_integer((json_int_t)size));
	ask.rq.method = "POST";
	ask.rq.body = body;
	ask.rq.progress = "making the disk larger";
	return cli_call_show(cli, &ask.rq, render_disk, e);
}

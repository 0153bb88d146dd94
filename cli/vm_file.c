// SPDX-License-Identifier: BSD-3-Clause
/*
 * vm check, vm run and vm create: the VM file is read here, with the caller's rights, and goes to the daemon
 * as text together with the folder that its relative paths start from.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/text.h"
#include "cli/view.h"
#include "cli/yaml_file.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define RUN_TIMEOUT_S 900 /* a large guest's memory is zeroed and pinned */
#define LINES_MAX     1000

/* The folder of the file, absolute and without links. */
static int file_base_dir(const char *path, char out[PATH_MAX], struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";

	if (slash != NULL) {
		size_t len = slash == path ? 1 : (size_t)(slash - path);

		if (len >= sizeof(dir))
			return yaml_file_error(e, path, ENAMETOOLONG);
		memcpy(dir, path, len);
		dir[len] = '\0';
	}
	return realpath(dir, out) != NULL ? 0 : yaml_file_error(e, path, errno);
}

static int file_request(const char *path, json_t **body, struct err *e)
{
	auto_free char *text = NULL;
	char base_dir[PATH_MAX];
	int r = yaml_file_read(path, &text, e);

	if (r == 0)
		r = file_base_dir(path, base_dir, e);
	if (r < 0)
		return r;
	*body = json_pack("{s:s, s:s, s:s}", "yaml", text, "file", path, "base_dir", base_dir);
	return *body != NULL ? 0 : cli_usage(e, "%.200s is not UTF-8 text", path);
}

static int unsafe_add(const struct args *a, json_t *body, struct err *e)
{
	return cli_body_add(body, "allow_unsafe_interrupts", a->value[OPT_UNSAFE], e);
}

static void print_lines(FILE *out, const json_t *lines, const char *prefix)
{
	char cell[TEXT_CELL];
	const json_t *line;
	size_t i;

	json_array_foreach((json_t *)lines, i, line) {
		if (i == LINES_MAX)
			break;
		text_value(line, cell, sizeof(cell));
		fprintf(out, "%s%s\n", prefix, cell);
	}
}

static void text_amount(const json_t *row, const char *key, char *buf, size_t cap)
{
	const json_t *value = json_object_get(row, key);
	char unit[TEXT_CELL];

	text_value(json_object_get(row, "unit"), unit, sizeof(unit));
	if (!json_is_integer(value))
		text_value(value, buf, cap);
	else if (strcmp(unit, "bytes") == 0)
		snprintf(buf, cap, "%lld MiB", (long long)(json_integer_value(value) >> 20));
	else
		snprintf(buf, cap, "%lld %.32s", (long long)json_integer_value(value), unit);
}

static void text_need(const json_t *row, char *buf, size_t cap)
{
	text_amount(row, "need", buf, cap);
}

static void text_have(const json_t *row, char *buf, size_t cap)
{
	text_amount(row, "have", buf, cap);
}

static const struct field budget_columns[] = {
	{ "RESOURCE", "resource", text_value },
	{ "NEEDED", "", text_need },
	{ "THERE IS", "", text_have },
};

int render_vm_checked(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *budget = json_object_get(reply, "budget");
	char name[TEXT_CELL];
	int r;

	text_value(text_member(reply, "spec.name"), name, sizeof(name));
	r = render_placement(out, reply, e);
	if (r < 0)
		return r;
	fprintf(out, "VM %s: the file is right\n", name);
	print_lines(out, json_object_get(reply, "warnings"), "warning: ");
	if (json_array_size(json_object_get(reply, "plan")) > 0)
		fprintf(out, "`vm run` would\n");
	print_lines(out, json_object_get(reply, "plan"), "  ");
	if (json_array_size(budget) == 0)
		return 0;
	return view_table(out, budget_columns, ARRAY_SIZE(budget_columns), budget, e);
}

static const struct field started_columns[] = {
	{ "PORT", "name", text_value },	      { "ENGINE", "engine", text_value },
	{ "VF", "vf", text_value },	      { "ID", "vf_id", text_value },
	{ "NETWORK", "network", text_value }, { "GROUP", "iommu_group", text_value },
	{ "MAC", "mac", text_value },	      { "VLAN", "vlan", text_value },
};

static const struct field taken_columns[] = {
	{ "FUNCTION", "name", text_value },	    { "ADDRESS", "address", text_value },
	{ "ON THE HOST", "host_name", text_value }, { "HOST'S DRIVER", "host_driver", text_value },
	{ "GROUP", "iommu_group", text_value },
};

int render_vm_started(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL], state[TEXT_CELL], seconds[TEXT_CELL], vcpus[TEXT_CELL];
	char memory[TEXT_CELL], console[TEXT_CELL];
	const json_t *ports = json_object_get(reply, "ports");
	const json_t *functions = json_object_get(reply, "functions");
	int r = 0;

	text_value(text_member(reply, "name"), name, sizeof(name));
	text_value(text_member(reply, "state"), state, sizeof(state));
	text_value(text_member(reply, "vcpus"), vcpus, sizeof(vcpus));
	text_bytes(text_member(reply, "memory"), memory, sizeof(memory));
	text_seconds(text_member(reply, "start_seconds"), seconds, sizeof(seconds));
	text_value(text_member(reply, "console"), console, sizeof(console));
	fprintf(out, "VM %s is %s: %s vCPUs, %s; its first vCPU ran after %s\n", name, state, vcpus,
		memory, seconds);
	vm_unsafe_print(out, reply);
	print_lines(out, json_object_get(reply, "warnings"), "warning: ");
	if (json_array_size(ports) > 0)
		r = view_table(out, started_columns, ARRAY_SIZE(started_columns), ports, e);
	if (r == 0 && json_array_size(functions) > 0)
		r = view_table(out, taken_columns, ARRAY_SIZE(taken_columns), functions, e);
	if (r < 0)
		return r;
	fprintf(out, "console: viaduct vm console %s   (%s)\n", name, console);
	return 0;
}

int vm_check(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = NULL;
	struct request rq = { .method = "POST",
			      .collection = "/v1/vms/check",
			      .progress = "checking the VM file",
			      .read_only = true };
	int r = file_request(a->words[0], &body, e);

	if (r == 0)
		r = unsafe_add(a, body, e);
	if (r == 0 && a->value[OPT_EXPLAIN] != NULL)
		json_object_set_new(body, "explain", json_true());
	rq.body = body;
	return r < 0 ? r : cli_call_explained(cli, &rq, render_vm_checked, e);
}

int vm_run(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = NULL;
	struct request rq = { .method = "POST",
			      .collection = "/v1/vms",
			      .timeout_s = RUN_TIMEOUT_S,
			      .progress = "starting the VM" };
	int r;

	if (a->value[OPT_DRY_RUN] != NULL && a->value[OPT_NO_WAIT] != NULL)
		return cli_usage(e, "--dry-run and --no-wait: one of them");
	if (a->value[OPT_DRY_RUN] != NULL)
		return vm_check(cli, a, e);
	if (a->value[OPT_EXPLAIN] != NULL) {
		cli_usage(e, "vm run: --explain needs --dry-run");
		return err_hint(e, "viaduct vm check %.200s --explain", a->words[0]);
	}
	r = file_request(a->words[0], &body, e);
	if (r == 0)
		r = unsafe_add(a, body, e);
	if (r == 0)
		r = cli_body_add(body, "owner", a->value[OPT_OWNER], e);
	rq.body = body;
	return r < 0 ? r : operation_call_show(cli, a, &rq, render_vm_started, e);
}

static int render_vm_created(FILE *out, const json_t *reply, struct err *e)
{
	bool differs = json_is_true(text_member(reply, "defined.differs"));
	char name[TEXT_CELL], state[TEXT_CELL];

	text_value(text_member(reply, "name"), name, sizeof(name));
	text_value(text_member(reply, "state"), state, sizeof(state));
	fprintf(out, "VM %s is defined and %s\n", name, state);
	print_lines(out, json_object_get(reply, "warnings"), "warning: ");
	if (differs)
		fprintf(out,
			"It runs by its former file: this one takes effect at its next start\n");
	else if (!json_is_integer(json_object_get(reply, "pid")))
		fprintf(out, "To start it: viaduct vm start %s\n", name);
	return 0;
}

int vm_create(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = NULL;
	struct request rq = { .method = "POST",
			      .collection = "/v1/vms/create",
			      .progress = "checking the VM file" };
	int r = file_request(a->words[0], &body, e);

	if (r == 0)
		r = unsafe_add(a, body, e);
	if (r == 0)
		r = cli_body_add(body, "owner", a->value[OPT_OWNER], e);
	if (r < 0)
		return r;
	if (a->value[OPT_REPLACE] != NULL)
		json_object_set_new(body, "replace", json_true());
	rq.body = body;
	return cli_call_show(cli, &rq, render_vm_created, e);
}

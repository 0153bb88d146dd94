// SPDX-License-Identifier: BSD-3-Clause
/* The everyday life of VMs: vm start, stop, restart, delete, history; what is kept of one that is defined. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/text.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

#define STOP_MAX_S    3600
#define STOP_MARGIN_S 60 /* the kill at the deadline, and the release of the VFs */
#define ALL_DEFAULT_S 240
#define START_S	      900 /* a large guest's memory is zeroed and pinned */
#define PROGRESS_TEXT 160

static uint64_t count_of(const json_t *obj, const char *path)
{
	json_int_t n = json_integer_value(text_member(obj, path));

	return n > 0 ? (uint64_t)n : 0;
}

static void text_wanted(const json_t *wanted, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s", json_is_true(wanted) ? "running" : "stopped");
}

/* "with the host: order 10, after db, 5 s later". */
static void text_autostart(const json_t *a, char *buf, size_t cap)
{
	char after[TEXT_CELL], text[TEXT_CELL + 128];
	size_t n;

	if (!json_is_object(a)) {
		snprintf(buf, cap, "no");
		return;
	}
	n = (size_t)snprintf(text, sizeof(text), "with the host: order %lld",
			     (long long)json_integer_value(text_member(a, "order")));
	if (json_array_size(text_member(a, "after")) > 0) {
		text_value(text_member(a, "after"), after, sizeof(after));
		n += (size_t)snprintf(text + n, sizeof(text) - n, ", after %.400s", after);
	}
	if (n < sizeof(text) && count_of(a, "delay_s") > 0)
		snprintf(text + n, sizeof(text) - n, ", %llu s later",
			 (unsigned long long)count_of(a, "delay_s"));
	text_clean(buf, cap, text);
}

/* "restart after 5 s, then twice as long; at most 5 times in 600 s". */
static void text_on_crash(const json_t *c, char *buf, size_t cap)
{
	char action[64], text[192];

	text_value(text_member(c, "action"), action, sizeof(action));
	if (strcmp(action, "restart") == 0)
		snprintf(text, sizeof(text),
			 "restart after %llu s, then twice as long; at most %llu times in %llu s",
			 (unsigned long long)count_of(c, "backoff_s"),
			 (unsigned long long)count_of(c, "max"),
			 (unsigned long long)count_of(c, "within_s"));
	else
		snprintf(text, sizeof(text), "%s", action);
	text_clean(buf, cap, text);
}

static const struct field defined_fields[] = {
	{ "shall be", "defined.wanted", text_wanted },
	{ "starts", "defined.autostart", text_autostart },
	{ "on a crash", "defined.on_crash", text_on_crash },
	{ "crashes", "defined.crashes", text_value },
	{ "restarts", "defined.restarts", text_value },
	{ "starts again at", "defined.restart_at", text_time },
	{ "not started", "defined.held.text", text_value },
	{ "defined by", "defined.by.name", text_value },
	{ "file of", "defined.changed_at", text_time },
};

static const struct field history_columns[] = {
	{ "AT", "at", text_time },
	{ "WHAT", "what", text_value },
	{ "CAUSE", "cause", text_value },
	{ "ASKED BY", "who", text_value },
	{ "TEXT", "text", text_value, true },
};

void vm_defined_print(FILE *out, const json_t *vm)
{
	const json_t *defined = json_object_get(vm, "defined");
	struct field fields[ARRAY_SIZE(defined_fields)];
	char cell[TEXT_CELL];
	size_t n = 0;

	if (!json_is_object(defined))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(defined_fields); i++) {
		defined_fields[i].format(text_member(vm, defined_fields[i].path), cell,
					 sizeof(cell));
		if (strcmp(cell, "-") != 0)
			fields[n++] = defined_fields[i];
	}
	view_block(out, fields, n, vm);
	if (json_is_true(json_object_get(defined, "differs")))
		fputs("Its file was replaced since it runs: that takes effect at its next start\n",
		      out);
	if (json_array_size(json_object_get(vm, "ends")) > 0) {
		fputc('\n', out);
		view_table(out, history_columns, ARRAY_SIZE(history_columns),
			   json_object_get(vm, "ends"), NULL);
	}
}

int render_vm_history(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "history", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0) {
		fputs("It has never run\n", out);
		return 0;
	}
	return view_table(out, history_columns, ARRAY_SIZE(history_columns), rows, e);
}

int render_vms_stopped(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL], text[TEXT_CELL], seconds[TEXT_CELL];
	const json_t *one;
	json_t *rows;
	size_t i;
	int r = render_rows(reply, "vms", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0)
		fputs("No VM ran\n", out);
	json_array_foreach(rows, i, one) {
		bool is_wrong = json_is_string(json_object_get(one, "error"));

		text_value(text_member(one, "name"), name, sizeof(name));
		text_value(text_member(one, is_wrong ? "error" : "exit.text"), text, sizeof(text));
		text_seconds(text_member(one, "seconds"), seconds, sizeof(seconds));
		fprintf(out, "VM %s %s after %s: %s\n", name,
			is_wrong ? "has not ended" : "has ended", seconds, text);
	}
	fputs("To start those that are kept again: viaduct vm start --all\n", out);
	return 0;
}

int render_vms_starting(FILE *out, const json_t *reply, struct err *e)
{
	char names[TEXT_CELL];
	json_t *rows;
	int r = render_rows(reply, "starting", &rows, e);

	if (r < 0)
		return r;
	text_value(rows, names, sizeof(names));
	fprintf(out, "VMs that start: %s\n", json_array_size(rows) > 0 ? names : "none");
	return 0;
}

static int render_vm_deleted(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL];

	text_value(text_member(reply, "name"), name, sizeof(name));
	fprintf(out, "VM %s is deleted; its own files (kernel, disks) are where they were\n", name);
	return 0;
}

/* A name, or --all: 1 if it is all of them. */
static int all_or_one(const struct args *a, const char *what, struct err *e)
{
	bool is_all = a->value[OPT_ALL] != NULL;

	if (is_all == (a->count > 0)) {
		cli_usage(e, "vm %s: a name or --all, one of them", what);
		return err_hint(e, "viaduct help vm %s", what);
	}
	return is_all;
}

static void progress_set(char progress[PROGRESS_TEXT], const char *before, const char *name,
			 const char *after)
{
	char clean[64];

	text_clean(clean, sizeof(clean), name);
	snprintf(progress, PROGRESS_TEXT, "%s VM %s%s", before, clean, after);
}

int vm_start(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request all = { .method = "POST", .collection = "/v1/host/start-vms" };
	char progress[PROGRESS_TEXT];
	const struct request one = { .method = "POST",
				     .collection = "/v1/vms",
				     .item = a->words[0],
				     .action = "start",
				     .timeout_s = START_S,
				     .progress = progress };
	int r = all_or_one(a, "start", e);

	if (r < 0)
		return r;
	if (r > 0)
		return cli_call_show(cli, &all, render_vms_starting, e);
	progress_set(progress, "starting", a->words[0], "");
	return operation_call_show(cli, a, &one, render_vm_started, e);
}

/* What the VM's file says counts where nothing is said. */
static int stop_body(const struct args *a, json_t *body, uint64_t *timeout_s, struct err *e)
{
	if (a->value[OPT_TIMEOUT] != NULL) {
		int r = arg_number(a, OPT_TIMEOUT, STOP_MAX_S, timeout_s, e);

		if (r < 0)
			return r;
		json_object_set_new(body, "timeout_s", json_integer((json_int_t)*timeout_s));
	}
	if (a->value[OPT_NO_KILL] != NULL)
		json_object_set_new(body, "kill", json_false());
	return 0;
}

/* Whoever takes the host down learns that not all are down. */
int vms_stopped_check(const json_t *reply, struct err *e)
{
	const json_t *rows = json_object_get(reply, "vms"), *one;
	size_t i, left = 0;

	json_array_foreach((json_t *)rows, i, one)
		left += json_is_string(json_object_get(one, "error"));
	if (left == 0)
		return 0;
	err_set(e, EBUSY, "%zu of %zu VMs have not ended", left, json_array_size(rows));
	err_code(e, "vms-left");
	return err_hint(e, "viaduct vm list; viaduct vm kill NAME");
}

static int stop_all(struct cli *cli, const struct args *a, struct err *e)
{
	uint64_t timeout_s = ALL_DEFAULT_S;
	auto_json json_t *body = json_object(), *reply = NULL;
	struct request rq = { .method = "POST",
			      .collection = "/v1/host/stop-vms",
			      .body = body,
			      .progress = "stopping all VMs" };
	int r;

	if (a->value[OPT_NO_KILL] != NULL)
		return cli_usage(e, "vm stop --all kills at the deadlines: no --no-kill");
	r = stop_body(a, body, &timeout_s, e);
	rq.timeout_s = (unsigned int)timeout_s + 2 * STOP_MARGIN_S;
	if (r == 0)
		r = operation_call(cli, a, &rq, &reply, e);
	if (r < 0 || reply == NULL)
		return r;
	r = cli_show(cli, reply, render_vms_stopped, e);
	return r < 0 ? r : vms_stopped_check(reply, e);
}

static int stop_one(struct cli *cli, const struct args *a, const char *action, struct err *e)
{
	const bool is_stop = strcmp(action, "stop") == 0;
	uint64_t timeout_s = STOP_MAX_S;
	auto_json json_t *body = json_object();
	char progress[PROGRESS_TEXT];
	struct request rq = { .method = "POST",
			      .collection = "/v1/vms",
			      .item = a->words[0],
			      .action = action,
			      .body = body,
			      .progress = progress };
	int r = stop_body(a, body, &timeout_s, e);

	if (r < 0)
		return r;
	progress_set(progress, is_stop ? "waiting for" : "restarting", a->words[0],
		     is_stop ? " to power off" : "");
	rq.timeout_s = (unsigned int)timeout_s + (is_stop ? STOP_MARGIN_S : START_S);
	return operation_call_show(cli, a, &rq, is_stop ? render_vm_state : render_vm_started, e);
}

int vm_stop(struct cli *cli, const struct args *a, struct err *e)
{
	int r = all_or_one(a, "stop", e);

	if (r < 0)
		return r;
	return r > 0 ? stop_all(cli, a, e) : stop_one(cli, a, "stop", e);
}

int vm_restart(struct cli *cli, const struct args *a, struct err *e)
{
	return stop_one(cli, a, "restart", e);
}

int vm_delete(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object();
	char progress[PROGRESS_TEXT];
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vms",
				    .item = a->words[0],
				    .action = "delete",
				    .body = body,
				    .progress = progress };

	if (a->value[OPT_FORCE] != NULL)
		json_object_set_new(body, "force", json_true());
	progress_set(progress, "deleting", a->words[0], "");
	return cli_call_show(cli, &rq, render_vm_deleted, e);
}

int vm_history(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = {
		.method = "GET", .collection = "/v1/vms", .item = a->words[0], .action = "history"
	};

	return cli_call_show(cli, &rq, render_vm_history, e);
}

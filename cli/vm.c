// SPDX-License-Identifier: BSD-3-Clause
/* vm list, show, stop, kill, delete, pause, resume. How a VM looks: vm_show.c. vm check and run: vm_file.c. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/text.h"

#include "base/json.h"

#include <errno.h>

#define STOP_DEFAULT_S 30
#define STOP_MAX_S     86400
#define STOP_MARGIN_S  60 /* the kill at the deadline, and the release of the VFs */

int vm_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/vms" };

	return cli_call_show(cli, &rq, render_vm_list, e);
}

int vm_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/vms", .item = a->words[0] };

	return cli_call_show(cli, &rq, render_vm, e);
}

static int vm_act(struct cli *cli, const struct args *a, const char *action, struct err *e)
{
	char progress[128], name[64];
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vms",
				    .item = a->words[0],
				    .action = action,
				    .progress = progress };

	text_clean(name, sizeof(name), a->words[0]);
	snprintf(progress, sizeof(progress), "%s VM %s", action, name);
	return cli_call_show(cli, &rq, render_vm_state, e);
}

int vm_kill(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act(cli, a, "kill", e);
}

static int render_deleted(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL];

	text_value(text_member(reply, "name"), name, sizeof(name));
	fprintf(out, "VM %s is deleted\n", name);
	return 0;
}

int vm_delete(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = {
		.method = "POST", .collection = "/v1/vms", .item = a->words[0], .action = "delete"
	};

	return cli_call_show(cli, &rq, render_deleted, e);
}

int vm_pause(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act(cli, a, "pause", e);
}

int vm_resume(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act(cli, a, "resume", e);
}

/* "NAME" or "NAME/PORT". */
static int vm_act_port(struct cli *cli, const struct args *a, const char *action, struct err *e)
{
	const char *slash = strchr(a->words[0], '/');
	auto_json json_t *body = json_object();
	char name[128];
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vms",
				    .item = name,
				    .action = action,
				    .body = body };

	if (slash != NULL)
		json_object_set_new(body, "port", json_string(slash + 1));
	snprintf(name, sizeof(name), "%.*s",
		 slash != NULL ? (int)(slash - a->words[0]) : (int)strlen(a->words[0]),
		 a->words[0]);
	return cli_call_show(cli, &rq, render_vm, e);
}

int vm_quarantine(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act_port(cli, a, "quarantine", e);
}

int vm_unquarantine(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act_port(cli, a, "unquarantine", e);
}

int vm_stop(struct cli *cli, const struct args *a, struct err *e)
{
	uint64_t timeout_s = STOP_DEFAULT_S;
	auto_json json_t *body = json_object();
	char progress[128], name[64];
	struct request rq = { .method = "POST",
			      .collection = "/v1/vms",
			      .item = a->words[0],
			      .action = "stop",
			      .body = body,
			      .progress = progress };

	if (a->value[OPT_TIMEOUT] != NULL) {
		int r = arg_number(a, OPT_TIMEOUT, STOP_MAX_S, &timeout_s, e);

		if (r < 0)
			return r;
		json_object_set_new(body, "timeout_s", json_integer((json_int_t)timeout_s));
	}
	if (a->value[OPT_NO_KILL] != NULL)
		json_object_set_new(body, "kill", json_false());
	text_clean(name, sizeof(name), a->words[0]);
	snprintf(progress, sizeof(progress), "waiting for VM %s to power off, at most %llu s", name,
		 (unsigned long long)timeout_s);
	rq.timeout_s = (unsigned int)timeout_s + STOP_MARGIN_S;
	return operation_call_show(cli, a, &rq, render_vm_state, e);
}

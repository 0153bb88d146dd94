// SPDX-License-Identifier: BSD-3-Clause
/* vm list, show, kill, pause, resume. vm start, stop, restart, delete, history: vm_life.c. How a VM looks: vm_show.c. vm check and run: vm_file.c. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

#include "base/json.h"

#include <errno.h>

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
	int r = cli_body_add(body, "port", slash != NULL ? slash + 1 : NULL, e);

	if (r < 0)
		return r;
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

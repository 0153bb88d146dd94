// SPDX-License-Identifier: BSD-3-Clause
/* function list, show, release: whole functions of the host. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

#define RELEASE_TIMEOUT_S 120 /* reset, the driver's start, and what it makes of the function */

/* What one must know before one names it in a VM file. */
static void text_for_vms(const json_t *fn, char *buf, size_t cap)
{
	char in_use[TEXT_CELL], reason[TEXT_CELL];

	text_value(text_member(fn, "in_use"), in_use, sizeof(in_use));
	text_value(text_member(fn, "reason"), reason, sizeof(reason));
	if (!json_is_true(text_member(fn, "assignable")))
		snprintf(buf, cap, "no: %s", reason);
	else if (strcmp(in_use, "-") != 0)
		snprintf(buf, cap, "with take: true (%s)", in_use);
	else
		snprintf(buf, cap, "yes");
}

static const struct field fn_columns[] = {
	{ "FUNCTION", "address", text_value },	{ "NAME", "name", text_value, true },
	{ "KIND", "kind", text_value },		{ "DRIVER", "driver", text_value, true },
	{ "GROUP", "iommu_group", text_value }, { "STATE", "state", text_value },
	{ "OWNER", "owner", text_value, true }, { "FOR A VM", "", text_for_vms, true },
};

static const struct field fn_fields[] = {
	{ "function", "address", text_value },
	{ "name", "name", text_value },
	{ "kind", "kind", text_value },
	{ "vendor", "vendor", text_value },
	{ "device", "device", text_value },
	{ "driver", "driver", text_value },
	{ "host's driver", "host_driver", text_value },
	{ "NUMA node", "numa_node", text_number },
	{ "IOMMU group", "iommu_group", text_value },
	{ "state", "state", text_value },
	{ "owner", "owner", text_value },
	{ "the host's use", "in_use", text_value },
	{ "assignable", "assignable", text_value },
	{ "reason", "reason", text_value },
	{ "remedy", "remedy", text_value },
};

int render_function_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "functions", &rows, e);

	return r < 0 ? r : view_table(out, fn_columns, ARRAY_SIZE(fn_columns), rows, e);
}

int render_function(FILE *out, const json_t *reply, struct err *e)
{
	view_block(out, fn_fields, ARRAY_SIZE(fn_fields), reply);
	return 0;
}

int render_function_released(FILE *out, const json_t *reply, struct err *e)
{
	char address[TEXT_CELL], driver[TEXT_CELL];

	text_value(text_member(reply, "address"), address, sizeof(address));
	text_value(text_member(reply, "driver"), driver, sizeof(driver));
	fprintf(out, "function %s: the host has it, driver %s\n", address, driver);
	return 0;
}

int function_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/functions",
				    .read_only = true };

	return cli_call_show(cli, &rq, render_function_list, e);
}

int function_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/functions",
				    .item = a->words[0],
				    .read_only = true };

	return cli_call_show(cli, &rq, render_function, e);
}

int function_release(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "POST",
				    .collection = "/v1/functions",
				    .item = a->words[0],
				    .action = "release",
				    .timeout_s = RELEASE_TIMEOUT_S,
				    .progress = "giving the function back to its driver" };

	return cli_call_show(cli, &rq, render_function_released, e);
}

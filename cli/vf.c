// SPDX-License-Identifier: BSD-3-Clause
/* vf list, show, alloc, set, release, scrub. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/vf_attribute.h"
#include "cli/view.h"

#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <stdlib.h>

#define RELEASE_TIMEOUT_S 120 /* function level reset, and reading everything back */
#define NODE_MAX	  1023

static const struct field vf_columns[] = {
	{ "VF", "address", text_value },	 { "ID", "id", text_value, true },
	{ "NUMA", "numa_node", text_number },	 { "GROUP", "iommu_group", text_value },
	{ "DRIVER", "driver", text_value },	 { "STATE", "state", text_value },
	{ "LEASE", "lease", text_value, true },	 { "OWNER", "owner", text_value, true },
	{ "MAC", "attributes.mac", text_value }, { "VLAN", "attributes.vlan", text_value },
};

static const struct field vf_fields[] = {
	{ "VF", "address", text_value },
	{ "id", "id", text_value },
	{ "PF", "pf", text_value },
	{ "PF name", "pf_name", text_value },
	{ "index", "index", text_value },
	{ "vendor", "vendor", text_value },
	{ "device", "device", text_value },
	{ "driver", "driver", text_value },
	{ "netdev", "netdev", text_value },
	{ "NUMA node", "numa_node", text_number },
	{ "IOMMU group", "iommu_group", text_value },
	{ "state", "state", text_value },
	{ "reason", "reason", text_value },
	{ "lease", "lease", text_value },
	{ "owner", "owner", text_value },
	{ "generation", "generation", text_value },
};

static const struct field attribute_fields[] = {
	{ "MAC", "mac", text_value },
	{ "VLAN", "vlan", text_value },
	{ "VLAN priority", "qos", text_value },
	{ "VLAN protocol", "proto", text_value },
	{ "spoof check", "spoofchk", text_value },
	{ "trust", "trust", text_value },
	{ "link", "link_state", text_value },
	{ "min rate, Mb/s", "min_tx_rate", text_value },
	{ "max rate, Mb/s", "max_tx_rate", text_value },
};

static const struct field capability_fields[] = {
	{ "ARI", "ari", text_capability },
	{ "ACS", "acs", text_capability },
	{ "ATS", "ats", text_capability },
	{ "PRI", "pri", text_capability },
	{ "PASID", "pasid", text_capability },
	{ "FLR", "flr", text_capability },
	{ "MSI-X vectors", "msix_vectors", text_value },
};

static const struct field parked_columns[] = {
	{ "LEASE", "lease", text_value, true },
	{ "WAS ON PF", "pf", text_value },
	{ "INDEX", "index", text_value },
	{ "WHY", "why", text_value },
};

static const struct field scrub_columns[] = {
	{ "STEP", "step", text_value },
	{ "OK", "ok", text_value },
	{ "READ BACK", "read", text_value },
};

int render_rows(const json_t *reply, const char *key, json_t **rows, struct err *e)
{
	int r = json_get_array(reply, key, RENDER_ROWS, rows, e);

	if (r < 0) {
		err_wrap(e, "viaductd's reply");
		e->errnum = EBADMSG;
	}
	return r < 0 ? -EBADMSG : 0;
}

int render_vfs(FILE *out, const json_t *rows, struct err *e)
{
	return view_table(out, vf_columns, ARRAY_SIZE(vf_columns), rows, e);
}

int render_vf_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "vfs", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0)
		fprintf(out, "No VFs. To create some: viaduct pf apply PF --vfs N\n");
	else
		r = render_vfs(out, rows, e);
	if (r < 0 || json_object_get(reply, "parked") == NULL)
		return r;
	r = render_rows(reply, "parked", &rows, e);
	if (r < 0 || json_array_size(rows) == 0)
		return r;
	fprintf(out, "\nleases that wait for their VF\n");
	return view_table(out, parked_columns, ARRAY_SIZE(parked_columns), rows, e);
}

/* Isolation has members that depend on the host: each of them is a line. */
static void print_isolation(FILE *out, const json_t *isolation)
{
	char name[64], cell[TEXT_CELL];
	const char *key;
	json_t *v;

	if (!json_is_object(isolation))
		return;
	fprintf(out, "\nisolation\n");
	json_object_foreach((json_t *)isolation, key, v) {
		text_clean_name(name, sizeof(name), key);
		text_value(v, cell, sizeof(cell));
		fprintf(out, "%s: %s\n", name, cell);
	}
}

/* What each step of the last wiping read back. */
static int print_scrub(FILE *out, const json_t *scrub, struct err *e)
{
	char at[TEXT_CELL];
	json_t *steps;
	int r;

	if (!json_is_object(scrub))
		return 0;
	r = render_rows(scrub, "steps", &steps, e);
	if (r < 0)
		return r;
	text_time(json_object_get(scrub, "at"), at, sizeof(at));
	fprintf(out, "\nlast wiping, %s: %s\n", at,
		json_is_true(json_object_get(scrub, "clean")) ? "clean" : "FAILED");
	return view_table(out, scrub_columns, ARRAY_SIZE(scrub_columns), steps, e);
}

int render_vf(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *attributes = json_object_get(reply, "attributes");
	const json_t *capabilities = json_object_get(reply, "capabilities");

	view_block(out, vf_fields, ARRAY_SIZE(vf_fields), reply);
	if (json_is_object(attributes)) {
		fputc('\n', out);
		view_block(out, attribute_fields, ARRAY_SIZE(attribute_fields), attributes);
	}
	if (json_is_object(capabilities) || json_is_string(capabilities)) {
		fputc('\n', out);
		view_block(out, capability_fields, ARRAY_SIZE(capability_fields), capabilities);
	}
	print_isolation(out, json_object_get(reply, "isolation"));
	return print_scrub(out, json_object_get(reply, "scrub"), e);
}

static void print_vf_line(FILE *out, const json_t *vf, const char *what, const char *member)
{
	char address[TEXT_CELL], id[TEXT_CELL], value[TEXT_CELL];

	text_value(text_member(vf, "address"), address, sizeof(address));
	text_value(text_member(vf, "id"), id, sizeof(id));
	text_value(text_member(vf, member), value, sizeof(value));
	fprintf(out, "VF %s (%s)%s%s\n", address, id, what, value);
}

int render_vf_allocated(FILE *out, const json_t *reply, struct err *e)
{
	int r = render_placement(out, reply, e);

	if (r < 0)
		return r;
	if (json_is_string(json_object_get(reply, "lease")))
		print_vf_line(out, reply, ": leased as ", "lease");
	else
		print_vf_line(out, reply, " would be leased; it is ", "state");
	return 0;
}

int render_vf_set(FILE *out, const json_t *reply, struct err *e)
{
	print_vf_line(out, reply, ", as read back: ", "state");
	view_block(out, attribute_fields, ARRAY_SIZE(attribute_fields),
		   json_object_get(reply, "attributes"));
	return 0;
}

int render_vf_released(FILE *out, const json_t *reply, struct err *e)
{
	print_vf_line(out, reply, ": ", "state");
	return 0;
}

int vf_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/vfs", .read_only = true };

	return cli_call_show(cli, &rq, render_vf_list, e);
}

int vf_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = {
		.method = "GET", .collection = "/v1/vfs", .item = a->words[0], .read_only = true
	};

	return cli_call_show(cli, &rq, render_vf, e);
}

static int alloc_words_check(const struct args *a, struct err *e)
{
	if (a->value[OPT_NAME] == NULL && a->value[OPT_EXPLAIN] == NULL) {
		cli_usage(e, "vf alloc: the name of the lease is missing");
		return err_hint(e, "viaduct vf alloc --name LEASE");
	}
	if (a->value[OPT_NAME] != NULL && parse_name(a->value[OPT_NAME]) < 0) {
		cli_usage(e, "'%.64s' is no name for a lease", a->value[OPT_NAME]);
		return err_hint(e, "a to z, 0 to 9, '.', '_' and '-', at most 63 characters");
	}
	if (a->value[OPT_NETWORK] != NULL && a->value[OPT_PF] != NULL)
		return cli_usage(e, "vf alloc: --network and --pf exclude each other");
	return 0;
}

static int alloc_body(const struct args *a, json_t *body, struct err *e)
{
	static const struct {
		enum option_id id;
		const char *key;
	} texts[] = { { OPT_NAME, "name" }, { OPT_NETWORK, "network" }, { OPT_PF, "pf" } };
	int bad = body == NULL;
	uint64_t node;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (a->value[texts[i].id] != NULL)
			bad |= json_object_set_new(body, texts[i].key,
						   json_string(a->value[texts[i].id]));
	if (a->value[OPT_NUMA] != NULL) {
		int r = arg_number(a, OPT_NUMA, NODE_MAX, &node, e);

		if (r < 0)
			return r;
		bad |= json_object_set_new(body, "numa", json_integer((json_int_t)node));
	}
	if (a->value[OPT_EXPLAIN] != NULL)
		bad |= json_object_set_new(body, "explain", json_true());
	return bad ? cli_usage(e, "vf alloc: a name is not UTF-8 text") : 0;
}

int vf_alloc(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object();
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vfs/alloc",
				    .body = body,
				    .progress = "choosing a VF" };
	int r = alloc_words_check(a, e);

	if (r == 0)
		r = alloc_body(a, body, e);
	return r < 0 ? r : cli_call_explained(cli, &rq, render_vf_allocated, e);
}

int vf_set(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object();
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vfs",
				    .item = a->words[0],
				    .action = "set",
				    .body = body,
				    .progress = "setting the VF's attributes" };

	if (body == NULL)
		return err_set(e, ENOMEM, "out of memory");
	for (size_t i = 1; i < a->count; i++) {
		int r = vf_attribute_add(body, a->words[i], e);

		if (r < 0)
			return r;
	}
	return cli_call_show(cli, &rq, render_vf_set, e);
}

/* The release was accepted, but the VF did not pass its read-back: not what was asked for. */
void vf_wiped_check(struct cli *cli, const json_t *reply)
{
	const char *state = json_string_value(json_object_get(reply, "state"));

	if (state != NULL && strcmp(state, "quarantined") == 0)
		cli->exit_status = CLI_FAILED;
}

static int vf_wipe(struct cli *cli, const struct args *a, const char *action, struct err *e)
{
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vfs",
				    .item = a->words[0],
				    .action = action,
				    .timeout_s = RELEASE_TIMEOUT_S,
				    .progress = "resetting and scrubbing the VF" };
	auto_json json_t *reply = NULL;
	int r = operation_call(cli, a, &rq, &reply, e);

	if (r < 0 || reply == NULL)
		return r;
	vf_wiped_check(cli, reply);
	return cli_show(cli, reply, render_vf_released, e);
}

int vf_release(struct cli *cli, const struct args *a, struct err *e)
{
	return vf_wipe(cli, a, "release", e);
}

int vf_scrub(struct cli *cli, const struct args *a, struct err *e)
{
	return vf_wipe(cli, a, "scrub", e);
}

// SPDX-License-Identifier: BSD-3-Clause
/* pf plan, apply, confirm. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/view.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define APPLY_TIMEOUT_S	  180 /* 256 VFs, each waited for */
#define ADOPT_TIMEOUT_S	  600
#define VM_END_S	  20 /* a VM's end beside its time-out */
#define TIMEOUT_DEFAULT_S 30
#define TIMEOUT_MAX_S	  3600
#define VFS_MAX		  65535
#define CONFIRM_MAX_S	  86400

static const struct field hurt_columns[] = {
	{ "VF", "vf", text_value },
	{ "ID", "id", text_value, true },
	{ "STATE", "state", text_value },
	{ "VM", "vm", text_value, true },
	{ "PORT", "port", text_value },
	{ "LEASE", "lease", text_value, true },
	{ "WHAT HAPPENS", "how", text_value },
};

int render_pf_applied(FILE *out, const json_t *reply, struct err *e)
{
	char address[TEXT_CELL], name[TEXT_CELL], now[64];
	json_t *vfs = json_object_get(reply, "vfs");

	text_value(text_member(reply, "address"), address, sizeof(address));
	text_value(text_member(reply, "name"), name, sizeof(name));
	text_vf_count(text_member(reply, "sriov"), now, sizeof(now));
	fprintf(out, "PF %s (%s): %s VFs\n", address, name, now);
	return json_array_size(vfs) > 0 ? render_vfs(out, vfs, e) : 0;
}

/* Each with its number, or a dash. */
static void print_texts(FILE *out, const json_t *list, const char *title, bool are_numbered)
{
	char text[TEXT_CELL];
	const json_t *item;
	size_t i;

	if (json_array_size(list) > 0)
		fprintf(out, "\n%s\n", title);
	json_array_foreach(list, i, item) {
		text_value(item, text, sizeof(text));
		if (are_numbered)
			fprintf(out, "%3zu. %s\n", i + 1, text);
		else
			fprintf(out, "   - %s\n", text);
	}
}

/* There may be more of them than an error's hint has room for. */
static void print_disrupt(FILE *out, const char *disrupt, const char *pf, const char *vfs)
{
	const size_t cap = strlen(disrupt) + 1;
	auto_free char *words = malloc(cap);

	if (words == NULL)
		return;
	text_clean(words, cap, disrupt);
	fprintf(out, "viaduct pf apply %s --vfs %s --disrupt %s\n", pf, vfs, words);
}

/* What to type to have it. */
static void print_next(FILE *out, const json_t *reply, const char *pf, const char *vfs)
{
	const json_t *refused = json_object_get(reply, "refused");
	const char *disrupt = json_string_value(json_object_get(reply, "disrupt"));
	char hint[TEXT_CELL], code[TEXT_CELL];

	if (json_is_object(refused)) {
		text_value(json_object_get(refused, "code"), code, sizeof(code));
		text_value(json_object_get(refused, "hint"), hint, sizeof(hint));
		fprintf(out, "\nwithout more it is refused (%s); try: ", code);
		if (disrupt != NULL && strcmp(code, "pf-in-use") == 0)
			print_disrupt(out, disrupt, pf, vfs);
		else
			fprintf(out, "%s\n", hint);
		return;
	}
	fprintf(out, "\nnobody is hurt; to have it: viaduct pf apply %s --vfs %s\n", pf, vfs);
}

int render_pf_plan(FILE *out, const json_t *reply, struct err *e)
{
	char address[TEXT_CELL], name[TEXT_CELL], from[TEXT_CELL], vfs[TEXT_CELL];
	json_t *hurt;
	int r = render_rows(reply, "hurt", &hurt, e);

	if (r < 0)
		return r;
	text_value(json_object_get(reply, "pf"), address, sizeof(address));
	text_value(json_object_get(reply, "name"), name, sizeof(name));
	text_value(json_object_get(reply, "from"), from, sizeof(from));
	text_value(json_object_get(reply, "vfs"), vfs, sizeof(vfs));
	fprintf(out, "PF %s (%s): %s VFs now, %s wanted\n", address, name, from, vfs);
	if (json_array_size(json_object_get(reply, "steps")) == 0) {
		fprintf(out, "nothing to do\n");
		return 0;
	}
	print_texts(out, json_object_get(reply, "steps"), "steps", true);
	print_texts(out, json_object_get(reply, "notes"), "the PF's driver", false);
	if (json_array_size(hurt) > 0) {
		fprintf(out, "\nhurt\n");
		r = view_table(out, hurt_columns, ARRAY_SIZE(hurt_columns), hurt, e);
	}
	print_next(out, reply, json_is_string(json_object_get(reply, "name")) ? name : address,
		   vfs);
	return r;
}

static int vfs_read(const struct args *a, const char *verb, uint64_t *vfs, struct err *e)
{
	if (a->value[OPT_VFS] != NULL)
		return arg_number(a, OPT_VFS, VFS_MAX, vfs, e);
	cli_usage(e, "pf %s: the number of VFs is missing", verb);
	return err_hint(e, "viaduct pf %s %s --vfs N", verb, a->words[0]);
}

int pf_plan(struct cli *cli, const struct args *a, struct err *e)
{
	char query[32];
	struct request rq = { .method = "GET",
			      .collection = "/v1/pfs",
			      .item = a->words[0],
			      .action = "plan",
			      .query = query };
	uint64_t vfs;
	int r = vfs_read(a, "plan", &vfs, e);

	if (r < 0)
		return r;
	snprintf(query, sizeof(query), "vfs=%llu", (unsigned long long)vfs);
	return cli_call_show(cli, &rq, render_pf_plan, e);
}

/* The words between the commas. */
static int disrupt_add(json_t *body, const char *text, size_t *count, struct err *e)
{
	auto_free char *words = strdup(text);
	char *save = NULL;
	json_t *list = json_array();

	if (list == NULL || json_object_set_new(body, "disrupt", list) < 0 || words == NULL)
		return err_set(e, ENOMEM, "out of memory");
	for (char *w = strtok_r(words, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save))
		if (json_array_append_new(list, json_string(w)) < 0)
			return cli_usage(e, "--disrupt: a name is not UTF-8 text");
	*count = json_array_size(list);
	return *count > 0 ? 0 : cli_usage(e, "--disrupt: names of VMs and lease:LEASE, by commas");
}

/* "60s", "5m", "1h", or seconds. */
static int confirm_add(json_t *body, const char *text, struct err *e)
{
	static const struct {
		const char *unit;
		unsigned int seconds;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 } };
	size_t digits = strspn(text, "0123456789");
	char number[16];
	uint64_t n;

	snprintf(number, sizeof(number), "%.*s", (int)digits, text);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0 ||
		    parse_u64(number, CONFIRM_MAX_S / units[i].seconds, &n) < 0 || n == 0)
			continue;
		json_object_set_new(body, "confirm_s",
				    json_integer((json_int_t)(n * units[i].seconds)));
		return 0;
	}
	cli_usage(e, "--confirm-within '%.32s' is no time from 1s to 24h", text);
	return err_hint(e, "--confirm-within 60s");
}

/* How to keep it, if it is on trial. */
static int render_applied(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *left = text_member(reply, "trial.seconds_left");
	int r = render_pf_applied(out, reply, e);
	char address[TEXT_CELL];

	if (r < 0 || !json_is_integer(left))
		return r;
	text_value(text_member(reply, "address"), address, sizeof(address));
	fprintf(out, "it goes back in %lld s unless: viaduct pf confirm %s\n",
		(long long)json_integer_value(left), address);
	return 0;
}

/* Wiped one after the other. */
static int adopt(struct cli *cli, const char *pf, json_t **reply, struct err *e)
{
	const struct request rq = { .method = "POST",
				    .collection = "/v1/pfs",
				    .item = pf,
				    .action = "adopt",
				    .timeout_s = ADOPT_TIMEOUT_S,
				    .progress = "wiping the VFs" };

	return cli_call(cli, &rq, reply, e);
}

int pf_apply(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = NULL;
	struct request rq = { .method = "POST",
			      .collection = "/v1/pfs",
			      .item = a->words[0],
			      .action = "apply",
			      .progress = "changing the number of VFs" };
	uint64_t vfs, timeout_s = TIMEOUT_DEFAULT_S;
	size_t named = 0;
	int r = 0;

	if (a->value[OPT_ADOPT] != NULL) {
		auto_json json_t *reply = NULL;

		r = adopt(cli, a->words[0], &reply, e);
		if (r < 0 || a->value[OPT_VFS] == NULL)
			return r < 0 ? r : cli_show(cli, reply, render_pf_applied, e);
	}
	r = vfs_read(a, "apply", &vfs, e);
	if (r < 0)
		return r;
	body = json_pack("{s:I}", "vfs", (json_int_t)vfs);
	if (a->value[OPT_TIMEOUT] != NULL) {
		r = arg_number(a, OPT_TIMEOUT, TIMEOUT_MAX_S, &timeout_s, e);
		if (r == 0)
			json_object_set_new(body, "timeout_s", json_integer((json_int_t)timeout_s));
	}
	if (r == 0 && a->value[OPT_CONFIRM_WITHIN] != NULL)
		r = confirm_add(body, a->value[OPT_CONFIRM_WITHIN], e);
	if (r == 0 && a->value[OPT_DISRUPT] != NULL)
		r = disrupt_add(body, a->value[OPT_DISRUPT], &named, e);
	if (r < 0)
		return r;
	rq.body = body;
	/* VMs are stopped one after the other. */
	rq.timeout_s = APPLY_TIMEOUT_S + (unsigned int)(named * (timeout_s + VM_END_S));
	return operation_call_show(cli, a, &rq, render_applied, e);
}

int pf_confirm(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = {
		.method = "POST", .collection = "/v1/pfs", .item = a->words[0], .action = "confirm"
	};

	return cli_call_show(cli, &rq, render_pf_applied, e);
}

// SPDX-License-Identifier: BSD-3-Clause
/* iommu audit: what the functions of VMs reach, by the remapping hardware's own tables. Exit status 1 unless all is proven. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"

#include "base/json.h"

#define AUDIT_TIMEOUT_S 600

static const struct field function_columns[] = {
	{ "FUNCTION", "address", text_value },	    { "PORT", "port", text_value },
	{ "VERDICT", "verdict", text_value },	    { "MEMORY", "bytes", text_bytes },
	{ "4K", "pages.4K", text_value },	    { "2M", "pages.2M", text_value },
	{ "1G", "pages.1G", text_value },	    { "TABLES", "tables", text_value },
	{ "LINES", "interrupts", text_value },	    { "REMAPPED", "entries.remapped", text_value },
	{ "POSTED", "entries.posted", text_value },
};

static const struct {
	const char *word, *shown;
} verdicts[] = {
	{ "proven", "tables proven" },
	{ "violated", "VIOLATED" },
	{ "not-provable", "not provable here" },
};

static const char *verdict_shown(const json_t *audit)
{
	const char *word = json_string_value(json_object_get(audit, "verdict"));

	for (size_t i = 0; word != NULL && i < ARRAY_SIZE(verdicts); i++)
		if (strcmp(word, verdicts[i].word) == 0)
			return verdicts[i].shown;
	return "not known";
}

static bool is_text(const json_t *obj, const char *key)
{
	return json_string_length(json_object_get(obj, key)) > 0;
}

/* Of a function that is not proven: why, and of a violation where. */
static void reasons_show(FILE *out, const json_t *functions)
{
	char address[TEXT_CELL], text[TEXT_CELL], code[TEXT_CELL];
	const json_t *fn;
	size_t i;

	json_array_foreach((json_t *)functions, i, fn) {
		if (!is_text(fn, "text"))
			continue;
		text_value(text_member(fn, "address"), address, sizeof(address));
		text_value(text_member(fn, "text"), text, sizeof(text));
		text_value(text_member(fn, "code"), code, sizeof(code));
		fprintf(out, "  %s: %s (%s)\n", address, text, code);
	}
}

static int audit_show(FILE *out, const json_t *audit, struct err *e)
{
	char name[TEXT_CELL], at[TEXT_CELL], text[TEXT_CELL];
	const json_t *functions = json_object_get(audit, "functions");
	int r = 0;

	text_value(text_member(audit, "vm"), name, sizeof(name));
	text_time(text_member(audit, "at"), at, sizeof(at));
	fprintf(out, "VM %s: %s at %s\n", name, verdict_shown(audit), at);
	if (json_array_size(functions) > 0) {
		r = view_table(out, function_columns, ARRAY_SIZE(function_columns), functions, e);
		reasons_show(out, functions);
	} else if (is_text(audit, "text")) {
		text_value(text_member(audit, "text"), text, sizeof(text));
		fprintf(out, "  %s\n", text);
	} else {
		fputs("  no function of it does DMA\n", out);
	}
	if (is_text(audit, "hint")) {
		text_value(text_member(audit, "hint"), text, sizeof(text));
		fprintf(out, "  what would allow it: %s\n", text);
	}
	return r;
}

int render_iommu_audit(FILE *out, const json_t *reply, struct err *e)
{
	char text[TEXT_CELL];
	const json_t *audit;
	json_t *audits;
	size_t i;
	int r = render_rows(reply, "audits", &audits, e);

	if (r < 0)
		return r;
	if (json_array_size(audits) == 0)
		fputs("No VM runs: viaduct vm run FILE starts one.\n", out);
	json_array_foreach(audits, i, audit) {
		r = audit_show(out, audit, e);
		if (r < 0)
			return r;
	}
	text_value(text_member(reply, "caveat"), text, sizeof(text));
	fprintf(out, "\nNot seen: %s\n", text);
	return 0;
}

int iommu_audit(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object(), *reply = NULL;
	const struct request rq = { .method = "POST",
				    .collection = "/v1/iommu/audit",
				    .body = body,
				    .timeout_s = AUDIT_TIMEOUT_S,
				    .progress = "reading the remapping tables" };
	const char *verdict;
	int r = cli_body_add(body, "vm", a->value[OPT_VM], e);

	if (r == 0)
		r = cli_call(cli, &rq, &reply, e);
	if (r < 0)
		return r;
	verdict = json_string_value(json_object_get(reply, "verdict"));
	/* null: no VM runs */
	if (!json_is_null(json_object_get(reply, "verdict")) &&
	    (verdict == NULL || strcmp(verdict, "proven") != 0))
		cli->exit_status = CLI_FAILED;
	return cli_show(cli, reply, render_iommu_audit, e);
}

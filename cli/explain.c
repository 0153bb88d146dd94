// SPDX-License-Identifier: BSD-3-Clause
/* explain: what a stable code means. Needs no daemon. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/explain_table.h"
#include "cli/nearest.h"

#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

static int by_code(const void *key, const void *row)
{
	return strcmp(key, ((const struct explanation *)row)->code);
}

static json_t *explanation_json(const struct explanation *x)
{
	return json_pack("{s:s, s:s, s:s, s:s*}", "code", x->code, "cause", x->cause, "next",
			 x->next, "evidence", x->evidence);
}

static int render_explanation(FILE *out, const json_t *reply, struct err *e)
{
	const char *evidence = json_string_value(json_object_get(reply, "evidence"));

	fprintf(out, "%s: %s\n", json_string_value(json_object_get(reply, "code")),
		json_string_value(json_object_get(reply, "cause")));
	if (evidence != NULL)
		fprintf(out, "  evidence: %s\n", evidence);
	fprintf(out, "  try: %s\n", json_string_value(json_object_get(reply, "next")));
	return 0;
}

static int render_codes(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(reply, "codes"), i, row)
		fprintf(out, "%-24s%s\n", json_string_value(json_object_get(row, "code")),
			json_string_value(json_object_get(row, "cause")));
	return 0;
}

static int unknown(const char *code, struct err *e)
{
	const char **codes = calloc(explanation_count, sizeof(*codes));
	const char *near = NULL;

	cli_usage(e, "there is no code '%.64s'", code);
	for (size_t i = 0; codes != NULL && i < explanation_count; i++)
		codes[i] = explanations[i].code;
	if (codes != NULL)
		near = nearest_word(code, codes, explanation_count);
	free(codes);
	return near != NULL ? err_hint(e, "viaduct explain %s", near)
			    : err_hint(e, "viaduct explain   lists all");
}

int explain_show(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *reply = NULL;
	const struct explanation *x;
	json_t *list;

	if (a->count == 0) {
		list = json_array();
		for (size_t i = 0; i < explanation_count; i++)
			json_array_append_new(list, explanation_json(&explanations[i]));
		reply = json_pack("{s:o}", "codes", list);
		return cli_show(cli, reply, render_codes, e);
	}
	x = bsearch(a->words[0], explanations, explanation_count, sizeof(*x), by_code);
	if (x == NULL)
		return unknown(a->words[0], e);
	reply = explanation_json(x);
	return cli_show(cli, reply, render_explanation, e);
}

// SPDX-License-Identifier: BSD-3-Clause
/* iommu list, show, group: remapping units, and how well a function is isolated, with the evidence. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

/* "4 KiB, 2 MiB" */
static void text_page_sizes(const json_t *list, char *buf, size_t cap)
{
	char one[64], all[TEXT_CELL] = "";
	const json_t *v;
	size_t i, n = 0;

	json_array_foreach((json_t *)list, i, v) {
		text_bytes(v, one, sizeof(one));
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i > 0 ? ", " : "", one);
		if (n >= sizeof(all))
			break;
	}
	text_clean(buf, cap, all[0] != '\0' ? all : "-");
}

/* Paths of scopes: "00:02.0, 00:1c.0/00.0" */
static void text_scopes(const json_t *scopes, char *buf, size_t cap)
{
	char one[64], all[TEXT_CELL] = "";
	const json_t *scope;
	size_t i, n = 0;

	json_array_foreach((json_t *)scopes, i, scope) {
		text_value(text_member(scope, "path"), one, sizeof(one));
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i > 0 ? ", " : "", one);
		if (n >= sizeof(all))
			break;
	}
	text_clean(buf, cap, all[0] != '\0' ? all : "-");
}

static const struct field unit_columns[] = {
	{ "UNIT", "name", text_value },
	{ "KIND", "kind", text_value },
	{ "REGISTERS", "address", text_value },
	{ "VERSION", "version", text_value },
	{ "FUNCTIONS", "functions", text_value },
	{ "BITS", "address_bits", text_value },
	{ "PAGES", "page_sizes", text_page_sizes },
	{ "IR", "interrupt_remapping", text_value },
	{ "EIM", "extended_interrupt_mode", text_value },
	{ "POSTED", "posted_interrupts", text_value },
	{ "SNOOP", "snoop_control", text_value },
	{ "DOMAINS", "domains_used", text_value },
};

static const struct field unit_fields[] = {
	{ "unit", "name", text_value },
	{ "kind", "kind", text_value },
	{ "registers at", "address", text_value },
	{ "version", "version", text_value },
	{ "segment", "segment", text_value },
	{ "all functions of it", "include_pci_all", text_value },
	{ "proximity domain", "proximity_domain", text_value },
	{ "address bits", "address_bits", text_value },
	{ "table levels", "levels", text_value },
	{ "page sizes", "page_sizes", text_page_sizes },
	{ "interrupt remapping", "interrupt_remapping", text_value },
	{ "extended interrupt mode", "extended_interrupt_mode", text_value },
	{ "posted interrupts", "posted_interrupts", text_value },
	{ "snoop control", "snoop_control", text_value },
	{ "coherent walks", "coherent_walks", text_value },
	{ "device TLBs (ATS)", "device_tlb", text_value },
	{ "scalable mode", "scalable_mode", text_value },
	{ "domains", "domains", text_value },
	{ "domains used", "domains_used", text_value },
	{ "functions", "members", text_value },
	{ "read from", "source", text_value },
};

static const struct field scope_columns[] = {
	{ "DMAR SCOPE", "type", text_value },
	{ "PATH", "path", text_value },
	{ "ID", "enumeration_id", text_value },
};

static const struct field reserved_columns[] = {
	{ "RESERVED FROM", "first", text_value },
	{ "TO", "last", text_value },
	{ "FOR", "scopes", text_scopes },
	{ "ODD", "odd", text_value },
};

static const struct field register_columns[] = {
	{ "FIELD", "name", text_value },
	{ "VALUE", "value", text_value },
	{ "MEANING", "what", text_value, true },
};

int render_iommu_list(FILE *out, const json_t *reply, struct err *e)
{
	char why[TEXT_CELL];
	json_t *rows;
	int r = render_rows(reply, "units", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0) {
		fprintf(out,
			"No remapping unit that the kernel drives. What to do: viaduct host check\n");
		return 0;
	}
	r = view_table(out, unit_columns, ARRAY_SIZE(unit_columns), rows, e);
	text_value(text_member(reply, "dmar.reason"), why, sizeof(why));
	if (r == 0 && strcmp(why, "-") != 0)
		fprintf(out, "\nWithout the firmware's table (DMAR): %s\n", why);
	return r;
}

static int registers_print(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL], value[TEXT_CELL];
	json_t *registers, *reg;
	size_t i;
	int r = render_rows(reply, "registers", &registers, e);

	if (r < 0)
		return r;
	json_array_foreach(registers, i, reg) {
		const json_t *fields = json_object_get(reg, "fields");

		text_value(text_member(reg, "name"), name, sizeof(name));
		text_value(text_member(reg, "value"), value, sizeof(value));
		fprintf(out, "\n%s %s\n", name, value);
		if (json_array_size(fields) > 0)
			r = view_table(out, register_columns, ARRAY_SIZE(register_columns), fields,
				       e);
		if (r < 0)
			return r;
	}
	return 0;
}

int render_iommu(FILE *out, const json_t *reply, struct err *e)
{
	const struct {
		const char *key;
		const struct field *columns;
		size_t count;
	} tables[] = { { "scopes", scope_columns, ARRAY_SIZE(scope_columns) },
		       { "reserved_memory", reserved_columns, ARRAY_SIZE(reserved_columns) } };
	int r = 0;

	view_block(out, unit_fields, ARRAY_SIZE(unit_fields), reply);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(tables); i++) {
		const json_t *rows = json_object_get(reply, tables[i].key);

		if (json_array_size(rows) == 0)
			continue;
		fputc('\n', out);
		r = view_table(out, tables[i].columns, tables[i].count, rows, e);
	}
	return r == 0 ? registers_print(out, reply, e) : r;
}

/* Only what passed is quiet: a status that is no known word shows as it is. */
static void check_print(FILE *out, const json_t *check, int width)
{
	char status[TEXT_CELL], title[TEXT_CELL], detail[TEXT_CELL], source[TEXT_CELL];
	char code[TEXT_CELL];

	text_value(text_member(check, "status"), status, sizeof(status));
	text_value(text_member(check, "title"), title, sizeof(title));
	text_value(text_member(check, "detail"), detail, sizeof(detail));
	text_value(text_member(check, "source"), source, sizeof(source));
	text_value(text_member(check, "code"), code, sizeof(code));
	fprintf(out, "%-7s  %-*s  %s\n", strcmp(status, "fail") == 0 ? "FAIL" : status, width,
		title, detail);
	fprintf(out, "         %-*s  from %s\n", width, "", source);
	if (strcmp(code, "-") != 0)
		fprintf(out, "         %-*s  viaduct explain %s\n", width, "", code);
}

int render_iommu_group(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL], verdict[TEXT_CELL], code[TEXT_CELL], warnings[TEXT_CELL];
	json_t *checks, *check;
	size_t i, width = 0;
	int r = render_rows(reply, "checks", &checks, e);

	if (r < 0)
		return r;
	text_value(text_member(reply, "function"), name, sizeof(name));
	text_value(text_member(reply, "verdict"), verdict, sizeof(verdict));
	text_value(text_member(reply, "code"), code, sizeof(code));
	text_value(text_member(reply, "warnings"), warnings, sizeof(warnings));
	json_array_foreach(checks, i, check) {
		char title[TEXT_CELL];

		text_value(text_member(check, "title"), title, sizeof(title));
		if (strlen(title) > width && strlen(title) <= 40)
			width = strlen(title);
	}
	json_array_foreach(checks, i, check)
		check_print(out, check, (int)width);
	fprintf(out, "\n%s: %s%s%s%s\n", name, verdict, strcmp(code, "-") != 0 ? " (" : "",
		strcmp(code, "-") != 0 ? code : "", strcmp(code, "-") != 0 ? ")" : "");
	if (strcmp(warnings, "-") != 0)
		fprintf(out, "  with less than there could be: %s\n", warnings);
	return 0;
}

int iommu_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/iommu/units",
				    .read_only = true };

	return cli_call_show(cli, &rq, render_iommu_list, e);
}

int iommu_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/iommu/units",
				    .item = a->words[0],
				    .read_only = true };

	return cli_call_show(cli, &rq, render_iommu, e);
}

/* Exit status 1 unless it is isolated: what is not known has not passed. */
int iommu_group(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/iommu/functions",
				    .item = a->words[0],
				    .read_only = true };
	auto_json json_t *reply = NULL;
	const char *verdict;
	int r = cli_call(cli, &rq, &reply, e);

	if (r < 0)
		return r;
	verdict = json_string_value(json_object_get(reply, "verdict"));
	if (verdict == NULL || strcmp(verdict, "isolated") != 0)
		cli->exit_status = CLI_FAILED;
	return cli_show(cli, reply, render_iommu_group, e);
}

// SPDX-License-Identifier: BSD-3-Clause
/* iommu faults. Following asks twice a second, and shows each function of which there were more. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

#define ASK_TIMEOUT_S 10
#define FOLLOW_NS     500000000ULL

static unsigned long long count_of(const json_t *obj, const char *path)
{
	json_int_t n = json_integer_value(text_member(obj, path));

	return n > 0 ? (unsigned long long)n : 0;
}

/* Milliseconds since the epoch. */
static void text_when(const json_t *ms, char *buf, size_t cap)
{
	auto_json json_t *seconds =
		json_is_integer(ms) ? json_integer(json_integer_value(ms) / 1000) : NULL;

	text_time(seconds, buf, cap);
}

/* ">= 12": of the whole entry. */
static void text_faults(const json_t *entry, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s%llu", json_is_true(json_object_get(entry, "at_least")) ? ">= " : "",
		 count_of(entry, "count"));
}

/* "0x123456000", or the index of an interrupt. */
static void text_where(const json_t *last, char *buf, size_t cap)
{
	const json_t *index = text_member(last, "index");

	if (json_is_integer(index))
		snprintf(buf, cap, "index %lld", (long long)json_integer_value(index));
	else
		text_value(text_member(last, "address"), buf, cap);
}

/* "0x06 the page may not be read". */
static void text_reason(const json_t *last, char *buf, size_t cap)
{
	const json_t *reason = text_member(last, "reason");
	char why[TEXT_CELL], text[TEXT_CELL + 32];

	text_value(text_member(last, "why"), why, sizeof(why));
	if (json_is_integer(reason))
		snprintf(text, sizeof(text), "0x%02llx %s",
			 (unsigned long long)json_integer_value(reason) & 0xFF, why);
	else
		snprintf(text, sizeof(text), "%s", why);
	text_clean(buf, cap, text);
}

static void text_function(const json_t *entry, char *buf, size_t cap)
{
	char function[64], text[96];

	text_value(text_member(entry, "function"), function, sizeof(function));
	snprintf(text, sizeof(text), "%s%s", function,
		 json_is_true(json_object_get(entry, "ambiguous")) ? " (of some domain)" : "");
	text_clean(buf, cap, text);
}

static const struct field columns[] = {
	{ "FUNCTION", "", text_function },	{ "VM", "vm", text_value, true },
	{ "PORT", "port", text_value, true },	{ "FAULTS", "", text_faults },
	{ "LAST AT", "last_at_ms", text_when }, { "KIND", "last.kind", text_value },
	{ "ADDRESS", "last", text_where },	{ "REASON", "last", text_reason, true },
};

static void missing_print(FILE *out, const json_t *reply)
{
	static const struct {
		const char *path, *text;
	} rows[] = {
		{ "missing.suppressed", "left out by the kernel's rate limit, as it says itself" },
		{ "missing.limits",
		  "times the kernel's rate limit was reached: what came next is not told" },
		{ "missing.overflows",
		  "times a remapping unit had no free recording register: faults were not recorded" },
		{ "missing.unread",
		  "records of the kernel's log overwritten before they were read" },
		{ "missing.forgotten", "faults of functions that had to make room here" },
	};

	if (json_is_true(text_member(reply, "missing.any")))
		fprintf(out,
			"\nRecords are missing, so counts are lower bounds and a function that is "
			"not listed may have had faults:\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (count_of(reply, rows[i].path) != 0)
			fprintf(out, "  %llu %s\n", count_of(reply, rows[i].path), rows[i].text);
}

static double percent_of(const json_t *reply, const char *path)
{
	return json_number_value(text_member(reply, path)) * 100;
}

static void reader_print(FILE *out, const json_t *reply)
{
	char since[TEXT_CELL], why[TEXT_CELL];

	text_when(text_member(reply, "reader.since_ms"), since, sizeof(since));
	text_value(text_member(reply, "reader.why"), why, sizeof(why));
	if (!json_is_true(text_member(reply, "reader.readable"))) {
		fprintf(out, "\nThe kernel's log is not read, so faults are not seen: %s\n", why);
		return;
	}
	fprintf(out,
		"\nThe kernel's log since %s: %llu records read, by %.2f%% of a CPU (at most %.2f%% "
		"so far; limit %.0f%%, reached %llu times)\n",
		since, count_of(reply, "reader.records"), percent_of(reply, "reader.cpu_share"),
		percent_of(reply, "reader.cpu_share_peak"),
		percent_of(reply, "reader.cpu_share_limit"), count_of(reply, "reader.pauses"));
}

int render_faults(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "functions", &rows, e);

	if (r == 0 && json_array_size(rows) == 0)
		fputs("No faults.\n", out);
	else if (r == 0)
		r = view_table(out, columns, ARRAY_SIZE(columns), rows, e);
	if (r < 0)
		return r;
	missing_print(out, reply);
	reader_print(out, reply);
	return 0;
}

static int faults_ask(struct cli *cli, json_t **out, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/iommu/faults",
				    .timeout_s = ASK_TIMEOUT_S,
				    .read_only = true };

	return cli_call(cli, &rq, out, e);
}

/* The same function with the same owner since the same first fault; NULL: it is new. */
static const json_t *entry_before(const json_t *reply, const json_t *entry)
{
	static const char *const keys[] = { "function", "vm", "port", "first_at_ms" };
	const json_t *list = json_object_get(reply, "functions"), *one;
	size_t i, k;

	json_array_foreach((json_t *)list, i, one) {
		for (k = 0; k < ARRAY_SIZE(keys); k++)
			if (!json_equal(json_object_get(one, keys[k]),
					json_object_get(entry, keys[k])))
				break;
		if (k == ARRAY_SIZE(keys))
			return one;
	}
	return NULL;
}

static void entry_print(FILE *out, const json_t *entry)
{
	char cell[ARRAY_SIZE(columns)][TEXT_CELL];
	enum { FUNCTION, VM, PORT, FAULTS, WHEN, KIND, WHERE, REASON };

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		columns[i].format(text_member(entry, columns[i].path), cell[i], sizeof(cell[i]));
	fprintf(out, "%s  %s  %s/%s  %s %s %s  (%s in all)\n", cell[WHEN], cell[FUNCTION], cell[VM],
		cell[PORT], cell[KIND], cell[WHERE], cell[REASON], cell[FAULTS]);
}

static int news_show(struct cli *cli, const json_t *before, const json_t *now, struct err *e)
{
	json_t *rows, *entry;
	size_t i;
	int r = render_rows(now, "functions", &rows, e);

	if (r < 0)
		return r;
	json_array_foreach(rows, i, entry) {
		const json_t *old = entry_before(before, entry);

		if (old != NULL && count_of(old, "count") == count_of(entry, "count"))
			continue;
		if (!cli->settings.json) {
			entry_print(cli->out, entry);
			continue;
		}
		json_dumpf(entry, cli->out, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', cli->out);
	}
	if (!cli->settings.json &&
	    !json_equal(json_object_get(before, "missing"), json_object_get(now, "missing")))
		missing_print(cli->out, now);
	return 0;
}

/* While the daemon is away it waits. */
static int follow(struct cli *cli, struct err *e)
{
	struct follow f = { .out = cli->out, .signal_fd = -1 };
	auto_json json_t *before = NULL;
	int r = faults_ask(cli, &before, e);

	if (r == 0)
		r = follow_begin(&f, e);
	while (r == 0 && !f.has_ended) {
		json_t *now = NULL;

		follow_wait(&f, FOLLOW_NS);
		r = f.has_ended ? 0 : faults_ask(cli, &now, e);
		if (r < 0 && client_http_status(cli->client) == 0) {
			r = 0;
		} else if (r == 0 && now != NULL) {
			r = news_show(cli, before, now, e);
			json_decref(before);
			before = json_incref(now);
			if (r == 0)
				r = follow_flush(&f, e);
		}
		json_decref(now);
	}
	follow_end(&f);
	return r;
}

int iommu_faults(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *reply = NULL;
	int r;

	if (a->value[OPT_FOLLOW] != NULL)
		return follow(cli, e);
	r = faults_ask(cli, &reply, e);
	return r < 0 ? r : cli_show(cli, reply, render_faults, e);
}

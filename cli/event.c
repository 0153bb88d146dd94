// SPDX-License-Identifier: BSD-3-Clause
/*
 * events and alarms. Following asks for what is new twice a second, so it outlives the daemon: while
 * that is away it waits, and then goes on where it was.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/text.h"

#include "base/json.h"

#include <errno.h>

#define ASK_TIMEOUT_S 10
#define FOLLOW_NS     500000000ULL
#define PAGE	      1000
#define PAGES_MAX     64 /* of one listing; the daemon keeps fewer */

static int page_ask(struct cli *cli, bool has_since, uint64_t since, json_t **out, struct err *e)
{
	char query[64];
	const struct request rq = { .method = "GET",
				    .collection = "/v1/events",
				    .query = query,
				    .timeout_s = ASK_TIMEOUT_S };

	if (has_since)
		snprintf(query, sizeof(query), "limit=%d&since=%llu", PAGE,
			 (unsigned long long)since);
	else
		snprintf(query, sizeof(query), "limit=%d", PAGE);
	return cli_call(cli, &rq, out, e);
}

static void event_print(FILE *out, const json_t *event)
{
	static const char *const members[] = { "cursor", "kind", "object", "from", "to", "text" };
	enum { CURSOR, KIND, OBJECT, FROM, TO, TEXT, MEMBERS };
	json_int_t at_ms = json_integer_value(text_member(event, "at_ms"));
	auto_json json_t *seconds = json_integer(at_ms / 1000);
	char when[TEXT_CELL], cell[MEMBERS][TEXT_CELL];

	text_time(seconds, when, sizeof(when));
	for (size_t i = 0; i < MEMBERS; i++)
		text_value(text_member(event, members[i]), cell[i], sizeof(cell[i]));
	fprintf(out, "%s  %s  %s %s", cell[CURSOR], when, cell[KIND], cell[OBJECT]);
	if (strcmp(cell[FROM], "-") != 0 || strcmp(cell[TO], "-") != 0)
		fprintf(out, "  %s -> %s", cell[FROM], cell[TO]);
	fprintf(out, "%s%s\n", strcmp(cell[TEXT], "-") != 0 ? "  " : "",
		strcmp(cell[TEXT], "-") != 0 ? cell[TEXT] : "");
}

int render_events(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *event;
	json_t *rows;
	size_t i;
	int r = render_rows(reply, "events", &rows, e);

	if (r < 0)
		return r;
	json_array_foreach(rows, i, event)
		event_print(out, event);
	return 0;
}

int render_alarms(FILE *out, const json_t *reply, struct err *e)
{
	static const char *const members[] = { "severity",  "kind", "object",
					       "raised_at", "text", "hint" };
	enum { SEVERITY, KIND, OBJECT, RAISED, TEXT, HINT, MEMBERS };
	char cell[MEMBERS][TEXT_CELL];
	const json_t *alarm;
	json_t *rows;
	size_t i;
	int r = render_rows(reply, "alarms", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0)
		fputs("no alarms\n", out);
	json_array_foreach(rows, i, alarm) {
		for (size_t k = 0; k < MEMBERS; k++)
			text_value(text_member(alarm, members[k]), cell[k], sizeof(cell[k]));
		text_time(text_member(alarm, "raised_at"), cell[RAISED], sizeof(cell[RAISED]));
		fprintf(out, "%s  %s  %s  since %s\n      %s\n", cell[SEVERITY], cell[KIND],
			cell[OBJECT], cell[RAISED], cell[TEXT]);
		if (strcmp(cell[HINT], "-") != 0)
			fprintf(out, "      try: %s\n", cell[HINT]);
	}
	return 0;
}

int alarms_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/alarms",
				    .timeout_s = ASK_TIMEOUT_S };

	return cli_call_show(cli, &rq, render_alarms, e);
}

static uint64_t next_of(const json_t *page, uint64_t since)
{
	uint64_t next = since;

	json_get_u64_opt(page, "next", INT64_MAX, &next, NULL);
	return next > since ? next : since;
}

/* All there are, as one reply: pages are the API's affair. */
static int all(struct cli *cli, bool has_since, uint64_t since, struct err *e)
{
	auto_json json_t *whole = NULL;
	bool has_more = true;
	int r = 0;

	for (int i = 0; r == 0 && has_more && i < PAGES_MAX; i++) {
		json_t *page = NULL, *rows;

		r = page_ask(cli, has_since, since, &page, e);
		if (r == 0)
			r = render_rows(page, "events", &rows, e);
		if (r == 0) {
			has_more = json_is_true(json_object_get(page, "more")) &&
				   next_of(page, since) > since;
			since = next_of(page, since);
			has_since = true;
			if (whole != NULL)
				json_array_extend(json_object_get(whole, "events"), rows);
			/* The last page knows best where to go on. */
			if (whole != NULL)
				json_object_set(page, "events", json_object_get(whole, "events"));
			json_decref(whole);
			whole = json_incref(page);
		}
		json_decref(page);
	}
	return r < 0 ? r : cli_show(cli, whole, render_events, e);
}

static int page_show(struct cli *cli, const json_t *page, struct err *e)
{
	const json_t *event;
	json_t *rows;
	size_t i;
	int r = render_rows(page, "events", &rows, e);

	if (r < 0 || !cli->settings.json)
		return r < 0 ? r : render_events(cli->out, page, e);
	json_array_foreach(rows, i, event) {
		json_dumpf(event, cli->out, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', cli->out);
	}
	return 0;
}

/* Where what comes begins. */
static int newest(struct cli *cli, uint64_t *since, struct err *e)
{
	auto_json json_t *page = NULL;
	int r = page_ask(cli, false, 0, &page, e);

	return r < 0 ? r : json_get_u64(page, "newest", INT64_MAX, since, e);
}

static int follow(struct cli *cli, bool has_since, uint64_t since, struct err *e)
{
	struct follow f = { .out = cli->out, .signal_fd = -1 };
	int r = has_since ? 0 : newest(cli, &since, e);

	if (r == 0)
		r = follow_begin(&f, e);
	while (r == 0 && !f.has_ended) {
		auto_json json_t *page = NULL;
		bool is_away;

		r = page_ask(cli, true, since, &page, e);
		is_away = r < 0 && client_http_status(cli->client) == 0;
		if (r == 0)
			r = page_show(cli, page, e);
		if (r == 0) {
			since = next_of(page, since);
			r = follow_flush(&f, e);
		} else if (is_away) {
			r = 0;
		}
		if (r == 0 && !f.has_ended && !json_is_true(json_object_get(page, "more")))
			follow_wait(&f, FOLLOW_NS);
	}
	follow_end(&f);
	return r;
}

int events_show(struct cli *cli, const struct args *a, struct err *e)
{
	bool has_since = a->value[OPT_SINCE] != NULL;
	uint64_t since = 0;
	int r = has_since ? arg_number(a, OPT_SINCE, INT64_MAX, &since, e) : 0;

	if (r < 0)
		return r;
	return a->value[OPT_FOLLOW] != NULL ? follow(cli, has_since, since, e)
					    : all(cli, has_since, since, e);
}

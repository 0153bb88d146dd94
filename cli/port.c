// SPDX-License-Identifier: BSD-3-Clause
/*
 * port list, show, set, stats. How they look: port_view.c. With --follow until Ctrl-C, the end of the port's VM or a
 * reader that has gone: each of these is how it is meant to end, so exit status 0.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/port_word.h"
#include "cli/text.h"

#include "base/json.h"

#include <errno.h>
#include <unistd.h>

#define INTERVAL_DEFAULT_S 1
#define INTERVAL_MAX_S	   3600
#define ASK_TIMEOUT_S	   10

/* A request about one port, or with NULL about all. */
struct ask {
	char vm[PORT_NAME_TEXT], port[PORT_NAME_TEXT], query[PORT_NAME_TEXT + 8];
	struct request rq;
};

static int ask_init(struct ask *ask, const char *text, const char *all, const char *one,
		    struct err *e)
{
	int r;

	memset(ask, 0, sizeof(*ask));
	ask->rq =
		(struct request){ .method = "GET", .collection = all, .timeout_s = ASK_TIMEOUT_S };
	if (text == NULL)
		return 0;
	r = port_name_split(text, ask->vm, ask->port, "PORT", e);
	if (r < 0)
		return err_hint(e, "viaduct port list");
	snprintf(ask->query, sizeof(ask->query), "port=%s", ask->port);
	ask->rq.collection = "/v1/vms";
	ask->rq.item = ask->vm;
	ask->rq.action = one;
	ask->rq.query = ask->query;
	return r;
}

int port_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/ports" };

	return cli_call_show(cli, &rq, render_port_list, e);
}

int port_show(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *reply = NULL;
	struct ask ask;
	int r = ask_init(&ask, a->words[0], "/v1/ports", "ports", e);

	if (r == 0)
		r = cli_call(cli, &ask.rq, &reply, e);
	if (r == 0 && !json_is_object(json_array_get(json_object_get(reply, "ports"), 0)))
		return err_set(e, EBADMSG, "the daemon's reply holds no port");
	return r == 0 ? cli_show(cli, json_array_get(json_object_get(reply, "ports"), 0),
				 render_port, e)
		      : r;
}

int port_set(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object();
	struct ask ask;
	int r = ask_init(&ask, a->words[0], "/v1/ports", "ports/set", e);

	if (r == 0 && body == NULL)
		r = err_set(e, ENOMEM, "out of memory");
	for (size_t i = 1; r == 0 && i < a->count; i++)
		r = port_word_add(body, a->words[i], e);
	if (r < 0)
		return r;
	json_object_set_new(body, "port", json_string(ask.port));
	ask.rq.method = "POST";
	ask.rq.query = NULL;
	ask.rq.timeout_s = 0;
	ask.rq.body = body;
	ask.rq.progress = "setting the port's policy";
	return cli_call_show(cli, &ask.rq, render_port, e);
}

struct watch {
	struct cli *cli;
	struct ask ask;
	bool is_following;
	uint64_t interval_s;
	struct follow follow;
};

static int show(struct watch *w, const json_t *before, const json_t *after, struct err *e)
{
	FILE *out = w->cli->out;
	int r;

	if (w->cli->settings.json && !w->is_following)
		return cli_show(w->cli, after, render_port_stats, e);
	if (w->cli->settings.json) {
		r = json_dumpf(after, out, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', out);
	} else {
		auto_json json_t *pair = json_pack("{s:O, s:O}", "before", before, "after", after);

		if (w->is_following && isatty(fileno(out)))
			fputs("\033[H\033[J", out);
		r = render_port_stats(out, pair, e);
		if (w->is_following && !isatty(fileno(out)))
			fputc('\n', out);
	}
	if (!w->is_following)
		return r;
	return r < 0 ? r : follow_flush(&w->follow, e);
}

/* The VM has gone: a port that was followed ends with it. */
static bool is_over(const struct err *e)
{
	return strcmp(e->code, "no-such-vm") == 0 || strcmp(e->code, "vm-state") == 0;
}

static int follow(struct watch *w, json_t **before, struct err *e)
{
	int r = w->cli->settings.json ? show(w, NULL, *before, e) : 0;

	while (r == 0 && !w->follow.has_ended) {
		json_t *after = NULL;

		follow_wait(&w->follow, w->interval_s * 1000000000ULL);
		if (w->follow.has_ended)
			break;
		r = cli_call(w->cli, &w->ask.rq, &after, e);
		if (r < 0)
			return is_over(e) ? 0 : r;
		r = show(w, *before, after, e);
		json_decref(*before);
		*before = after;
	}
	return r;
}

static int once(struct watch *w, const json_t *before, struct err *e)
{
	auto_json json_t *after = NULL;
	int r;

	if (w->cli->settings.json)
		return show(w, NULL, before, e);
	follow_wait(&w->follow, w->interval_s * 1000000000ULL);
	r = cli_call(w->cli, &w->ask.rq, &after, e);
	return r < 0 ? r : show(w, before, after, e);
}

int port_stats(struct cli *cli, const struct args *a, struct err *e)
{
	struct watch w = { .cli = cli,
			   .is_following = a->value[OPT_FOLLOW] != NULL,
			   .interval_s = INTERVAL_DEFAULT_S,
			   .follow = { .out = cli->out, .signal_fd = -1 } };
	auto_json json_t *before = NULL;
	int r = ask_init(&w.ask, a->count > 0 ? a->words[0] : NULL, "/v1/ports/stats",
			 "ports/stats", e);

	if (r == 0 && a->value[OPT_INTERVAL] != NULL) {
		r = arg_number(a, OPT_INTERVAL, INTERVAL_MAX_S, &w.interval_s, e);
		if (r == 0 && w.interval_s == 0)
			r = cli_usage(e, "--interval: 1 to %d seconds", INTERVAL_MAX_S);
	}
	if (r == 0)
		r = cli_call(cli, &w.ask.rq, &before, e);
	if (r == 0 && w.is_following)
		r = follow_begin(&w.follow, e);
	if (r == 0)
		r = w.is_following ? follow(&w, &before, e) : once(&w, before, e);
	follow_end(&w.follow);
	return r;
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * vm stats: samples of a VM's exit accounting, as tables with rates between two of them, or as the
 * API's objects. With --follow until Ctrl-C, the VM's end or a reader that has gone: each of these is
 * how it is meant to end, so exit status 0.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/text.h"

#include "base/json.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_DEFAULT_S 1
#define INTERVAL_MAX_S	   3600
#define ASK_TIMEOUT_S	   10
#define END_TRIES	   20 /* until the daemon has seen that a VM ended */
#define END_PAUSE_NS	   100000000L

struct watch {
	struct cli *cli;
	const char *name;
	bool is_following;
	uint64_t interval_s;
	struct follow follow;
};

static int sample(struct watch *w, json_t **out, struct err *e)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/vms",
				    .item = w->name,
				    .action = "stats",
				    .timeout_s = ASK_TIMEOUT_S };

	return cli_call(w->cli, &rq, out, e);
}

static int show(struct watch *w, const json_t *before, const json_t *after, struct err *e)
{
	FILE *out = w->cli->out;
	int r;

	if (w->cli->settings.json && w->is_following) {
		r = json_dumpf(after, out, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', out);
	} else if (w->cli->settings.json) {
		return cli_show(w->cli, after, render_vm_stats, e);
	} else {
		auto_json json_t *pair = json_pack("{s:O, s:O}", "before", before, "after", after);

		if (w->is_following && isatty(fileno(out)))
			fputs("\033[H\033[J", out);
		r = render_vm_stats(out, pair, e);
		if (w->is_following && !isatty(fileno(out)))
			fputc('\n', out);
	}
	if (!w->is_following)
		return r;
	return r < 0 ? r : follow_flush(&w->follow, e);
}

static bool state_is_over(const json_t *vm)
{
	static const char *const over[] = { "stopped", "failed", "unknown" };
	const char *state = json_string_value(json_object_get(vm, "state"));

	for (size_t i = 0; state != NULL && i < ARRAY_SIZE(over); i++)
		if (strcmp(state, over[i]) == 0)
			return true;
	return false;
}

/* A sample could not be had: because the VM is no more? The daemon may learn that later than we. */
static bool vm_is_over(struct watch *w)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/vms",
				    .item = w->name,
				    .timeout_s = ASK_TIMEOUT_S };
	const struct timespec pause = { .tv_nsec = END_PAUSE_NS };

	for (int i = 0; i < END_TRIES; i++) {
		auto_json json_t *vm = NULL;
		struct err e = { 0 };

		if (cli_call(w->cli, &rq, &vm, &e) < 0)
			return strcmp(e.code, "no-such-vm") == 0;
		if (state_is_over(vm)) {
			if (!w->cli->settings.json)
				render_vm_state(w->cli->err, vm, &e);
			return true;
		}
		nanosleep(&pause, NULL);
	}
	return false;
}

static int follow(struct watch *w, json_t **before, struct err *e)
{
	int r = w->cli->settings.json ? show(w, NULL, *before, e) : 0;

	while (r == 0 && !w->follow.has_ended) {
		json_t *after = NULL;

		follow_wait(&w->follow, w->interval_s * 1000000000ULL);
		if (w->follow.has_ended)
			break;
		r = sample(w, &after, e);
		if (r < 0)
			return vm_is_over(w) ? 0 : r;
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
	r = sample(w, &after, e);
	return r < 0 ? r : show(w, before, after, e);
}

int vm_stats(struct cli *cli, const struct args *a, struct err *e)
{
	struct watch w = { .cli = cli,
			   .name = a->words[0],
			   .is_following = a->value[OPT_FOLLOW] != NULL,
			   .interval_s = INTERVAL_DEFAULT_S,
			   .follow = { .out = cli->out, .signal_fd = -1 } };
	auto_json json_t *before = NULL;
	int r = 0;

	if (a->value[OPT_INTERVAL] != NULL) {
		r = arg_number(a, OPT_INTERVAL, INTERVAL_MAX_S, &w.interval_s, e);
		if (r == 0 && w.interval_s == 0)
			r = cli_usage(e, "--interval: 1 to %d seconds", INTERVAL_MAX_S);
	}
	if (r == 0)
		r = sample(&w, &before, e);
	if (r == 0 && w.is_following)
		r = follow_begin(&w.follow, e);
	if (r == 0)
		r = w.is_following ? follow(&w, &before, e) : once(&w, before, e);
	follow_end(&w.follow);
	return r;
}
